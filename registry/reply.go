package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/urfave/negroni/v3"
)

// Values of headers that every reply shares. They are never modified; sharing
// them saves each reply an allocation.
var (
	contentJSON = []string{"application/json; charset=utf-8"}
	contentRaw  = []string{"application/octet-stream"}
	nosniff     = []string{"nosniff"}
	inert       = []string{"default-src 'none'"}
)

// EncodeJSON is the body WriteJSON writes: two spaces of indentation, HTML
// escaped, no final newline.
func EncodeJSON(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }

// WriteJSON replies with v as JSON.
func WriteJSON(w http.ResponseWriter, code int, v any) {
	b, err := EncodeJSON(v)
	if err != nil {
		WriteError(w, http.StatusInternalServerError, err.Error())
		return
	}
	WriteEncoded(w, code, b)
}

// WriteEncoded replies with JSON that is encoded already.
func WriteEncoded(w http.ResponseWriter, code int, body []byte) {
	h := w.Header()
	h["Content-Type"] = contentJSON
	h["X-Content-Type-Options"] = nosniff
	w.WriteHeader(code)
	w.Write(body)
}

// WriteRaw replies with bytes that came from a client. Whatever they are, no
// browser will show them as a page.
func WriteRaw(w http.ResponseWriter, code int, body []byte) {
	RawHeader(w)
	w.WriteHeader(code)
	w.Write(body)
}

// RawHeader sets the headers of WriteRaw.
func RawHeader(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = contentRaw
	h["X-Content-Type-Options"] = nosniff
	h["Content-Security-Policy"] = inert
}

// Error is the body of a reply that refuses.
type Error struct {
	Code    int    `json:"code"`    // the reply's status
	Message string `json:"message"` // why, for a person
}

// WriteError refuses with an [Error].
func WriteError(w http.ResponseWriter, code int, message string) {
	WriteJSON(w, code, Error{Code: code, Message: message})
}

// ReadBody reads the request's body. When that fails it replies 413 or 400 and
// returns false.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= 1<<20 {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := io.Copy(&buf, r.Body); err != nil {
		WriteBodyError(w, err)
		return nil, false
	}
	return buf.Bytes(), true
}

// WriteBodyError replies to an error from reading a request's body.
func WriteBodyError(w http.ResponseWriter, err error) {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		WriteError(w, http.StatusRequestEntityTooLarge, "request body too large")
		return
	}
	WriteError(w, http.StatusBadRequest, "invalid request body")
}

// StatusClientLeft is what nginx calls a request whose client left before the
// reply.
const StatusClientLeft = 499

// StatusCut is what nginx calls a request whose connection the server closed
// before the whole reply.
const StatusCut = 444

// cutKey is in the header map of a reply that was cut, where it is not sent
// any more. No header has such a name.
const cutKey = ":cut"

// Cut has those who record the request see that its client got no whole reply,
// and of the body no more than sent bytes, whatever was written. Call it when
// the header is sent or never will be. The last call counts.
func Cut(w http.ResponseWriter, sent int) { w.Header()[cutKey] = []string{strconv.Itoa(sent)} }

// Sent is how many bytes of a reply's body were sent, for those that record
// the request.
func Sent(w negroni.ResponseWriter) int {
	if cut := w.Header()[cutKey]; len(cut) > 0 {
		n, _ := strconv.Atoi(cut[0])
		return n
	}
	return w.Size()
}

// Outcome is the status that the client of a request saw, for those that
// record it. A reply that was cut counts as 444. A handler that wrote nothing
// or took the connection over counts as 200, or as 499 when the client had
// left; one that panicked, so that it never returned, as 500.
func Outcome(w negroni.ResponseWriter, r *http.Request, returned bool) int {
	_, cut := w.Header()[cutKey]
	switch status := w.Status(); {
	case cut:
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
