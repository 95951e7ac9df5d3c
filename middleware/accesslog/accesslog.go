// Package accesslog writes a line about each request and each gRPC call.
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

// Module is access-log.
type Module struct {
	Level logrus.Level `env:"LEVEL" envDefault:"debug" doc:"level of the lines about requests" accepts:"debug, info, warn or error"`

	log     *logrus.Logger
	tracers []capability.RequestTracer
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "access-log", Doc: "Log each request after it was handled.", Phase: registry.Observe}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.Level < logrus.ErrorLevel || m.Level > logrus.DebugLevel {
		return registry.Invalid("Level", "debug, info, warn or error")
	}
	return nil
}

// Provision finds the logger and the tracers.
func (m *Module) Provision(h *registry.Host) error {
	m.log, m.tracers = h.Log.Logger, registry.All(h, capability.RequestTracers)
	return nil
}

// ServeHTTP logs the request also when a handler panics, and leaves the panic
// alone.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if !m.log.IsLevelEnabled(m.Level) {
		next(w, r)
		return
	}
	rw, ok := w.(negroni.ResponseWriter)
	if !ok { // middleware outside this one wrapped it
		rw = negroni.NewResponseWriter(w)
	}
	c := &call{faultContext: faultContext{Context: r.Context(), module: m}, line: line{
		Context: r.Context(), request: r, agent: r.UserAgent(), trace: m.traceID(r.Context(), r.Header["Traceparent"]),
	}}
	began, returned := time.Now(), false
	defer func() {
		c.line.duration = time.Since(began)
		c.line.status = record.Outcome(rw, r, returned)
		if r.Method != http.MethodHead { // net/http drops what is written
			c.line.bytes = record.Sent(rw)
		}
		m.write(c)
	}()
	next(rw, r.WithContext(c))
	returned = true
}

func (m *Module) write(c *call) {
	c.line.faults = c.names()
	c.entry = logrus.Entry{Logger: m.log, Context: &c.line}
	c.entry.Log(m.Level, "request completed")
}

// call is the context of a request that will be logged, and the line about it
// in one piece of memory. It is not pooled: a handler's goroutines may keep the
// context for longer than the request.
type call struct {
	faultContext
	line  line
	entry logrus.Entry
}

// faultContext is a context with the faults that were injected below it.
type faultContext struct {
	context.Context
	module *Module
	faults
}

// Value returns the faults. The key is the module, so that the access logs of two
// servers do not meet.
func (c *faultContext) Value(key any) any {
	if key == any(c.module) {
		return &c.faults
	}
	return c.Context.Value(key)
}

// faults are those injected into one request.
type faults struct {
	mu    sync.Mutex
	joint string
}

func (f *faults) add(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.joint != "" {
		f.joint += ","
	}
	f.joint += name
}

func (f *faults) names() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.joint
}

// FaultInjected notes the fault for the line, as an observer of
// registry/fault.
func (m *Module) FaultInjected(ctx context.Context, fault string) {
	if f, ok := ctx.Value(m).(*faults); ok {
		f.add(fault)
	}
}
