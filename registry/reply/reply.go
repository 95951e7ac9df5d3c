// Package reply writes responses the way podinfo does: indented JSON, errors as
// {"code", "message"}, and bodies that no browser renders.
package reply

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// Values of headers that every reply shares. They are never modified; sharing
// them saves each reply an allocation.
var (
	contentJSON = []string{"application/json; charset=utf-8"}
	contentRaw  = []string{"application/octet-stream"}
	nosniff     = []string{"nosniff"}
	inert       = []string{"default-src 'none'"}
)

// Encode is the body JSON writes: two spaces of indentation, HTML
// escaped, no final newline.
func Encode(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }

// JSON replies with v as JSON.
func JSON(w http.ResponseWriter, code int, v any) {
	b, err := Encode(v)
	if err != nil {
		Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	Encoded(w, code, b)
}

// Encoded replies with JSON that is encoded already.
func Encoded(w http.ResponseWriter, code int, body []byte) {
	h := w.Header()
	h["Content-Type"] = contentJSON
	h["X-Content-Type-Options"] = nosniff
	w.WriteHeader(code)
	w.Write(body)
}

// Raw replies with bytes that came from a client. Whatever they are, no
// browser will show them as a page.
func Raw(w http.ResponseWriter, code int, body []byte) {
	SetRawHeader(w)
	w.WriteHeader(code)
	w.Write(body)
}

// SetRawHeader sets the headers of Raw.
func SetRawHeader(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = contentRaw
	h["X-Content-Type-Options"] = nosniff
	h["Content-Security-Policy"] = inert
}

// Problem is the body of an error response.
type Problem struct {
	Code    int    `json:"code"`    // the reply's status
	Message string `json:"message"` // why, for a person
}

// Error replies with a [Problem].
func Error(w http.ResponseWriter, code int, message string) {
	JSON(w, code, Problem{Code: code, Message: message})
}

// ReadBody reads the request's body into to, whatever length the client declared.
// When reading fails, it replies 413, 400 or, when the budget of the buffer has no
// room, 503 and returns false.
//
//	body := m.budget.Buffer() // of Host.Budget
//	defer body.Close()
//	if !reply.ReadBody(w, r, body) {
//		return
//	}
func ReadBody(w http.ResponseWriter, r *http.Request, to *budget.Buffer) bool {
	if _, err := to.ReadFrom(r.Body); err != nil {
		BodyError(w, r, err)
		return false
	}
	return true
}

// ReadBytes is ReadBody for a body that is needed in one piece. It must not be
// used after the buffer is closed. A body of more than 2 KiB takes twice its size
// for a moment.
func ReadBytes(w http.ResponseWriter, r *http.Request, to *budget.Buffer) ([]byte, bool) {
	if !ReadBody(w, r, to) {
		return nil, false
	}
	b, err := to.Bytes()
	if err != nil {
		BodyError(w, r, err)
	}
	return b, err == nil
}

// Limit makes the body of a copy of r fail when it is larger than n bytes, so that
// reading it replies 413.
func Limit(w http.ResponseWriter, r *http.Request, n int64) *http.Request {
	r = r.WithContext(r.Context()) // net/http looks for its own body in the original
	r.Body = http.MaxBytesReader(w, r.Body, n)
	return r
}

// Overloaded refuses a request that the server has no room for now, with 503
// and Retry-After. The access log shows the reason, see [record.Refuse].
func Overloaded(w http.ResponseWriter, r *http.Request, reason, message string) {
	record.Refuse(r.Context(), reason)
	w.Header().Set("Retry-After", "1")
	Error(w, http.StatusServiceUnavailable, message)
}

// BodyError replies to an error from reading a request's body.
func BodyError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, budget.ErrExceeded) {
		Overloaded(w, r, record.RefusedMemory, "no memory for this request now: try again later")
		return
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		Error(w, http.StatusRequestEntityTooLarge, "request body too large")
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		Error(w, http.StatusRequestTimeout, "request body not received in time")
		return
	}
	Error(w, http.StatusBadRequest, "invalid request body")
}
