// Package status serves /status, which responds with the requested status.
package status

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// The range of statuses. Statuses below it are interim responses, and HTTP
// statuses have three digits (RFC 9110, section 15).
const (
	lowest  = 200
	highest = 999
)

// Reply is the body of a response.
type Reply struct {
	Status int `json:"status"`
}

// Module is the status module.
type Module struct{}

// bodies holds the response bodies of all statuses, one after the other, each of the
// same size. They are encoded once, at the first request.
type bodies struct {
	all  []byte
	size int
}

var encoded = sync.OnceValue(func() (b bodies) {
	for code := lowest; code <= highest; code++ {
		body, err := reply.Encode(Reply{code})
		if err != nil {
			panic(err) // impossible: a number can be encoded
		}
		b.all, b.size = append(b.all, body...), len(body)
	}
	return b
})

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "status", Doc: "Respond with the requested status."}
}

// Routes declares /status/{code}.
func (m *Module) Routes() []registry.Route {
	var out []registry.Route
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
		out = append(out, registry.Route{
			Method: method, Path: "/status/{code}", Handler: m.serve, Label: "status",
			Summary: "Status code", Tag: "HTTP API",
			Examples: map[string]string{"code": "200"},
			Params:   map[string]string{"code": "status of the response, 200 to 999"},
			Returns:  map[int]any{http.StatusOK: Reply{200}, 0: Reply{}, http.StatusNoContent: nil, http.StatusNotModified: nil, http.StatusNotFound: reply.Problem{}, http.StatusBadRequest: reply.Problem{}},
		})
	}
	return out
}

func (m *Module) serve(w http.ResponseWriter, r *http.Request) {
	code, ok := parse(r.PathValue("code"))
	switch {
	case !ok:
		reply.Error(w, http.StatusNotFound, "page not found")
	case code < lowest || code > highest:
		reply.Error(w, http.StatusBadRequest, fmt.Sprintf("status out of range: want %d to %d", lowest, highest))
	case code == http.StatusNoContent || code == http.StatusNotModified:
		w.WriteHeader(code)
	default:
		b := encoded()
		start := (code - lowest) * b.size
		reply.Encoded(w, code, b.all[start:start+b.size])
	}
}

// parse parses decimal digits. It returns highest+1 for any larger number, so
// that none overflows.
func parse(s string) (code int, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		code = min(code*10+int(c-'0'), highest+1)
	}
	return code, s != ""
}
