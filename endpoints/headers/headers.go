// Package headers serves /headers, which returns the headers of the request.
package headers

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the headers module.
type Module struct{}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "headers", Doc: "Show the headers of the request."}
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

// serve redacts nothing, because the client sent the headers itself. Host is
// missing, because net/http removes it.
func serve(w http.ResponseWriter, r *http.Request) {
	reply.JSON(w, http.StatusOK, r.Header)
}
