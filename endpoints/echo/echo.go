// Package echo serves /echo, which returns the request's body or sends it to
// backends.
package echo

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// Module is the echo module.
type Module struct {
	setting.UIColor
	Backends []string      `env:"BACKEND_URL" secret:"part" doc:"URLs of the backends that /echo calls in parallel instead of echoing" accepts:"a comma-separated list of http and https URLs" takes:"URL,…"`
	Timeout  time.Duration `env:"HTTP_CLIENT_TIMEOUT" envDefault:"2m" doc:"time limit of each call of a backend, including its response body" accepts:"a duration above zero"`
	MaxBytes int64         `env:"BACKEND_MAX_BYTES" envDefault:"10485760" doc:"size limit of a backend's response, in bytes" accepts:"a number of bytes, at least 1"`

	colorHeader []string
	wrappers    []capability.TransportTracer
	build       registry.Build
	transport   *http.Transport
	client      *http.Client
	buffers     sync.Pool // of *bytes.Buffer
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "echo", Doc: "Return the request's body, or send it to backends and return their responses.", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	for _, b := range m.Backends {
		u, err := url.Parse(b)
		misread := err == nil && u.User == nil && u.Port() != "" && strings.Contains(b, "@") // the password ended the host
		if err != nil || misread || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			errs = append(errs, registry.Invalid("Backends", "a comma-separated list of http and https URLs"))
			break
		}
	}
	if m.Timeout <= 0 {
		errs = append(errs, registry.Invalid("Timeout", "a duration above zero"))
	}
	if !setting.ValidColor(m.Color) {
		errs = append(errs, registry.Unfit("Color", setting.ColorFormat))
	}
	if m.MaxBytes < 1 {
		errs = append(errs, registry.Invalid("MaxBytes", "a number of bytes, at least 1"))
	}
	return errors.Join(errs...)
}

// Provision finds the modules that wrap the transport.
func (m *Module) Provision(h *registry.Host) error {
	m.colorHeader = []string{m.Color}
	m.wrappers = registry.All(h, capability.TransportTracers)
	m.build = h.Build()
	return nil
}

// Start creates the client. The tracing module, which wraps its transport, starts
// earlier.
func (m *Module) Start(context.Context) error {
	m.transport = newTransport()
	var rt http.RoundTripper = m.transport
	for _, w := range m.wrappers {
		rt = w.TraceTransport(rt)
	}
	m.client = &http.Client{Transport: rt, Timeout: m.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a redirect may turn POST into GET and lose the body, or lead to another host
	}}
	return nil
}

// Stop closes the idle connections to the backends.
func (m *Module) Stop(context.Context) error {
	m.transport.CloseIdleConnections()
	return nil
}

// Routes declares /echo, /api/echo and all paths below them.
func (m *Module) Routes() []registry.Route {
	handler := m.echo
	returns := map[int]any{http.StatusAccepted: []byte{}}
	if len(m.Backends) > 0 {
		handler = m.fanOut
		returns = map[int]any{http.StatusOK: []string{}}
	}
	returns[http.StatusBadRequest], returns[http.StatusRequestEntityTooLarge] = reply.Problem{}, reply.Problem{}
	var out []registry.Route
	paths := []string{"/echo", "/echo/{rest...}", "/api/echo", "/api/echo/{rest...}"}
	for _, path := range paths {
		rt := registry.Route{Path: path, Handler: handler, SameAs: paths}
		if !strings.HasSuffix(path, "}") { // the documents show the others once
			rt.Summary, rt.Tag, rt.Body, rt.Returns = "Echo", "HTTP API", "the body to echo or to send to the backends", returns
		}
		out = append(out, rt)
	}
	return out
}

// maxPooled is the capacity above which a buffer is not returned to the pool.
const maxPooled = 64 << 10

// echo returns the request's body byte for byte.
func (m *Module) echo(w http.ResponseWriter, r *http.Request) {
	buf, _ := m.buffers.Get().(*bytes.Buffer)
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	defer func() {
		if buf.Cap() <= maxPooled {
			buf.Reset()
			m.buffers.Put(buf)
		}
	}()
	if n := r.ContentLength; n > 0 {
		buf.Grow(int(min(n, 1<<20)) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(r.Body); err != nil {
		reply.BodyError(w, err)
		return
	}
	w.Header()["X-Color"] = m.colorHeader
	reply.Raw(w, http.StatusAccepted, buf.Bytes())
}

// fanOut sends the request's body to all backends in parallel and returns their
// responses in the order of the setting.
func (m *Module) fanOut(w http.ResponseWriter, r *http.Request) {
	body, ok := reply.ReadBody(w, r)
	if !ok {
		return
	}
	wait.Extend(w, r, m.Timeout)
	header := m.header(r.Header)
	responses := make([]string, len(m.Backends))
	var calls sync.WaitGroup
	for i, backend := range m.Backends {
		calls.Go(func() { responses[i] = m.call(r.Context(), backend, header, body) })
	}
	calls.Wait()
	w.Header()["X-Color"] = m.colorHeader
	reply.JSON(w, http.StatusOK, responses)
}
