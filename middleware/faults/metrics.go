package faults

import (
	"fmt"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// maxSeries bounds the series that names of rules can make over time. Those
// that come later are counted as "other".
const maxSeries = 1000

// counts are the hits by rule and kind.
type counts struct {
	mu     sync.Mutex
	set    *metrics.Set
	series map[[2]string]*metrics.Counter

	loads [2]*metrics.Counter // of the file: bad and good
}

func (c *counts) add(rule, kind string) {
	if s := c.of(rule, kind); s != nil {
		s.Inc()
	}
}

func (c *counts) of(rule, kind string) *metrics.Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil { // nobody counts
		return nil
	}
	key := [2]string{rule, kind}
	if s := c.series[key]; s != nil {
		return s
	}
	if len(c.series) >= maxSeries {
		key[0] = "other"
	}
	s := c.set.GetOrCreateCounter(fmt.Sprintf(`podinfo_fault_hits_total{rule="%s",kind="%s"}`, key[0], kind))
	c.series[key] = s
	return s
}

func (c *counts) loaded(ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := 0
	if ok {
		at = 1
	}
	if c.loads[at] != nil {
		c.loads[at].Inc()
	}
}

// ContributeMetrics adds what the rules do to set.
func (m *Module) ContributeMetrics(set *metrics.Set) {
	m.counts.mu.Lock()
	defer m.counts.mu.Unlock()
	m.counts.set, m.counts.series = set, map[[2]string]*metrics.Counter{}
	set.NewGauge("podinfo_fault_rules", func() float64 { return float64(len(m.engine.Rules())) })
	set.NewGauge("podinfo_fault_held_requests", func() float64 { return float64(m.engine.Held()) })
	if m.File == "" {
		return
	}
	m.counts.loads = [2]*metrics.Counter{
		set.NewCounter(`podinfo_fault_file_loads_total{outcome="bad"}`), set.NewCounter(`podinfo_fault_file_loads_total{outcome="good"}`),
	}
	set.NewGauge("podinfo_fault_file_good", func() float64 {
		if m.fileOK.Load() {
			return 1
		}
		return 0
	})
}

// DescribeMetrics says what they mean.
func (*Module) DescribeMetrics() map[string]string {
	return map[string]string{
		"podinfo_fault_hits_total":       "Requests and calls that a rule hit, by what happened to them.",
		"podinfo_fault_rules":            "Rules of the scenario at work.",
		"podinfo_fault_held_requests":    "Requests that faults make wait now.",
		"podinfo_fault_file_loads_total": "Times the scenario's file was read.",
		"podinfo_fault_file_good":        "1 when the file was good, 0 when it was bad and the rules before it stay.",
	}
}
