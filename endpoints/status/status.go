// Package status answers with the status that was asked for.
package status

import (
	"fmt"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// The statuses that can be asked for. Below are the interim ones, which are no
// reply, and above is what HTTP has no room for (RFC 9110, 15).
const (
	lowest  = 200
	highest = 999
)

// Reply is the body of a reply.
type Reply struct {
	Status int `json:"status"`
}

// Module is status.
type Module struct {
	replies []byte // the bodies of all statuses, one after the other
	size    int    // of each: all have three digits
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "status", Doc: "Answer with the status that is asked for."}
}

// Provision encodes the replies.
func (m *Module) Provision(*registry.Host) error {
	for code := lowest; code <= highest; code++ {
		b, err := reply.Encode(Reply{code})
		if err != nil {
			return err
		}
		m.replies, m.size = append(m.replies, b...), len(b)
	}
	return nil
}

// Routes declares /status/{code}.
func (m *Module) Routes() []registry.Route {
	var out []registry.Route
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
		out = append(out, registry.Route{
			Method: method, Path: "/status/{code}", Handler: m.serve, Label: "status",
			Summary: "Status code", Tag: "HTTP API",
			Params:  map[string]string{"code": "the status to answer with, 200 to 999"},
			Returns: map[int]any{http.StatusOK: Reply{}, http.StatusBadRequest: reply.Problem{}},
		})
	}
	return out
}

func (m *Module) serve(w http.ResponseWriter, r *http.Request) {
	code, ok := parse(r.PathValue("code"))
	switch {
	case !ok:
		http.NotFound(w, r)
	case code < lowest || code > highest:
		reply.Error(w, http.StatusBadRequest, fmt.Sprintf("status out of range: want %d to %d", lowest, highest))
	case code == http.StatusNoContent || code == http.StatusNotModified:
		w.WriteHeader(code)
	default:
		at := (code - lowest) * m.size
		reply.Encoded(w, code, m.replies[at:at+m.size])
	}
}

// parse reads digits. However many there are, a number above highest stays
// above it.
func parse(s string) (code int, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		code = min(code*10+int(c-'0'), highest+1)
	}
	return code, s != ""
}
