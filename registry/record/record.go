// Package record records the outcome of an HTTP request for the modules that
// end requests and the modules that record them.
//
// Where a module in the chain is a [Cutter], the registry wraps the response in a
// value that [Cut] writes to and [Outcome] and [Sent] read. It is found through
// the Unwrap method of response writers, like the features of
// [http.ResponseController], so a middleware that wraps the writer must have that
// method.
package record

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/urfave/negroni/v3"
)

// StatusClientLeft is the status, named by nginx, of a request whose client
// left before the response.
const StatusClientLeft = 499

// StatusCut is the status, named by nginx, of a request whose connection the
// server closed before the whole response was sent.
const StatusCut = 444

// response is the response-scoped value.
type response struct {
	http.ResponseWriter
	cut  bool
	sent int // bytes of the body, if cut
}

// flusher and hijacker have the optional interfaces of the writer below, so
// that a type assertion tells the truth.
type (
	flusher  struct{ response }
	hijacker struct{ response }
)

func (r *response) record() *response { return r }

// Unwrap implements the convention of [http.ResponseController].
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// ReadFrom keeps the sendfile path of net/http.
func (r *response) ReadFrom(src io.Reader) (int64, error) { return io.Copy(r.ResponseWriter, src) }

func (f *flusher) Flush()  { f.ResponseWriter.(http.Flusher).Flush() }
func (h *hijacker) Flush() { h.ResponseWriter.(http.Flusher).Flush() }
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.ResponseWriter.(http.Hijacker).Hijack()
}

// Cutter is implemented by modules that call Cut. Other routes have no record.
type Cutter interface {
	CutsResponses()
}

// Wrap returns w wrapped so that its outcome can be recorded. The registry calls it once per
// request.
func Wrap(w http.ResponseWriter) http.ResponseWriter {
	_, flushes := w.(http.Flusher)
	_, hijacks := w.(http.Hijacker)
	switch {
	case flushes && hijacks:
		return &hijacker{response{ResponseWriter: w}}
	case flushes:
		return &flusher{response{ResponseWriter: w}}
	}
	return &response{ResponseWriter: w}
}

// of returns the record of the response that w belongs to, nil if Wrap was not
// called for it.
func of(w http.ResponseWriter) *response {
	for {
		switch t := w.(type) {
		case interface{ record() *response }:
			return t.record()
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
}

// Cut records that the client did not get the whole response, and at most sent
// bytes of its body, whatever was written. Call it when the header is sent or
// never will be. The last call counts. It returns false if w has no record: the
// module is no [Cutter], or a middleware wraps the writer without Unwrap.
func Cut(w http.ResponseWriter, sent int) bool {
	r := of(w)
	if r != nil {
		r.cut, r.sent = true, sent
	}
	return r != nil
}

// Sent returns how many bytes of the response's body were sent.
func Sent(w negroni.ResponseWriter) int {
	if r := of(w); r != nil && r.cut {
		return r.sent
	}
	return w.Size()
}

// Outcome returns the status that the client of a request saw. A response that
// was cut counts as 444. A handler that wrote nothing or took the connection
// over counts as 200, or as 499 when the client had left; one that panicked,
// so that returned is false, as 500.
func Outcome(w negroni.ResponseWriter, r *http.Request, returned bool) int {
	rec := of(w)
	switch status := w.Status(); {
	case rec != nil && rec.cut:
		return StatusCut
	case status > 999: // net/http refused it with a panic
		return http.StatusInternalServerError
	case w.Written():
		return status
	case !returned:
		return http.StatusInternalServerError
	case r.Context().Err() != nil:
		return StatusClientLeft
	}
	return http.StatusOK
}
