// Package record records the outcome of an HTTP request for the modules that
// end requests and the modules that record them.
//
// A request ends in one [Outcome]. [End] makes it, and the metrics, the access
// log, the spans and the page read it: none of them decides for itself.
//
// Where a module in the chain is a [Cutter], or the request asks for another
// protocol, the registry wraps the response in a value that [Cut] writes to and
// End reads. It is found through the Unwrap method of response writers, like the
// features of [http.ResponseController], so a middleware that wraps the writer
// must have that method.
package record

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/urfave/negroni/v3"
)

// response is the response-scoped value.
type response struct {
	http.ResponseWriter
	hijacked bool
	cut      bool
	ended    bool    // outcome is final
	outcome  Outcome // if cut or ended
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
	conn, rw, err := h.ResponseWriter.(http.Hijacker).Hijack()
	h.hijacked = h.hijacked || err == nil
	return conn, rw, err
}

// Cutter is implemented by modules that call Cut. On routes without one, requests
// have a record only if they ask for another protocol.
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

// Cut records that the client did not get the whole response: at most its status,
// 0 if none, and sent bytes of its body, whatever was written. Call it when the
// header is sent or never will be. The last call counts. It returns false if w has
// no record: the module is no [Cutter], or a middleware wraps the writer without
// Unwrap.
func Cut(w http.ResponseWriter, status, sent int, class Class) bool {
	r := of(w)
	if r == nil {
		return false
	}
	if !r.ended {
		r.cut, r.outcome = true, cutOff(status, sent, class)
	}
	return true
}

// IsCut reports whether Cut was called for the response. Use it before the request
// has ended, and [End] afterwards.
func IsCut(w http.ResponseWriter) bool {
	r := of(w)
	return r != nil && r.cut
}

// End returns the outcome of a request whose handler has returned, or has panicked,
// so that returned is false. Where the response has a record, the first call decides.
func End(w negroni.ResponseWriter, r *http.Request, returned bool) Outcome {
	rec := of(w)
	if rec == nil {
		return outcomeOf(w, r, returned)
	}
	if !rec.ended {
		rec.ended = true
		switch {
		case rec.cut:
		case rec.hijacked:
			rec.outcome = Outcome{Kind: KindSwitched, Status: http.StatusSwitchingProtocols}
		default:
			rec.outcome = outcomeOf(w, r, returned)
		}
	}
	return rec.outcome
}

// outcomeOf returns the outcome of a response that no module cut or took over. A
// handler may panic because its client left, as net/http/httputil.ReverseProxy does: then
// the server did not fail.
func outcomeOf(w negroni.ResponseWriter, r *http.Request, returned bool) Outcome {
	status, sent, left := w.Status(), w.Size(), r.Context().Err() != nil
	if r.Method == http.MethodHead { // net/http discards the body
		sent = 0
	}
	switch {
	case status > 999: // net/http refused it with a panic
		return cutOff(0, 0, NoResponse)
	case w.Written() && !returned && !left: // the server aborts the connection
		return cutOff(status, sent, Truncated)
	case w.Written():
		return Outcome{Status: status, Bytes: sent}
	case left:
		return Outcome{Kind: KindClientLeft}
	case !returned:
		return Outcome{Status: http.StatusInternalServerError}
	}
	return Outcome{Status: http.StatusOK}
}
