// Package swagger serves the documentation of the API: a document as OpenAPI 3.1
// and as Swagger 2.0, and Swagger UI.
package swagger

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the swagger endpoint.
type Module struct {
	host *registry.Host
}

// Info returns the module's name and purpose.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "swagger", Doc: "Document the API that is served, for people and for tools."}
}

// Provision stores the host.
func (m *Module) Provision(h *registry.Host) error {
	m.host = h
	return nil
}

// Routes returns /openapi.json, /swagger.json and everything below /swagger/.
func (m *Module) Routes() []registry.Route {
	paths := []string{"/swagger.json", "/swagger/{rest...}", "/openapi.json"} // Swagger 2.0 is at /swagger/doc.json too
	return []registry.Route{
		{Path: paths[0], Handler: m.serveSwagger, Internal: true, SameAs: paths},
		{Method: http.MethodGet, Path: paths[1], Handler: m.serveUI, Internal: true, SameAs: paths},
		{Method: http.MethodGet, Path: paths[2], Handler: m.serveOpenAPI, Internal: true, SameAs: paths},
	}
}

// routes returns the routes that are served now. A Switch changes them.
func (m *Module) routes() (out []registry.Route) {
	for _, rt := range m.host.Assembly().Mounted() {
		out = append(out, rt.Route)
	}
	return out
}

// base returns the path below which a client finds the routes: the prefix and, when
// the App is embedded behind http.StripPrefix, what that removed.
func (m *Module) base(r *http.Request) string {
	base := m.host.Prefix()
	if sent, err := url.ParseRequestURI(r.RequestURI); err == nil {
		if outer, ok := strings.CutSuffix(sent.Path, r.URL.Path); ok {
			base = outer + base
		}
	}
	return cmp.Or((&url.URL{Path: base}).EscapedPath(), "/")
}

func (m *Module) serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	reply.JSON(w, http.StatusOK, newOpenAPI(m.routes(), m.host.Build().Version, m.base(r)))
}

func (m *Module) serveSwagger(w http.ResponseWriter, r *http.Request) {
	reply.JSON(w, http.StatusOK, newSwagger(m.routes(), m.host.Build().Version, m.base(r)))
}

// serveUI serves Swagger UI, and the document at the path where upstream has it.
func (m *Module) serveUI(w http.ResponseWriter, r *http.Request) {
	path := r.PathValue("rest")
	all, err := files()
	if err != nil {
		m.host.Error(w, r, http.StatusInternalServerError, err.Error())
		return
	}
	if f, ok := all[path]; ok {
		f.serve(w, r)
		return
	}
	switch path {
	case "":
		w.Header().Set("Location", "index.html") // relative, as a proxy may strip or add a prefix
		w.WriteHeader(http.StatusMovedPermanently)
	case "doc.json":
		m.serveSwagger(w, r)
	default:
		m.host.Error(w, r, http.StatusNotFound, "page not found")
	}
}
