// Package version serves /version, which returns the version and the commit.
package version

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the version module.
type Module struct {
	build registry.Build
	reply []byte
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "version", Doc: "Return the version and the commit of the program."}
}

// Provision encodes the response, which never changes.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.build = h.Build()
	m.reply, err = reply.Encode(map[string]string{"version": m.build.Version, "commit": m.build.Revision})
	return err
}

// Routes declares /version.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{{
		Method: http.MethodGet, Path: "/version", Handler: m.serve,
		Summary: "Version", Tag: "HTTP API",
		Returns: map[int]any{http.StatusOK: map[string]string{"version": "6.0.0", "commit": "unknown"}},
	}}
}

func (m *Module) serve(w http.ResponseWriter, _ *http.Request) {
	reply.Encoded(w, http.StatusOK, m.reply)
}
