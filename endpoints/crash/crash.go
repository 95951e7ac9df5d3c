// Package crash is the panic module: /panic and its RPC end the process. The
// package is not called panic because that would hide the built-in function.
package crash

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
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
		Returns: map[int]any{http.StatusForbidden: reply.Problem{}, http.StatusInternalServerError: reply.Problem{}},
	}}
}

// serve replies only where there is no process to end, and to a browser that
// another site's page has send the request: an image's address is enough for
// that, and it must not end anything (Fetch Metadata, Sec-Fetch-Site).
func (m *Module) serve(w http.ResponseWriter, r *http.Request) {
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		reply.Error(w, http.StatusForbidden, "another site's page asked for it")
		return
	}
	m.host.Log.WithField("remote", r.RemoteAddr).WithField("code", Code).Error("Panic asked for, the process ends.")
	m.host.Exit(Code)
	reply.Error(w, http.StatusInternalServerError, "this server does not end its process")
}
