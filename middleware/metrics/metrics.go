// Package metrics counts and times requests for Prometheus, and serves
// /metrics.
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
)

// Module is metrics.
type Module struct {
	host      *registry.Host
	set       *metrics.Set
	durations *metrics.Set      // of requests, beside set
	help      map[string]string // of families

	contributors []capability.MetricsContributor
	describers   []capability.MetricsDescriber

	mu     sync.RWMutex
	routes map[counted]*route
	timed  map[string]timed            // by the labels of a series of durations
	faults map[string]*metrics.Counter // by the fault's name

	rpcs atomic.Pointer[map[string]*method] // by full method; never modified, mu guards its replacement
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "metrics", Doc: "Count and time requests for Prometheus, and serve /metrics.", Phase: registry.Observe}
}

// Provision makes the set of this instance. It is never the library's global
// one, so that two servers in a process count for themselves.
func (m *Module) Provision(h *registry.Host) error {
	m.contributors, m.describers = registry.All(h, capability.MetricsContributors), registry.All(h, capability.MetricsDescribers)
	m.host, m.set, m.durations, m.help = h, metrics.NewSet(), metrics.NewSet(), ownHelp()
	m.routes, m.timed, m.faults = map[counted]*route{}, map[string]timed{}, map[string]*metrics.Counter{}
	m.rpcs.Store(&map[string]*method{})
	b := h.Build()
	m.set.NewGauge(fmt.Sprintf(`podinfo_build_info{version="%s",revision="%s",goversion="%s"}`,
		escape(b.Version), escape(b.Revision), escape(runtime.Version())), func() float64 { return 1 })
	return nil
}

// Start asks the other modules for their metrics.
func (m *Module) Start(context.Context) error {
	for _, c := range m.contributors {
		c.ContributeMetrics(m.set)
	}
	for _, d := range m.describers {
		maps.Copy(m.help, d.DescribeMetrics())
	}
	return nil
}

// counted is what routes share that are counted together.
type counted struct {
	label  string
	stream bool
}

// Bind returns the handler that counts for rt. Routes with one label share it,
// as does a route that is bound again after a Switch.
func (m *Module) Bind(rt registry.Route) registry.Middleware {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := counted{rt.Label, rt.Stream}
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

// MetricsPageHandler serves what /metrics does, for modules with a port of their own.
func (m *Module) MetricsPageHandler() http.Handler { return http.HandlerFunc(m.serve) }

// maxFaults bounds the series that names of faults can make. Those that come
// later are counted as "other".
const maxFaults = 100

// FaultInjected counts a fault, as an observer of registry/fault.
func (m *Module) FaultInjected(_ context.Context, fault string) {
	m.mu.RLock()
	c := m.faults[fault]
	m.mu.RUnlock()
	if c == nil {
		c = m.newFault(fault)
	}
	c.Inc()
}

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

// escape makes the value of a label of s.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "\uFFFD"))
}
