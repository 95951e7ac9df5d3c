// Package headers serves /headers.
package headers

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is headers.
type Module struct{}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "headers", Doc: "Show the headers a request arrived with."}
}

// Routes declares /headers.
func (m *Module) Routes() []registry.Route {
	var out []registry.Route
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		out = append(out, registry.Route{
			Method: method, Path: "/headers", Handler: serve,
			Summary: "Headers of the request", Tag: "HTTP API",
			Returns: map[int]any{http.StatusOK: map[string][]string{"User-Agent": {"curl/8.14.1"}}},
		})
	}
	return out
}

// serve shows a client what it sent itself, so nothing is hidden from it. Host
// is not among them: net/http takes it out.
func serve(w http.ResponseWriter, r *http.Request) {
	reply.JSON(w, http.StatusOK, r.Header)
}
