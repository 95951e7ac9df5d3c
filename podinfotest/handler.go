package podinfotest

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// handled serves someone's own handler in place of the stock routes.
type handled struct{ handler http.Handler }

// Info describes the module.
func (*handled) Info() registry.Info {
	return registry.Info{Name: "podinfotest-handler", Doc: "Serve the test's own handler."}
}

// Routes declares one route for every path, as the client sent it.
func (m *handled) Routes() []registry.Route {
	return []registry.Route{{Path: "/{path...}", Handler: m.serve, Proxied: true, Alone: true, Label: "handler"}}
}

// serve calls the handler without the path values and the pattern of the route, which
// the handler's own ServeMux sets.
func (m *handled) serve(w http.ResponseWriter, r *http.Request) {
	r.Pattern = ""
	m.handler.ServeHTTP(w, r)
}
