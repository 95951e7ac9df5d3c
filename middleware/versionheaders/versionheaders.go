// Package versionheaders tells the handlers, and the backends they call, which
// version took the request.
package versionheaders

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is version-headers.
type Module struct{ version, revision []string }

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "version-headers", Doc: "Set X-API-Version and X-API-Revision on the request.", Phase: registry.Enrich}
}

// Provision makes the headers' values. Every request shares them.
func (m *Module) Provision(h *registry.Host) error {
	b := h.Build()
	m.version, m.revision = []string{b.Version}, []string{b.Revision}
	return nil
}

// ServeHTTP overwrites what the client sent under these names.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	r.Header["X-Api-Version"] = m.version
	r.Header["X-Api-Revision"] = m.revision
	next(w, r)
}
