// Package pprof serves Go's runtime profiles below /debug/pprof/ on the main
// port. The metrics port has them without it.
package pprof

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/internal/profile"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is pprof.
type Module struct{}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "pprof", Doc: "Serve Go's runtime profiles on the main port too.", OptIn: true}
}

// Routes declares what lies below /debug/pprof/. POST is for looking up
// symbols.
func (*Module) Routes() []registry.Route {
	return []registry.Route{{Path: profile.Path + "{rest...}", Handler: serve, Internal: true}}
}

func serve(w http.ResponseWriter, r *http.Request) {
	profile.Serve(w, r, r.PathValue("rest"))
}
