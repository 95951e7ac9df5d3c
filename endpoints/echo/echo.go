// Package echo serves /echo, which returns the request's body or sends it to
// backends.
package echo

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// Module is the echo module.
type Module struct {
	setting.UIColor
	Backends []string      `env:"BACKEND_URL" secret:"part" doc:"URLs of the backends that /echo calls in parallel instead of echoing" accepts:"a comma-separated list of http and https URLs" takes:"URL,…"`
	Timeout  time.Duration `env:"HTTP_CLIENT_TIMEOUT" envDefault:"2m" doc:"time limit of each call of a backend, including its response body" accepts:"a duration above zero" needs:"BACKEND_URL"`
	MaxBytes int64         `env:"BACKEND_MAX_BYTES" envDefault:"10485760" doc:"size limit of a backend's response, in bytes" accepts:"a number of bytes, at least 1" needs:"BACKEND_URL"`

	colorHeader []string
	wrappers    []capability.TransportTracer
	build       registry.Build
	budget      *budget.Budget
	transport   *http.Transport
	client      *http.Client
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
	m.build, m.budget = h.Build(), h.Budget()
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
	for _, code := range []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable} {
		returns[code] = reply.Problem{}
	}
	var out []registry.Route
	paths := []string{"/echo", "/echo/{rest...}", "/api/echo", "/api/echo/{rest...}"}
	for _, path := range paths {
		rt := registry.Route{Path: path, Handler: handler, SameAs: paths, Returns: returns}
		if !strings.HasSuffix(path, "}") { // the documents show the others once
			rt.Summary, rt.Tag, rt.Body = "Echo", "HTTP API", "the body to echo or to send to the backends"
			rt.Accepts, rt.Headers = "hello", map[string]string{"X-Color": "color of the instance"}
		}
		out = append(out, rt)
	}
	return out
}

// autoLength is up to which size net/http sets the Content-Length itself.
const autoLength = 2 << 10

// echo returns the request's body byte for byte. It reads all of it first,
// because an error in it has to become the status. From then on each part of it
// is released once it is written.
func (m *Module) echo(w http.ResponseWriter, r *http.Request) {
	body := m.budget.Buffer()
	defer body.Close()
	if !reply.ReadBody(w, r, body) {
		return
	}
	w.Header()["X-Color"] = m.colorHeader
	if body.Len() > autoLength {
		w.Header()["Content-Length"] = []string{strconv.Itoa(body.Len())}
	}
	reply.SetRawHeader(w)
	w.WriteHeader(http.StatusAccepted)
	body.WriteTo(w)
}

// fanOut sends the request's body to all backends in parallel and returns their
// responses in the order of the setting.
func (m *Module) fanOut(w http.ResponseWriter, r *http.Request) {
	body := m.budget.Buffer()
	defer body.Close()
	if !reply.ReadBody(w, r, body) {
		return
	}
	wait.Extend(w, r, m.Timeout)
	header := m.header(r.Header)
	responses := make([]response, len(m.Backends))
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var calls sync.WaitGroup
	for i, backend := range m.Backends {
		responses[i].body = m.budget.Buffer()
		defer responses[i].body.Close()
		calls.Go(func() {
			responses[i].err = m.call(ctx, backend, header, body, responses[i].body)
			if errors.Is(responses[i].err, budget.ErrExceeded) {
				cancel() // the request is refused, whatever the others return
			}
		})
	}
	calls.Wait()
	body.Free()
	for _, res := range responses {
		if errors.Is(res.err, budget.ErrExceeded) {
			reply.BodyError(w, r, res.err)
			return
		}
	}
	w.Header()["X-Color"] = m.colorHeader
	writeAll(w, responses)
}
