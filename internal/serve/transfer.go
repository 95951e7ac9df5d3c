package serve

import (
	"bufio"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/urfave/negroni/v3"
)

const (
	// piece is the number of bytes of a response that a client has to take within
	// the stall timeout where the kernel does not say how many it has taken.
	piece = 32 << 10

	// slow is how long a client may stand still before its connection may be closed
	// for another one.
	slow = time.Second

	// buffered is the number of bytes that net/http keeps until the handler returns
	// or flushes.
	buffered = 2 << 10
)

// A Transfer ends a request whose client sends nothing of the body that the handler
// reads, or makes no room for the response that the handler writes. It does not
// limit how long the handler takes.
type Transfer struct {
	negroni.ResponseWriter
	stall    time.Duration
	began    time.Time
	body     io.ReadCloser
	conn     *conn // nil over HTTP/2
	counted  bool  // whether the kernel counts what the client acknowledges
	hijacked bool
	written  int // bytes of the response

	mu      sync.Mutex // guards the fields below
	reading operation
	writing operation
	slow    bool // the connection may be closed for another one
	stalled bool
}

// operation is what a handler does with a transfer.
type operation struct {
	running  int
	moved    time.Time // when it began, or made progress
	acked    uint64    // bytes that the client had acknowledged then
	timer    *time.Timer
	deadline func(*http.ResponseController, time.Time) error
}

// Watch returns the transfer of a request, whose body it replaces until End. The
// handler must be called with the Writer of the transfer, and End after it.
func (limits *Limits) Watch(w negroni.ResponseWriter, r *http.Request) *Transfer {
	t := &Transfer{ResponseWriter: w, stall: limits.Stall, began: time.Now(), body: r.Body}
	t.reading.deadline = (*http.ResponseController).SetReadDeadline
	t.writing.deadline = (*http.ResponseController).SetWriteDeadline
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = transferBody{t}
	}
	if c, ok := r.Context().Value(contextKey{}).(*conn); ok && r.ProtoMajor == 1 {
		t.conn, t.counted = c, countsAcknowledged(c.Conn.Conn)
	}
	return t
}

// Writer returns the writer for the handler. Over HTTP/1 it is an http.Hijacker.
func (t *Transfer) Writer(r *http.Request) negroni.ResponseWriter {
	if r.ProtoMajor == 1 {
		return hijackable{t}
	}
	return t
}

// End gives the client the stall timeout to make room for what the handler has
// written and net/http has not sent yet, unless the write timeout of the server
// leaves less. It reports whether the request was ended.
func (t *Transfer) End(r *http.Request) (stalled bool) {
	r.Body = t.body
	srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if ok && !t.hijacked && (srv.WriteTimeout == 0 || time.Since(t.began)+t.stall < srv.WriteTimeout) {
		http.NewResponseController(t.ResponseWriter).SetWriteDeadline(time.Now().Add(t.stall))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stalled
}

// begin starts to limit an operation.
func (t *Transfer) begin(o *operation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o.running++
	o.moved = time.Now()
	if o.timer == nil {
		o.timer = time.AfterFunc(t.tick(), func() { t.expire(o) })
	} else {
		o.timer.Reset(t.tick())
	}
}

func (t *Transfer) end(o *operation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.running--; o.running > 0 {
		return
	}
	o.timer.Stop()
	t.setSlow(o, false)
}

// tick is how often an operation is examined.
func (t *Transfer) tick() time.Duration {
	if t.conn != nil {
		return min(t.stall/4, slow)
	}
	return t.stall
}

// setSlow lets the connection be closed for another one, or not.
func (t *Transfer) setSlow(o *operation, yes bool) {
	switch {
	case t.slow == yes || t.conn == nil || t.hijacked:
		return
	case yes:
		t.conn.blocked.Store(o == &t.writing)
		t.conn.Move(Slow)
	default:
		t.conn.blocked.Store(false)
		t.stalled = t.stalled || !t.conn.Move(Busy)
	}
	t.slow = yes
}

// expire ends the request when an operation stands still for too long. It holds the
// lock while it calls net/http, which must not be called after the handler has
// returned.
func (t *Transfer) expire(o *operation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.running == 0 {
		return
	}
	if o == &t.writing && t.counted {
		if n := acknowledged(t.conn.Conn.Conn); n != o.acked {
			o.moved, o.acked = time.Now(), n
			t.setSlow(o, false)
		}
	}
	still := time.Since(o.moved)
	if still < t.stall {
		t.setSlow(o, still >= t.tick())
		o.timer.Reset(min(t.stall-still, t.tick()))
		return
	}
	t.stalled = true
	o.deadline(http.NewResponseController(t.ResponseWriter), time.Unix(1, 0))
}

// Unwrap implements the convention of [http.ResponseController].
func (t *Transfer) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Write implements http.ResponseWriter.
func (t *Transfer) Write(p []byte) (n int, err error) {
	if t.written += len(p); t.written <= buffered {
		return t.ResponseWriter.Write(p)
	}
	for {
		m, err := t.writePiece(p[n:min(n+t.piece(), len(p))])
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// piece returns the number of bytes to write at once.
func (t *Transfer) piece() int {
	if t.counted {
		return math.MaxInt >> 1
	}
	return piece
}

func (t *Transfer) writePiece(p []byte) (int, error) {
	t.begin(&t.writing)
	defer t.end(&t.writing)
	return t.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom. It sends files without copying them to user
// space.
func (t *Transfer) ReadFrom(src io.Reader) (n int64, err error) {
	all, ok := src.(*io.LimitedReader)
	if !ok {
		all = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	if _, file := all.R.(*os.File); !file {
		return io.Copy(struct{ io.Writer }{t}, src)
	}
	for {
		part := &io.LimitedReader{R: all.R, N: min(all.N, int64(t.piece()))}
		m, err := t.readPiece(part)
		n += m
		if all.N -= m; err != nil || part.N > 0 || all.N == 0 {
			return n, err
		}
	}
}

func (t *Transfer) readPiece(part io.Reader) (int64, error) {
	t.begin(&t.writing)
	defer t.end(&t.writing)
	return io.Copy(t.ResponseWriter, part)
}

// Flush implements http.Flusher.
func (t *Transfer) Flush() { t.FlushError() }

// FlushError implements the method that [http.ResponseController] looks for.
func (t *Transfer) FlushError() error {
	t.begin(&t.writing)
	defer t.end(&t.writing)
	return http.NewResponseController(t.ResponseWriter).Flush()
}

// hijackable is the writer over HTTP/1.
type hijackable struct{ *Transfer }

// Hijack implements http.Hijacker.
func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.hijacked = err == nil
	return conn, rw, err
}

// transferBody is the body of the request.
type transferBody struct{ t *Transfer }

// Read implements io.Reader.
func (b transferBody) Read(p []byte) (int, error) {
	b.t.begin(&b.t.reading)
	defer b.t.end(&b.t.reading)
	return b.t.body.Read(p)
}

// Close implements io.Closer.
func (b transferBody) Close() error { return b.t.body.Close() }
