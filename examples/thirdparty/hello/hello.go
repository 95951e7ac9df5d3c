// Package hello greets over HTTP and gRPC.
package hello

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is hello. PODINFO_HELLO_NAME, --hello-name and the key hello-name of
// the config file set its field.
type Module struct {
	Name string `env:"NAME" envDefault:"world" doc:"name in the greeting"`
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "hello", Doc: "Greet over HTTP and gRPC."}
}

// Routes declares /hello.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{{
		Method: http.MethodGet, Path: "/hello", Handler: m.serve,
		Summary: "Greet", Tag: "Examples", Returns: map[int]any{http.StatusOK: map[string]string{}},
	}}
}

func (m *Module) serve(w http.ResponseWriter, _ *http.Request) {
	reply.JSON(w, http.StatusOK, map[string]string{"hello": m.Name})
}
