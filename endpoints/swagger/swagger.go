// Package swagger documents the routes that are served, as a Swagger 2.0
// document and as Swagger UI.
package swagger

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is swagger.
type Module struct {
	host  *registry.Host
	files map[string]file // what lies below /swagger, by path
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "swagger", Doc: "Document the API that is served, for people and for tools."}
}

// Provision reads the files, which are part of the program.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host = h
	m.files, err = files()
	return err
}

// Routes declares /swagger.json and what lies below /swagger/.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{
		{Path: "/swagger.json", Handler: m.serveDocument, Internal: true},
		{Method: http.MethodGet, Path: "/swagger/{rest...}", Handler: m.serveUI, Internal: true},
	}
}

// serveDocument describes what is served now: a Switch changes it.
func (m *Module) serveDocument(w http.ResponseWriter, _ *http.Request) {
	reply.JSON(w, http.StatusOK, describe(m.host.Assembly().Mounted(), m.host.Build().Version, m.host.Prefix()))
}

func (m *Module) serveUI(w http.ResponseWriter, r *http.Request) {
	path := r.PathValue("rest")
	if f, ok := m.files[path]; ok {
		f.serve(w, r)
		return
	}
	switch path {
	case "":
		w.Header().Set("Location", m.host.Prefix()+"/swagger/index.html")
		w.WriteHeader(http.StatusMovedPermanently)
	case "doc.json":
		m.serveDocument(w, r)
	default:
		http.NotFound(w, r)
	}
}
