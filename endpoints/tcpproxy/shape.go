package tcpproxy

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"time"
)

// stage changes what passes in one direction, such as its time. It is used by one
// goroutine at a time.
type stage struct {
	// pass calls emit for what becomes of a piece, in order.
	pass func(p piece, emit func(piece))
	// late says that a write took this long. It may be nil.
	late func(time.Duration)
	// buffers reports that pieces wait without making the source wait.
	buffers bool
	// drops reports that no data passes.
	drops bool
}

// piece is a piece of the data on its way.
type piece struct {
	data []byte
	held int       // bytes of the memory budget
	read time.Time // when it arrived, plus the latency so far
	at   time.Time // when it leaves the last stage
	fate fate
	err  error // of the source, with atEnd
}

// fate is what happens to the connections after a piece.
type fate int

const (
	goOn      fate = iota
	atEnd          // the source has ended
	closing        // both connections are closed
	resetting      // both connections are reset
)

// Sizes of what is on its way through stages: pieces as io.Copy reads them, and as
// many of them as toxiproxy lets wait for their latency.
const (
	pieceSize = 32 << 10
	waiting   = 1024
)

// roomFor returns how many pieces may wait for stages.
func roomFor(stages []*stage) int {
	if slices.ContainsFunc(stages, func(s *stage) bool { return s.buffers }) {
		return waiting
	}
	return 1
}

// shape passes data through stages. It returns an error at the end of the data, or
// when the stages change so much that the queue must be empty first.
func (f *flow) shape(stages []*stage) error {
	queue, done := make(chan piece, roomFor(stages)), make(chan struct{})
	go func() {
		defer close(done)
		for p := range queue {
			f.write(p)
			f.release(p)
		}
	}()
	err := f.read(queue)
	close(queue)
	<-done
	return err
}

// read reads pieces into the queue.
func (f *flow) read(queue chan<- piece) error {
	buf := make([]byte, pieceSize)
	for {
		n, err := f.src.Read(buf)
		p := piece{read: time.Now()}
		p.at = p.read
		switch {
		case n > 0:
			p.data = slices.Clone(buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			if stages := f.begin(); len(stages) > 0 && roomFor(stages) <= cap(queue) {
				continue
			}
			return err
		default:
			p.fate, p.err = atEnd, err
		}
		f.reserve(&p)
		select {
		case queue <- p:
		case <-f.c.ctx.Done():
			f.release(p)
			return net.ErrClosed
		}
		if p.fate == atEnd {
			return err
		}
	}
}

// reserve takes the piece's memory from the budget. When that is used up it waits
// for the pieces before, and takes nothing if there are none.
func (f *flow) reserve(p *piece) {
	b, n := f.c.proxy.m.host.Budget(), len(p.data)
	for b.Limit() == 0 || b.Used()+int64(n) > b.Limit() || b.Reserve(n) != nil {
		if b.Limit() == 0 || f.pieces.Load() == 0 {
			n = 0
			break
		}
		select {
		case <-f.written:
		case <-f.c.ctx.Done():
			n = 0
		}
	}
	p.held = n
	f.pieces.Add(1)
}

// release gives the memory of a piece back.
func (f *flow) release(p piece) {
	f.c.proxy.m.host.Budget().Release(p.held)
	f.pieces.Add(-1)
	select {
	case f.written <- struct{}{}:
	default:
	}
}

// write passes a piece through the current stages, and writes what becomes of it
// when its time has come. When a stage is removed, or replaced, the rest is written
// immediately, as toxiproxy does.
func (f *flow) write(p piece) {
	stages, changed := f.now()
	pieces := []piece{p}
	for _, s := range stages {
		var next []piece
		for _, q := range pieces {
			s.pass(q, func(r piece) { next = append(next, r) })
		}
		pieces = next
	}
	flush := false
	for _, q := range pieces {
		for !flush || q.fate > atEnd {
			left := time.Until(q.at)
			if left <= 0 {
				break
			}
			timer := time.NewTimer(left)
			select {
			case <-timer.C:
			case <-changed:
				var now []*stage
				now, changed = f.now()
				flush = flush || slices.ContainsFunc(stages, func(s *stage) bool { return !slices.Contains(now, s) })
			case <-f.c.ctx.Done():
				timer.Stop()
				return
			}
			timer.Stop()
		}
		if !f.send(q, stages) {
			return
		}
	}
}

// send writes a piece, and does what follows. It returns false if the connections
// are closed.
func (f *flow) send(p piece, stages []*stage) bool {
	if len(p.data) > 0 {
		began := time.Now()
		n, err := f.dst.Write(p.data)
		f.count(int64(n))
		if err != nil {
			f.c.broken(err)
			return false
		}
		if took := time.Since(began); took > time.Millisecond {
			for _, s := range stages {
				if s.late != nil {
					s.late(took)
				}
			}
		}
	}
	switch p.fate {
	case goOn:
		return true
	case atEnd:
		if p.err == io.EOF {
			p.err = nil
		}
		f.finish(p.err)
	default:
		f.c.close(p.fate == resetting)
	}
	return false
}
