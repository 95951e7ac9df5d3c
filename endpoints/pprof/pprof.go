// Package pprof serves Go's runtime profiles at /debug/pprof/ on the main port.
// The metrics port serves them without this module.
package pprof

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/internal/profile"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is the pprof module.
type Module struct{}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "pprof", Doc: "Serve Go's runtime profiles on the main port as well.", OptIn: true}
}

// Routes declares /debug/pprof/ and all paths below it, for any method, because
// clients look up symbols with POST.
func (*Module) Routes() []registry.Route {
	return []registry.Route{{Path: profile.Path + "{rest...}", Handler: serve, Internal: true}}
}

func serve(w http.ResponseWriter, r *http.Request) {
	profile.Serve(w, r, r.PathValue("rest"))
}
