// Package panic serves /panic, which ends the process. Whoever imports it
// gives it another name, so as not to hide the built-in function.
package panic

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Code is what the process exits with.
const Code = 255

// Module is panic.
type Module struct{ host *registry.Host }

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "panic", Doc: "End the process on request, to see it restarted."}
}

// Provision keeps the host.
func (m *Module) Provision(h *registry.Host) error { m.host = h; return nil }

// Routes declares /panic. It is not internal, so that fault injection can be
// used to fend it off.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{{
		Method: http.MethodGet, Path: "/panic", Handler: m.serve,
		Summary: "End the process with exit code 255, without a reply", Tag: "HTTP API",
		Returns: map[int]any{http.StatusInternalServerError: registry.Error{}},
	}}
}

// serve replies only where there is no process to end.
func (m *Module) serve(w http.ResponseWriter, r *http.Request) {
	m.host.Log.WithField("remote", r.RemoteAddr).WithField("code", Code).Error("Panic asked for, the process ends.")
	m.host.Exit(Code)
	registry.WriteError(w, http.StatusInternalServerError, "this server does not end its process")
}
