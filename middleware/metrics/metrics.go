// Package metrics counts and times requests and serves the result to Prometheus
// at /metrics.
package metrics

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// Module is metrics.
type Module struct {
	host      *registry.Host
	set       *metrics.Set
	durations *metrics.Set      // of requests; their exemplars are found by the labels
	help      map[string]string // by family

	scraping atomic.Int64 // scrapes being served
	scrapes  *metrics.Counter

	tracers   []capability.ExemplarTracer
	exemplars []*exemplars // guarded by mu

	contributors []capability.MetricsContributor
	describers   []capability.MetricsDescriber

	mu     sync.RWMutex
	routes map[counted]*route
	faults map[string]*metrics.Counter // by name of the fault

	watch atomic.Pointer[watcher]            // nil while nobody watches
	rpcs  atomic.Pointer[map[string]*method] // by full method; the map is immutable, mu guards replacing it
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "metrics", Doc: "Count and time requests for Prometheus, and serve /metrics.", Phase: registry.Observe}
}

// Provision creates the instance's set of metrics. It does not use the library's
// global set, so that two servers in a process count separately.
func (m *Module) Provision(h *registry.Host) error {
	m.contributors, m.describers = registry.All(h, capability.MetricsContributors), registry.All(h, capability.MetricsDescribers)
	m.tracers = registry.All(h, capability.ExemplarTracers)
	m.host, m.set, m.durations, m.help = h, metrics.NewSet(), metrics.NewSet(), ownHelp()
	m.routes, m.faults = map[counted]*route{}, map[string]*metrics.Counter{}
	m.rpcs.Store(&map[string]*method{})
	m.set.NewGauge("promhttp_metric_handler_requests_in_flight", func() float64 { return float64(m.scraping.Load()) })
	m.scrapes = m.set.NewCounter(`promhttp_metric_handler_requests_total{code="200"}`)
	b := h.Build()
	m.set.NewGauge(fmt.Sprintf(`podinfo_build_info{version="%s",revision="%s",goversion="%s"}`,
		escape(b.Version), escape(b.Revision), escape(runtime.Version())), func() float64 { return 1 })
	budget := h.Budget()
	m.set.NewGauge(`podinfo_memory_budget_bytes{state="in_use"}`, func() float64 { return float64(budget.Used()) })
	m.set.NewGauge(`podinfo_memory_budget_bytes{state="limit"}`, func() float64 { return float64(budget.Limit()) })
	m.set.NewGauge(`podinfo_requests_refused_total{reason="`+record.RefusedMemory+`"}`, func() float64 { return float64(budget.Refused()) })
	return nil
}

// Start registers the metrics of the other modules.
func (m *Module) Start(context.Context) error {
	for _, c := range m.contributors {
		c.ContributeMetrics(m.set)
	}
	for _, d := range m.describers {
		maps.Copy(m.help, d.DescribeMetrics())
	}
	return nil
}

// counted identifies the routes that are counted together.
type counted struct {
	label   string
	stream  bool
	proxied bool
}

// Bind returns the middleware that counts the requests of rt. Routes with the
// same label share it, and so does a route that is bound again after a Switch.
func (m *Module) Bind(rt registry.Route) registry.Middleware {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := counted{rt.Label, rt.Stream, rt.Proxied}
	r := m.routes[key]
	if r == nil {
		r = &route{module: m, counted: key}
		m.routes[key] = r
	}
	return r
}

// Routes declares /metrics.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{{
		Path: "/metrics", Handler: m.serve, Internal: true,
		Summary: "Prometheus metrics", Tag: "Kubernetes",
		Returns: map[int]any{http.StatusOK: ""},
	}}
}

// MetricsPageHandler returns the handler of /metrics, for modules that serve it on another
// port.
func (m *Module) MetricsPageHandler() http.Handler { return http.HandlerFunc(m.serve) }

// maxFaults limits the number of series by fault name. Further names are counted
// as "other".
const maxFaults = 100

// FaultInjected counts a fault. It implements registry/fault's observer.
func (m *Module) FaultInjected(ctx context.Context, fault string) {
	m.noteFault(ctx)
	m.mu.RLock()
	c := m.faults[fault]
	m.mu.RUnlock()
	if c == nil {
		c = m.newFault(fault)
	}
	c.Inc()
}

// newFault returns the counter of a fault, creating it if needed.
func (m *Module) newFault(fault string) *metrics.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults[fault] == nil && len(m.faults) >= maxFaults {
		fault = "other"
	}
	if m.faults[fault] == nil {
		m.faults[fault] = m.set.GetOrCreateCounter(fmt.Sprintf(`podinfo_faults_injected_total{fault="%s"}`, escape(fault)))
	}
	return m.faults[fault]
}

// escape returns s escaped as the value of a label.
func escape(s string) string { return escaper.Replace(strings.ToValidUTF8(s, "\uFFFD")) }

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
