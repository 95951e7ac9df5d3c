package record

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/urfave/negroni/v3"
)

// response is the writer of one request: a [negroni.ResponseWriter] with the
// record of the response.
type response struct {
	http.ResponseWriter
	status  int // that was sent, 0 if none
	pending int // that was last asked for
	size    int // of the body
	before  []func(negroni.ResponseWriter)
	running bool // the functions of Before

	hijacked bool
	cut      bool
	ended    bool    // outcome is final
	outcome  Outcome // if cut or ended
}

func (r *response) record() *response { return r }

// Unwrap implements the convention of [http.ResponseController].
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Status implements [negroni.ResponseWriter].
func (r *response) Status() int {
	if r.Written() {
		return r.status
	}
	return r.pending
}

// Size implements [negroni.ResponseWriter].
func (r *response) Size() int { return r.size }

// Written implements [negroni.ResponseWriter]. After an informational status the
// response is still to come, except after 101.
func (r *response) Written() bool {
	return r.status >= http.StatusOK || r.status == http.StatusSwitchingProtocols
}

// Before implements [negroni.ResponseWriter].
func (r *response) Before(f func(negroni.ResponseWriter)) { r.before = append(r.before, f) }

// WriteHeader sends the header unless it was sent.
func (r *response) WriteHeader(status int) {
	if r.Written() {
		return
	}
	r.pending = status
	if len(r.before) > 0 && !r.running {
		r.runBefore()
		if r.Written() {
			return
		}
	}
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// runBefore calls the functions of Before, the last one first. They may call
// WriteHeader.
func (r *response) runBefore() {
	r.running = true
	defer func() { r.running = false }()
	for i := len(r.before) - 1; i >= 0; i-- {
		r.before[i](r)
	}
}

// Write sends a part of the body.
func (r *response) Write(p []byte) (int, error) {
	if !r.Written() {
		r.WriteHeader(http.StatusOK)
	}
	n, err := r.ResponseWriter.Write(p)
	r.size += n
	return n, err
}

// ReadFrom keeps the sendfile path of net/http.
func (r *response) ReadFrom(src io.Reader) (int64, error) {
	if !r.Written() {
		r.WriteHeader(http.StatusOK)
	}
	n, err := io.Copy(r.ResponseWriter, src)
	r.size += int(n)
	return n, err
}

// flush sends what is buffered, after the header.
func (r *response) flush() {
	if !r.Written() {
		r.WriteHeader(http.StatusOK)
	}
	r.ResponseWriter.(http.Flusher).Flush()
}

// flusher and hijacker have the optional interfaces of the writer below, so
// that a type assertion tells the truth.
type (
	flusher  struct{ response }
	hijacker struct{ response }
)

func (f *flusher) Flush()  { f.flush() }
func (h *hijacker) Flush() { h.flush() }
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := h.ResponseWriter.(http.Hijacker).Hijack()
	h.hijacked = h.hijacked || err == nil
	return conn, rw, err
}

// The writers that no request uses now, by what they can do.
var (
	responses = sync.Pool{New: func() any { return new(response) }}
	flushers  = sync.Pool{New: func() any { return new(flusher) }}
	hijackers = sync.Pool{New: func() any { return new(hijacker) }}
)

// Serve calls h with w wrapped so that its outcome can be recorded. The registry
// calls it once per request.
//
// The wrapper is used again for another request when h has returned, as the contract
// of [http.Handler] allows. It is not if h panics or takes over the connection.
func Serve(w http.ResponseWriter, r *http.Request, h http.HandlerFunc) {
	_, flushes := w.(http.Flusher)
	_, hijacks := w.(http.Hijacker)
	switch {
	case flushes && hijacks:
		rw := hijackers.Get().(*hijacker)
		rw.ResponseWriter = w
		h(rw, r)
		if !rw.hijacked {
			rw.response = response{}
			hijackers.Put(rw)
		}
	case flushes:
		rw := flushers.Get().(*flusher)
		rw.ResponseWriter = w
		h(rw, r)
		rw.response = response{}
		flushers.Put(rw)
	default:
		rw := responses.Get().(*response)
		rw.ResponseWriter = w
		h(rw, r)
		*rw = response{}
		responses.Put(rw)
	}
}
