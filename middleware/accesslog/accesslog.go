// Package accesslog logs each HTTP request and each gRPC call.
package accesslog

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// Module is the access-log module.
type Module struct {
	Level logrus.Level `env:"LEVEL" envDefault:"debug" doc:"level of the access log's lines" accepts:"debug, info, warn or error"`

	host    *registry.Host
	log     *logrus.Logger
	tracers []capability.RequestTracer
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "access-log", Doc: "Log each request after handling it.", Phase: registry.Observe}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.Level < logrus.ErrorLevel || m.Level > logrus.DebugLevel {
		return registry.Invalid("Level", "debug, info, warn or error")
	}
	return nil
}

// Provision stores the host and finds the tracers.
func (m *Module) Provision(h *registry.Host) error {
	m.host, m.log, m.tracers = h, h.Log.Logger, registry.All(h, capability.RequestTracers)
	return nil
}

// Bind returns the module for a route. In the log, requests for paths that only the
// service behind the proxy has carry the label that they have in the metrics.
func (m *Module) Bind(rt registry.Route) registry.Middleware {
	if rt.Proxied && rt.Path == "/{path...}" {
		return &labelled{m, rt.Label}
	}
	return m
}

// labelled is the module for a route with another name than its pattern.
type labelled struct {
	*Module
	route string
}

// ServeHTTP implements negroni.Handler.
func (l *labelled) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	l.serve(w, r, next, l.route)
}

// ServeHTTP logs the request when next returns. When a handler panics, it logs
// the request and does not recover.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	m.serve(w, r, next, "")
}

func (m *Module) serve(w http.ResponseWriter, r *http.Request, next http.HandlerFunc, route string) {
	if !m.log.IsLevelEnabled(m.Level) {
		next(w, r)
		return
	}
	rw, ok := w.(negroni.ResponseWriter)
	if !ok { // a middleware before this one wrapped the writer
		rw = negroni.NewResponseWriter(w)
	}
	c := &call{faultContext: faultContext{Context: r.Context(), module: m}, line: line{
		Context: r.Context(), request: r, route: route, path: r.URL.Path, query: r.URL.RawQuery, agent: r.UserAgent(), trace: m.trace(r.Context(), r.Header["Traceparent"]), grpc: record.IsCall(r),
	}}
	c.line.client, c.line.scheme = m.host.Client(r) // before the handler, which may change the headers
	began, returned := time.Now(), false
	defer func() {
		c.line.duration = time.Since(began)
		c.line.outcome = record.End(rw, r, returned)
		if c.line.grpc {
			c.line.code, c.line.grpc = c.line.outcome.Code(rw.Header())
		}
		m.write(c)
	}()
	next(rw, r.WithContext(c))
	returned = true
}

func (m *Module) write(c *call) {
	c.line.faults, c.line.refused = c.names(), c.refusal.Reason()
	c.entry = logrus.Entry{Logger: m.log, Context: &c.line}
	c.entry.Log(m.Level, "request completed")
}

// call is the context of a request that will be logged, together with its log
// line, in one allocation. It is not pooled, because a handler's goroutines may
// use the context after the request has ended.
type call struct {
	faultContext
	line  line
	entry logrus.Entry
}

// faultContext is a context with the faults that were injected below it, and the
// reason of a refusal.
type faultContext struct {
	context.Context
	module *Module
	faults
	refusal record.Refusal
}

// Value returns the call's faults to FaultInjected, which may have any context
// derived from the call. The key is the module, so that the access logs of two
// servers in one process do not mix.
func (c *faultContext) Value(key any) any {
	switch key {
	case any(c.module):
		return &c.faults
	case any(record.RefusalKey{}):
		return &c.refusal
	}
	return c.Context.Value(key)
}

// faults are the names of the faults injected into one request.
type faults struct {
	mu     sync.Mutex
	joined string // with commas
}

func (f *faults) add(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.joined != "" {
		f.joined += ","
	}
	f.joined += name
}

func (f *faults) names() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.joined
}

// FaultInjected adds the fault to the request's line. It implements
// registry/fault's observer.
func (m *Module) FaultInjected(ctx context.Context, fault string) {
	if f, ok := ctx.Value(m).(*faults); ok {
		f.add(fault)
	}
}
