// Package reply writes responses the way podinfo does: indented JSON, errors as
// {"code", "message"}, and bodies that no browser renders.
package reply

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
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

// ReadBody reads the request's body. When that fails it replies 413 or 400 and
// returns false.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= 1<<20 {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := io.Copy(&buf, r.Body); err != nil {
		BodyError(w, err)
		return nil, false
	}
	return buf.Bytes(), true
}

// BodyError replies to an error from reading a request's body.
func BodyError(w http.ResponseWriter, err error) {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		Error(w, http.StatusRequestEntityTooLarge, "request body too large")
		return
	}
	Error(w, http.StatusBadRequest, "invalid request body")
}
