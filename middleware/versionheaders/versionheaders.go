// Package versionheaders adds the version and the revision to each request, for
// the handlers and the backends that they call.
package versionheaders

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is the version-headers module.
type Module struct{ version, revision []string }

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "version-headers", Doc: "Set X-API-Version and X-API-Revision on the request.", Phase: registry.Enrich}
}

// Provision prepares the header values, which all requests share.
func (m *Module) Provision(h *registry.Host) error {
	b := h.Build()
	m.version, m.revision = []string{b.Version}, []string{b.Revision}
	return nil
}

// Covers reports whether requests are for this server.
func (*Module) Covers(rt registry.Route) bool { return !rt.Proxied }

// ServeHTTP sets the two headers. It overwrites values from the client.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	r.Header["X-Api-Version"] = m.version
	r.Header["X-Api-Revision"] = m.revision
	next(w, r)
}
