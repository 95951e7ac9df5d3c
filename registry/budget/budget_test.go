package budget_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

func TestReserve(t *testing.T) {
	b := budget.New(100)
	for _, c := range []struct {
		do   func() error
		used int64
		want error
	}{
		{func() error { return b.Reserve(60) }, 60, nil},
		{func() error { return b.Reserve(41) }, 60, budget.ErrExceeded},
		{func() error { return b.Reserve(40) }, 100, nil},
		{func() error { return b.Reserve(1) }, 100, budget.ErrExceeded},
		{func() error { b.Release(50); return nil }, 50, nil},
		{func() error { return b.Reserve(50) }, 100, nil},
	} {
		if err := c.do(); !errors.Is(err, c.want) || b.Used() != c.used {
			t.Errorf("%v, %d in use, want %v and %d", err, b.Used(), c.want, c.used)
		}
	}
	if b.Refused() != 2 || b.Limit() != 100 {
		t.Error(b.Refused(), b.Limit())
	}
	var none *budget.Budget
	if err := none.Reserve(1 << 40); err != nil || none.Used() != 0 {
		t.Error(err, none.Used())
	}
	lease := b.Lease()
	if err := lease.Grow(1); !errors.Is(err, budget.ErrExceeded) || lease.Held() != 0 {
		t.Error(err)
	}
	b.Release(100)
	if err := lease.Grow(30); err != nil || b.Used() != 30 {
		t.Error(err)
	}
	lease.Free()
	lease.Free()
	if b.Used() != 0 {
		t.Error(b.Used())
	}
}

// Reservations that do not fit must not refuse those that do.
func TestConcurrentReservations(t *testing.T) {
	b := budget.New(1000)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 1000 {
				if b.Reserve(2000) == nil {
					t.Error("2000 of 1000 bytes are reserved")
				}
				if err := b.Reserve(20); err != nil {
					t.Errorf("20 of 1000 bytes, at most 50 times: %v", err)
					return
				}
				b.Release(20)
			}
		})
	}
	all.Wait()
	if b.Used() != 0 {
		t.Error(b.Used())
	}
}

func TestBuffer(t *testing.T) {
	for _, size := range []int{0, 1, 2047, 2048, 2049, 40_000, 1 << 20} {
		b := budget.New(4 << 20)
		text := []byte(strings.Repeat("0123456789abcdef", size/16+1)[:size])
		for what, fill := range map[string]func(*budget.Buffer) (int64, error){
			"read": func(buf *budget.Buffer) (int64, error) { return buf.ReadFrom(bytes.NewReader(text)) },
			"read by bytes": func(buf *budget.Buffer) (int64, error) {
				return buf.ReadFrom(iotest.OneByteReader(bytes.NewReader(text)))
			},
			"written": func(buf *budget.Buffer) (int64, error) {
				n, err := buf.Write(text)
				return int64(n), err
			},
		} {
			buf := b.Buffer()
			if n, err := fill(buf); err != nil || n != int64(size) || buf.Len() != size {
				t.Fatalf("%d %s: %d %v", size, what, n, err)
			}
			if used := b.Used(); used < int64(size) || used > int64(size)+(34<<10) || size == 0 && used != 0 {
				t.Errorf("%d %s: %d reserved", size, what, used)
			}
			if got, err := io.ReadAll(buf.Reader()); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d %s: Reader differs", size, what)
			}
			if got, err := buf.Bytes(); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d %s: Bytes differs", size, what)
			}
			if got, err := io.ReadAll(buf.Reader()); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d %s: Reader differs after Bytes", size, what)
			}
			if err := buf.Reserve(1000); err != nil || b.Used() < int64(size)+1000 {
				t.Errorf("%d %s: %v, %d reserved", size, what, err, b.Used())
			}
			buf.Free()
			if b.Used() != 0 {
				t.Errorf("%d %s: %d reserved after Free", size, what, b.Used())
			}
			fill(buf)
			before := b.Used()
			out := releasing{t: t, budget: b, reserved: before}
			if n, err := buf.WriteTo(&out); err != nil || n != int64(size) || !bytes.Equal(out.Bytes(), text) || b.Used() != 0 {
				t.Errorf("%d %s: WriteTo differs, %d reserved", size, what, b.Used())
			}
		}
	}
}

// releasing checks that the bytes written before are released.
type releasing struct {
	bytes.Buffer
	t        *testing.T
	budget   *budget.Budget
	reserved int64 // before the first byte was written
}

func (r *releasing) Write(p []byte) (int, error) {
	if used := r.budget.Used(); used > r.reserved-int64(r.Len()) {
		r.t.Errorf("%d bytes reserved after %d of them were written", used, r.Len())
	}
	return r.Buffer.Write(p)
}

func TestCopy(t *testing.T) {
	for _, size := range []int{0, 1, 2047, 2048, 2049, 40_000, 1 << 20} {
		b := budget.New(34 << 10)
		text := []byte(strings.Repeat("0123456789abcdef", size/16+1)[:size])
		for what, r := range map[string]io.Reader{"whole": bytes.NewReader(text), "by bytes": iotest.OneByteReader(bytes.NewReader(text)), "with EOF": iotest.DataErrReader(bytes.NewReader(text))} {
			var out bytes.Buffer
			if n, err := b.Buffer().Copy(&out, r); err != nil || n != int64(size) || !bytes.Equal(out.Bytes(), text) || b.Used() != 0 {
				t.Errorf("%d %s: %d %v, %d reserved", size, what, n, err, b.Used())
			}
		}
	}
	b := budget.New(1 << 10)
	if _, err := b.Buffer().Copy(io.Discard, strings.NewReader("x")); !errors.Is(err, budget.ErrExceeded) || b.Used() != 0 {
		t.Error(err, b.Used())
	}
	b = budget.New(34 << 10)
	failed := errors.New("failed")
	if n, err := b.Buffer().Copy(io.Discard, io.MultiReader(strings.NewReader("123"), iotest.ErrReader(failed))); err != failed || n != 3 || b.Used() != 0 {
		t.Error(n, err, b.Used())
	}
	full, w := io.Pipe()
	full.CloseWithError(failed)
	if _, err := b.Buffer().Copy(w, strings.NewReader("x")); err != failed || b.Used() != 0 {
		t.Error(err, b.Used())
	}
}

func TestBufferOverTheBudget(t *testing.T) {
	b := budget.New(100 << 10)
	buf := b.Buffer()
	_, err := buf.ReadFrom(io.LimitReader(zeros{}, 1<<20))
	if !errors.Is(err, budget.ErrExceeded) || b.Used() > b.Limit() {
		t.Error(err, b.Used())
	}
	buf.Free()
	if b.Used() != 0 {
		t.Error(b.Used())
	}
	if _, err := buf.ReadFrom(io.LimitReader(zeros{}, 60<<10)); err != nil {
		t.Error(err)
	}
	if _, err := buf.Bytes(); !errors.Is(err, budget.ErrExceeded) {
		t.Error("one piece of 60 KiB beside the chunks:", err)
	}
	buf.Free()
}

// A body that was announced and not sent reserves nothing.
func TestNothingIsReservedBeforeAByteArrives(t *testing.T) {
	b := budget.New(1 << 20)
	r, w := io.Pipe()
	done := make(chan error)
	buf := b.Buffer()
	go func() { _, err := buf.ReadFrom(r); done <- err }()
	w.Write(nil)
	if b.Used() != 0 {
		t.Error(b.Used())
	}
	w.Write([]byte("hello worl"))
	w.Write([]byte("d"))
	w.Close()
	if err := <-done; err != nil || b.Used() > 4<<10 {
		t.Error(err, b.Used())
	}
	buf.Free()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// BenchmarkSmallBody reads and writes a body of 1 kB, with a budget and with what
// one would use without: a pool of buffers.
func BenchmarkSmallBody(b *testing.B) {
	text := bytes.Repeat([]byte("x"), 1000)
	var pool sync.Pool
	without := func(r *bytes.Reader) {
		buf, _ := pool.Get().(*bytes.Buffer)
		if buf == nil {
			buf = new(bytes.Buffer)
		}
		buf.ReadFrom(onlyReader{r})
		io.Discard.Write(buf.Bytes())
		buf.Reset()
		pool.Put(buf)
	}
	budgets := budget.New(1 << 30)
	with := func(r *bytes.Reader) {
		buf := budgets.Buffer()
		buf.ReadFrom(onlyReader{r})
		buf.WriteTo(io.Discard)
		buf.Close()
	}
	for _, c := range []struct {
		name string
		do   func(*bytes.Reader)
	}{{"without", without}, {"with", with}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			r := bytes.NewReader(text)
			for b.Loop() {
				r.Reset(text)
				c.do(r)
			}
		})
		b.Run(c.name+"-parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r := bytes.NewReader(text)
				for pb.Next() {
					r.Reset(text)
					c.do(r)
				}
			})
		})
	}
}

// onlyReader hides WriteTo, which bodies do not have.
type onlyReader struct{ io.Reader }

func BenchmarkReserve(b *testing.B) {
	budgets := budget.New(1 << 30)
	for b.Loop() {
		budgets.Reserve(1000)
		budgets.Release(1000)
	}
}
