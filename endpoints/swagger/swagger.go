// Package swagger serves the documentation of the API: a Swagger 2.0 document and
// Swagger UI.
package swagger

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the swagger endpoint.
type Module struct {
	host  *registry.Host
	files map[string]file // by path below /swagger
}

// Info returns the module's name and purpose.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "swagger", Doc: "Document the API that is served, for people and for tools."}
}

// Provision reads the embedded files.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host = h
	m.files, err = files()
	return err
}

// Routes returns /swagger.json and everything below /swagger/.
func (m *Module) Routes() []registry.Route {
	paths := []string{"/swagger.json", "/swagger/{rest...}"} // the document is at /swagger/doc.json too
	return []registry.Route{
		{Path: paths[0], Handler: m.serveDocument, Internal: true, SameAs: paths},
		{Method: http.MethodGet, Path: paths[1], Handler: m.serveUI, Internal: true, SameAs: paths},
	}
}

// serveDocument serves the document of the routes that are served now. A Switch
// changes it.
func (m *Module) serveDocument(w http.ResponseWriter, _ *http.Request) {
	var routes []registry.Route
	for _, rt := range m.host.Assembly().Mounted() {
		routes = append(routes, rt.Route)
	}
	reply.JSON(w, http.StatusOK, newDocument(routes, m.host.Build().Version, m.host.Prefix()))
}

// serveUI serves Swagger UI, and the document at the path where upstream has it.
func (m *Module) serveUI(w http.ResponseWriter, r *http.Request) {
	path := r.PathValue("rest")
	if f, ok := m.files[path]; ok {
		f.serve(w, r)
		return
	}
	switch path {
	case "":
		w.Header().Set("Location", "index.html") // relative, as a proxy may strip or add a prefix
		w.WriteHeader(http.StatusMovedPermanently)
	case "doc.json":
		m.serveDocument(w, r)
	default:
		m.host.Error(w, r, http.StatusNotFound, "page not found")
	}
}
