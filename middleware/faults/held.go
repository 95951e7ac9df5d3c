package faults

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// maxHeld is how many bytes of a response are held back at most, until the handler
// returns. Further ones are sent as they are written, and so is everything after a
// flush or when the memory budget is used up.
const maxHeld = 1 << 20

// unchunked is how many bytes of a response net/http keeps until the handler
// returns, to set its Content-Length.
const (
	unchunked      = 2 << 10
	unchunkedHTTP2 = 4 << 10
)

// held is a response whose beginning is held back.
type held struct {
	http.ResponseWriter // the client's
	m                   *Module
	r                   *http.Request
	limit               int
	patient             bool // a flush sends nothing when the length is known, and within the limit or nothing else
	measured            bool // nor before there is a body, whose length the header needs
	// release is called once, with the whole body or its beginning. It sends the
	// header, and what is held of the body.
	release func(whole bool)

	header http.Header // as the handler sent it
	status int
	body   *budget.Buffer
	open   bool      // release was called, or the handler has hijacked the connection
	rest   io.Writer // what is written after release; nil to drop it
	raw    bool      // the fault has taken the connection over
}

func (m *Module) holdBack(w http.ResponseWriter, r *http.Request, limit int) *held {
	return &held{ResponseWriter: w, m: m, r: r, limit: limit, body: m.host.Budget().Buffer(), rest: w}
}

// serve calls the handler.
func (h *held) serve(next http.HandlerFunc) {
	defer h.body.Close()
	next(negroni.NewResponseWriter(h), h.r)
	if h.status == 0 && !h.open && h.r.Context().Err() != nil {
		return // the client left first
	}
	h.WriteHeader(http.StatusOK)
	h.begin(true)
}

func (h *held) begin(whole bool) {
	if !h.open {
		h.open = true
		h.release(whole)
	}
}

// send sends the header, changed, and what is held of the body.
func (h *held) send(change func(http.Header)) {
	h.sendHeader(change)
	h.body.WriteTo(h.ResponseWriter)
}

func (h *held) sendHeader(change func(http.Header)) {
	to := h.ResponseWriter.Header()
	late := to.Clone() // trailers
	clear(to)
	maps.Copy(to, h.header)
	change(to)
	h.ResponseWriter.WriteHeader(h.status)
	maps.Copy(to, late)
}

// Unwrap implements the convention of http.ResponseController.
func (h *held) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h *held) WriteHeader(status int) {
	switch {
	case h.status != 0 || h.open:
	case status < 200 && status != http.StatusSwitchingProtocols:
		h.ResponseWriter.WriteHeader(status)
	default:
		h.status, h.header = status, h.ResponseWriter.Header().Clone()
	}
}

func (h *held) Write(b []byte) (n int, err error) {
	h.WriteHeader(http.StatusOK)
	if !h.open {
		fits := min(len(b), max(0, h.limit-h.body.Len()))
		if n, err = h.body.Write(b[:fits]); err == nil && n == len(b) {
			return n, nil
		}
		h.begin(false)
	}
	if h.rest == nil {
		return len(b), nil
	}
	m, err := h.rest.Write(b[n:])
	return n + m, err
}

// Flush sends what is held, unless the fault needs the whole body and that is going
// to fit.
func (h *held) Flush() {
	h.WriteHeader(http.StatusOK)
	if h.patient && !h.open {
		n, err := strconv.Atoi(h.header.Get("Content-Length"))
		if err == nil && n <= h.limit || (err == nil || h.measured) && h.body.Len() == 0 {
			return
		}
	}
	h.begin(false)
	if h.rest != nil && !h.raw {
		http.NewResponseController(h.ResponseWriter).Flush()
	}
}

// Hijack implements http.Hijacker.
func (h *held) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.open = h.open || err == nil
	return conn, rw, err
}

// delayed returns a handler whose response is delayed after it was handled. When
// alone it is sent then; otherwise a fault decides what is sent.
func (m *Module) delayed(next http.HandlerFunc, d time.Duration, alone bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !alone {
			next(w, r)
			pause(w, r, d)
			return
		}
		h := m.holdBack(w, r, maxHeld)
		h.release = func(bool) {
			if !pause(w, r, d) {
				h.rest = nil
				return
			}
			h.send(func(http.Header) {})
		}
		h.serve(next)
	}
}

// framed calls the handler of a response that is sent with pauses. It sets the
// headers that net/http sets when it has the whole of a short body, which the first
// pause would prevent.
func (m *Module) framed(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	limit := unchunked
	if r.ProtoMajor > 1 {
		limit = unchunkedHTTP2
	}
	h := m.holdBack(w, r, limit)
	h.release = func(whole bool) {
		h.send(func(header http.Header) {
			n := h.body.Len()
			if _, ok := header["Content-Type"]; !ok && n > 0 && header.Get("Content-Encoding") == "" {
				start := make([]byte, 512)
				k, _ := io.ReadFull(h.body.Reader(), start)
				header.Set("Content-Type", http.DetectContentType(start[:k]))
			}
			if !whole || !bodyAllowed(h.status) || header.Get("Transfer-Encoding") != "" || header.Get("Trailer") != "" {
				return
			}
			if _, ok := header["Content-Length"]; !ok && (n > 0 || r.Method != http.MethodHead) {
				header.Set("Content-Length", strconv.Itoa(n))
			}
		})
	}
	h.serve(next)
}

// bodyAllowed reports whether a response with a status may have a body.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// lost is a response that the client does not get. It is dropped as it is written.
type lost struct {
	http.ResponseWriter // the client's, whose deadlines the handler may set
	header              http.Header
}

// lose calls the handler and drops its response.
func lose(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(negroni.NewResponseWriter(&lost{w, w.Header().Clone()}), r)
}

func (l *lost) Header() http.Header         { return l.header }
func (l *lost) WriteHeader(int)             {}
func (l *lost) Write(b []byte) (int, error) { return len(b), nil }
func (l *lost) Flush()                      {}
func (l *lost) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// Hijack returns an error, as the connection belongs to the fault.
func (l *lost) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrNotSupported }

// forever is the length of a pause that lasts until the client leaves.
const forever time.Duration = -1

// waitForClient waits until the client leaves. It panics when the App stops first,
// which ends the connection, or the stream over HTTP/2.
func (m *Module) waitForClient(w http.ResponseWriter, r *http.Request, sent int) {
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{})
	control.SetWriteDeadline(time.Time{})
	io.Copy(io.Discard, r.Body) // net/http does not notice before its end that the client leaves
	select {
	case <-r.Context().Done():
	case <-m.draining.Done():
		if r.Context().Err() != nil { // both have happened
			return
		}
		status, class := 0, record.NoResponse
		if rw, ok := w.(negroni.ResponseWriter); ok && rw.Written() {
			status, class = rw.Status(), record.Truncated
		}
		m.recordCut(w, status, sent, class)
		panic(http.ErrAbortHandler)
	}
}

// Drain ends the requests that hang.
func (m *Module) Drain(context.Context) error {
	m.drain()
	return nil
}
