package faults

import (
	"io"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// maxAhead is the length of the longest body that is read before a delay, in bytes.
const maxAhead = 1 << 20

// readAhead reads the body of a request that is to be delayed, because net/http
// notices that a client has left only once the body was read. It leaves alone what
// it cannot or need not read: bodies over HTTP/2, whose resets are always noticed,
// large ones and those of unknown length, and those that the client announced with
// Expect. Close the result after the request.
func (m *Module) readAhead(r *http.Request) (*budget.Buffer, error) {
	buf := m.host.Budget().Buffer()
	if r.ContentLength <= 0 || r.ContentLength > maxAhead || r.ProtoMajor > 1 || r.Header.Get("Expect") != "" {
		return buf, nil
	}
	body := r.Body
	_, err := buf.ReadFrom(body)
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(buf.Reader(), body), body}
	return buf, err
}
