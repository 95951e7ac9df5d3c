package faults

import (
	"io"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// maxAhead is the length up to which every body is read before a delay, in bytes. A
// longer one is read if it takes at most one part in aheadShare of what is left of
// the memory budget, so that held requests never use it up.
const (
	maxAhead   = 1 << 20
	aheadShare = 8
)

// bodyAhead is a body that was read ahead.
type bodyAhead struct {
	io.Reader
	io.Closer
}

// readAhead reads the body of a request that is to be delayed, unless it was read
// before, because net/http notices that a client has left only once the body was read.
// It leaves alone what it cannot or need not read: bodies over HTTP/2, whose resets are always noticed,
// those too large for the budget or of unknown length, and those that the client
// announced with Expect. Close the result after the request.
func (m *Module) readAhead(r *http.Request) (*budget.Buffer, error) {
	from := m.host.Budget()
	buf, most := from.Buffer(), max(maxAhead, (from.Limit()-from.Used())/aheadShare)
	if r.ContentLength <= 0 || r.ContentLength > most || r.ProtoMajor > 1 || r.Header.Get("Expect") != "" {
		return buf, nil
	}
	body := r.Body
	if _, again := body.(bodyAhead); again {
		return buf, nil
	}
	_, err := buf.ReadFrom(body)
	r.Body = bodyAhead{io.MultiReader(buf.Reader(), body), body}
	return buf, err
}
