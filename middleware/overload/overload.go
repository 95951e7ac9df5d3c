// Package overload refuses requests when the server has too many, and ends those
// whose client stands still.
package overload

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Module is the overload module.
type Module struct {
	MaxRequests int `env:"MAX_REQUESTS" doc:"maximum number of requests served and gRPC calls served at the same time, not counting probes; further ones get 503 or RESOURCE_EXHAUSTED; by default as many as fit in an eighth of the memory" accepts:"a whole number above zero"`

	requests atomic.Int64
	refused  atomic.Pointer[metrics.Counter]
	stalled  atomic.Pointer[metrics.Counter]
}

// Limits of the default.
const (
	share       = 8 // requests get an eighth of the memory
	requestSize = 32 << 10
	least, most = 64, 65536
)

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "overload", Doc: "Respond with 503 when too many requests are served, except to probes.", Phase: registry.Enrich}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.MaxRequests < 0 {
		return registry.Invalid("MaxRequests", "a whole number above zero")
	}
	return nil
}

// Provision derives the limit.
func (m *Module) Provision(h *registry.Host) error {
	m.refused.Store(new(metrics.Counter))
	m.stalled.Store(new(metrics.Counter))
	m.MaxRequests = h.DeriveCount("MaxRequests", m.MaxRequests, share, requestSize, least, most)
	return nil
}

// ContributeMetrics adds the numbers of requests that were refused to set. Other
// modules may count for the same reasons.
func (m *Module) ContributeMetrics(set *metrics.Set) {
	counter := func(reason string) *metrics.Counter {
		return set.GetOrCreateCounter(`podinfo_requests_refused_total{reason="` + reason + `"}`)
	}
	m.refused.Store(counter(record.RefusedConnections))
	m.stalled.Store(counter(record.RefusedStall))
}

// Bind returns the guard of a route. Probes are never refused: a part of the
// connections is reserved for them. /version is what people probe with.
func (m *Module) Bind(rt registry.Route) registry.Middleware {
	return &guard{m, !rt.Probe && rt.Path != "/version"}
}

// ServeRPC implements rpc.Middleware. Health checks and reflection are never
// refused.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	if call.Internal {
		return next(ctx)
	}
	n := m.requests.Add(1)
	defer m.requests.Add(-1)
	if n > int64(m.MaxRequests) {
		m.refused.Load().Inc()
		record.Refuse(ctx, record.RefusedConnections)
		delay := retryDelay
		return &rpc.Error{Code: rpc.ResourceExhausted, Message: message, Details: &rpc.Details{RetryDelay: &delay}}
	}
	return next(ctx)
}

const (
	message    = "too many requests are served now: try again later"
	retryDelay = time.Second // as in the header Retry-After
)

// guard is the middleware of a route.
type guard struct {
	module  *Module
	refuses bool
}

// ServeHTTP implements registry.Middleware.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	limits := serve.LimitsOf(r)
	if g.refuses {
		n := g.module.requests.Add(1)
		defer g.module.requests.Add(-1)
		if n > int64(g.module.MaxRequests) || limits != nil && limits.Pool.Overloaded() {
			serve.Leave(w, r)
			g.module.refused.Load().Inc()
			reply.Overloaded(w, r, record.RefusedConnections, message)
			return
		}
	}
	if limits == nil {
		next(w, r)
		return
	}
	n, ok := w.(negroni.ResponseWriter)
	if !ok { // a middleware before this one wrapped the writer
		n = negroni.NewResponseWriter(w)
	}
	t := limits.Watch(n, r)
	defer func() {
		if t.End(r) {
			g.module.stalled.Load().Inc()
			record.Refuse(r.Context(), record.RefusedStall)
		}
	}()
	next(t.Writer(r), r)
}
