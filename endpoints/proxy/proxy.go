// Package proxy forwards every path that no other module serves to another
// service, so that the rest of the chain measures, guards and breaks it.
package proxy

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// Module is the proxy module.
type Module struct {
	// Handler, when set, is called instead of a service behind a URL, without a
	// network. A test harness uses it.
	Handler http.Handler `env:"-"`

	URL       string        `env:"URL" secret:"part" enables:"true" doc:"the service: http, https, h2c (HTTP/2 without TLS) or unix (the path of a socket); gRPC calls to an http URL use HTTP/2 too" accepts:"a URL such as http://localhost:8080, or unix:///run/app.sock" takes:"URL"`
	All       bool          `env:"ALL" doc:"forward every path, also those that podinfo serves itself; metrics, probes and the API of faults are then on the metrics port only"`
	Patterns  []string      `env:"ROUTES" doc:"paths with a metrics label of their own; the label of all others is proxied" accepts:"patterns such as /orders/{id} or /files/{rest...}" takes:"PATTERN,…"`
	Host      string        `env:"HOST_HEADER" envDefault:"client" doc:"header Host of forwarded requests: that of the client, or that of the URL" accepts:"client or service"`
	Forwarded string        `env:"FORWARDED" envDefault:"append" doc:"what becomes of X-Forwarded-For, -Host and -Proto: append this client, keep them as they are, or remove them" accepts:"append, keep or remove"`
	Hops      []string      `env:"HOP_HEADERS" doc:"hop-by-hop headers that pass in both directions; all others are removed, except for TE: trailers and those of an upgrade" accepts:"names such as Keep-Alive or Proxy-Authorization" takes:"NAME,…"`
	Connect   time.Duration `env:"CONNECT_TIMEOUT" envDefault:"10s" doc:"time limit for connecting to the service, with TLS" accepts:"a duration above zero"`
	Response  time.Duration `env:"RESPONSE_TIMEOUT" envDefault:"0s" doc:"time limit for the header of a response; 0 for none" accepts:"0, or a duration"`
	Idle      time.Duration `env:"IDLE_TIMEOUT" envDefault:"90s" doc:"time after which an idle connection to the service is closed; 0 makes a connection for each request" accepts:"0, or a duration"`
	CAFile    string        `env:"CA_FILE" doc:"PEM file of the certificate authorities of an https service; the system's by default" takes:"FILE"`
	Insecure  bool          `env:"INSECURE" doc:"accept any certificate of an https service"`

	host       *registry.Host
	target     *url.URL
	wrappers   []capability.TransportTracer
	verifies   bool     // a module verifies tokens
	hops       []string // canonical names
	transports transports
	proxy      *httputil.ReverseProxy
	failures   failures
	headers    headers
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "proxy", Doc: "Forward every path that no other module serves to another service.", OptIn: true}
}

// Provision finds the modules that wrap the transport. It refuses a target that leads
// back to the proxy.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host = h
	m.wrappers = registry.All(h, capability.TransportTracers)
	m.verifies = len(registry.All(h, capability.TokenVerifiers)) > 0
	m.hops = nil
	for _, name := range m.Hops {
		m.hops = append(m.hops, http.CanonicalHeaderKey(name))
	}
	if m.Handler != nil {
		return nil
	}
	if m.target, err = parseTarget(m.URL); err != nil {
		return err
	}
	var ports []capability.OwnPort
	for _, o := range registry.All(h, capability.PortOwners) {
		ports = append(ports, o.OwnPorts()...)
	}
	if serve.ComesBack(addressOf(m.target), ports) {
		return registry.Invalid("URL", "another port, for the service or for podinfo (PODINFO_PORT): the target is podinfo itself")
	}
	return nil
}

// Start creates the transports. The tracing module, which wraps them, starts
// earlier.
func (m *Module) Start(context.Context) error {
	m.warnOfHidden()
	if m.Handler != nil {
		return nil
	}
	conf, err := m.tlsConfig()
	if err != nil {
		return fmt.Errorf("PODINFO_PROXY_CA_FILE: %w", err)
	}
	m.host.Log.WithField("target", m.target.Redacted()).Info("Starting HTTP proxy.")
	m.transports = newTransports(m, conf)
	var rt http.RoundTripper = m.transports
	for _, w := range m.wrappers {
		rt = w.TraceTransport(rt)
	}
	m.proxy = &httputil.ReverseProxy{
		Rewrite: m.rewrite, Transport: rt, BufferPool: new(buffers),
		ModifyResponse: m.observe, ErrorHandler: m.fail, ErrorLog: discard,
	}
	return nil
}

// warnOfHidden logs the modules that were turned on and whose routes the proxy hides,
// except for those that the metrics port serves, and a module of tokens that another
// one verifies.
func (m *Module) warnOfHidden() {
	if !m.All {
		return
	}
	for _, s := range m.host.Modules() {
		_, serves := s.Module.(registry.Endpoint)
		_, admin := s.Module.(capability.AdminAPI)
		_, probes := s.Module.(capability.HealthProber)
		_, page := s.Module.(capability.MetricsPage)
		_, issues := s.Module.(capability.TokenIssuer)
		if serves && !admin && !probes && !page && !(issues && m.verifies) && s.Module != registry.Module(m) && s.State == registry.On && strings.HasPrefix(s.Why, registry.EnvPrefix) {
			m.host.Log.WithField("hidden", s.Info.Name).Warn("the proxy forwards every path, so that the routes of a module are not served; PODINFO_PROXY_ALL=false serves them beside the service")
		}
	}
}

// Stop closes the idle connections to the service.
func (m *Module) Stop(context.Context) error {
	if m.proxy != nil {
		m.transports.close()
	}
	return nil
}

// Routes declares a route for all paths that no other module serves, and those of
// the setting.
func (m *Module) Routes() []registry.Route {
	serve := m.serve
	if m.Handler != nil {
		serve = m.call
	}
	out := []registry.Route{{Path: "/{path...}", Handler: serve, Proxied: true, Alone: m.All, Label: "proxied"}}
	for _, p := range m.Patterns {
		out = append(out, registry.Route{Path: p, Handler: serve, Proxied: true})
	}
	return out
}

// rewrite makes the request to the service of a client's.
func (m *Module) rewrite(r *httputil.ProxyRequest) {
	in, out := r.In, r.Out
	out.Trailer = in.Trailer // the map that the server fills at the end of the body; ReverseProxy copies it before
	m.setURL(in, out)
	if m.Host == hostOfService && m.target.Host != "" {
		out.Host = m.target.Host
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values := in.Header[name]; values != nil && m.Forwarded != forwardRemove {
			out.Header[name] = values // ReverseProxy removes them
		}
	}
	if values := in.Header["Forwarded"]; values != nil && m.Forwarded != forwardRemove {
		out.Header["Forwarded"] = values
	}
	if m.Forwarded == forwardAppend {
		if r.SetXForwarded(); in.Host == "" { // as in HTTP/1.0
			out.Header.Del("X-Forwarded-Host")
		}
	}
	for _, name := range m.hops {
		if values := in.Header[name]; values != nil {
			out.Header[name] = values
		}
	}
	if user := m.target.User; user != nil && in.Header["Authorization"] == nil {
		password, _ := user.Password()
		out.SetBasicAuth(user.Username(), password)
	}
	if in.Header["User-Agent"] == nil {
		out.Header["User-Agent"] = nil // otherwise Go adds its own
	}
}

// setURL sets the URL. The path and the query stay as the client wrote them.
func (m *Module) setURL(in, out *http.Request) {
	out.URL.Scheme, out.URL.Host = m.target.Scheme, m.target.Host
	out.URL.RawQuery = in.URL.RawQuery // ReverseProxy removes what it cannot parse
	base := ""
	if m.target.Scheme == "unix" {
		out.URL.Scheme, out.URL.Host = "http", cmp.Or(in.Host, "localhost")
	} else if base = strings.TrimSuffix(m.target.EscapedPath(), "/"); base != "" {
		out.URL.RawPath = base + in.URL.EscapedPath()
		out.URL.Path = strings.TrimSuffix(m.target.Path, "/") + in.URL.Path
	}
	written := writtenPath(in)
	if written == in.URL.EscapedPath() {
		return
	}
	// net/http encodes characters that a URL does not have, such as | and ü, unless
	// the path is opaque. What begins with // it takes for a host and a path.
	out.URL.Opaque = base + written
	if strings.HasPrefix(out.URL.Opaque, "//") {
		out.URL.Opaque = "//" + out.URL.Host + out.URL.Opaque
	}
}

// writtenPath returns the path of a request as the client wrote it.
func writtenPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // http://host/path
		_, path, _ = strings.Cut(path, "://")
		path = path[max(0, strings.IndexByte(path, '/')):]
	}
	if plain, err := url.PathUnescape(path); err != nil || plain != r.URL.Path { // the chain has changed it
		return r.URL.EscapedPath()
	}
	return path
}
