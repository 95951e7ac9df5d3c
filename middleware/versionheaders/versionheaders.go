// Package versionheaders names the version on each request, for the handlers and
// the backends that they call, and on each response, for clients of several
// versions.
package versionheaders

import (
	"context"
	"net/http"
	"os"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Module is the version-headers module.
type Module struct {
	// A zero in a literal means the default. Set PODINFO_VERSION_HEADERS_RESPONSE=false to say zero.
	Response bool `env:"RESPONSE" envDefault:"true" doc:"set X-Podinfo-Version and X-Podinfo-Host on each response, also on errors and faults"`

	version, revision, hostname []string
}

// Names of the headers of responses, as net/http and gRPC spell them.
const (
	versionHeader   = "X-Podinfo-Version"
	hostHeader      = "X-Podinfo-Host"
	versionMetadata = "x-podinfo-version"
	hostMetadata    = "x-podinfo-host"
)

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "version-headers", Doc: "Set X-API-Version and X-API-Revision on the request, and X-Podinfo-Version and X-Podinfo-Host on the response.", Phase: registry.Enrich}
}

// Provision prepares the header values, which all requests share.
func (m *Module) Provision(h *registry.Host) error {
	b := h.Build()
	hostname, err := os.Hostname()
	m.version, m.revision, m.hostname = []string{b.Version}, []string{b.Revision}, []string{hostname}
	return err
}

// Covers reports whether requests are for this server. A proxy is transparent:
// the response says who made it.
func (*Module) Covers(rt registry.Route) bool { return !rt.Proxied }

// DescribeRoute adds the headers of responses to the API documents.
func (m *Module) DescribeRoute(rt *registry.Route) {
	if m.Response {
		rt.Headers[versionHeader], rt.Headers[hostHeader] = "version of the server that responds", "host name of the server that responds"
	}
}

// ServeHTTP sets the headers. It overwrites values from the client.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	r.Header["X-Api-Version"] = m.version
	r.Header["X-Api-Revision"] = m.revision
	if m.Response {
		h := w.Header()
		h[versionHeader], h[hostHeader] = m.version, m.hostname
	}
	next(w, r)
}

// ResponseHeader returns the headers of responses, for those that do not pass the
// chain.
func (m *Module) ResponseHeader() http.Header {
	if !m.Response {
		return nil
	}
	return http.Header{versionHeader: m.version, hostHeader: m.hostname}
}

// ServeRPC sets the headers of the response to a call, also to a health check.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	if c, ok := call.Client.(rpc.Connection); ok && m.Response {
		c.SetHeader(versionMetadata, m.version[0])
		c.SetHeader(hostMetadata, m.hostname[0])
	}
	return next(ctx)
}
