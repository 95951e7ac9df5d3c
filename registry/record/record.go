// Package record records the outcome of an HTTP request for the modules that
// end requests and the modules that record them.
//
// A request ends in one [Outcome]. [End] makes it, and the metrics, the access
// log, the spans and the page read it: none of them decides for itself.
//
// The registry wraps the response of each request in a value that [Cut] writes to and
// End reads. It is found through the Unwrap method of response writers, like the
// features of [http.ResponseController], so a middleware that wraps the writer must
// have that method.
package record

import (
	"context"
	"errors"
	"net/http"

	"github.com/urfave/negroni/v3"
)

// of returns the record of the response that w belongs to, nil if a middleware hides
// it.
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
		case rec.hijacked && len(r.Header["Upgrade"]) > 0:
			rec.outcome = Outcome{Kind: KindSwitched, Status: http.StatusSwitchingProtocols}
		default:
			rec.outcome = outcomeOf(w, r, returned)
		}
	}
	return rec.outcome
}

// outcome returns the outcome of a request that ended so.
func (end ServerCut) outcome(w negroni.ResponseWriter) Outcome {
	switch {
	case end.Status != 0:
		return Outcome{Status: end.Status}
	case w.Written():
		return cutOff(w.Status(), w.Size(), Truncated)
	}
	return cutOff(0, 0, NoResponse)
}

// outcomeOf returns the outcome of a response that no module cut or took over. A
// handler may panic because its client left, as net/http/httputil.ReverseProxy does: then
// the server did not fail.
func outcomeOf(w negroni.ResponseWriter, r *http.Request, returned bool) Outcome {
	status, sent, left := w.Status(), w.Size(), r.Context().Err() != nil
	if left {
		if end, ok := errors.AsType[ServerCut](context.Cause(r.Context())); ok {
			return end.outcome(w)
		}
	}
	if r.Method == http.MethodHead { // net/http discards the body
		sent = 0
	}
	switch {
	case status > 999: // net/http refused it with a panic
		return cutOff(0, 0, NoResponse)
	case w.Written() && !returned && !left: // the server aborts the connection
		return cutOff(status, sent, Truncated)
	case w.Written():
		return Outcome{Status: status, Bytes: sent, Left: left}
	case left:
		return Outcome{Kind: KindClientLeft}
	case !returned:
		return Outcome{Status: http.StatusInternalServerError}
	}
	return Outcome{Status: http.StatusOK}
}
