package faults

import (
	"fmt"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// maxSeries bounds the number of series, as rules and their names may change all
// the time. Rules beyond it are counted as "other".
const maxSeries = 1000

// counts holds the counters of hits, by rule and kind, and of file loads.
type counts struct {
	mu     sync.Mutex
	set    *metrics.Set                   // nil without a metrics module
	series map[[3]string]*metrics.Counter // by name, rule and value

	loads  [2]*metrics.Counter // failed and successful
	unread *metrics.Counter    // requests whose body rules could not look into
}

func (c *counts) add(rule, kind string) { c.count("podinfo_fault_hits_total", rule, "kind", kind) }

func (c *counts) addEnd(rule, seen string) {
	c.count("podinfo_fault_cuts_total", rule, "seen", seen)
}

func (c *counts) count(name, rule, label, value string) {
	if s := c.of(name, rule, label, value); s != nil {
		s.Inc()
	}
}

func (c *counts) of(name, rule, label, value string) *metrics.Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		return nil
	}
	key := [3]string{name, rule, value}
	if s := c.series[key]; s != nil {
		return s
	}
	if len(c.series) >= maxSeries {
		key[1] = "other"
	}
	s := c.set.GetOrCreateCounter(fmt.Sprintf(`%s{rule="%s",%s="%s"}`, name, key[1], label, value))
	c.series[key] = s
	return s
}

// addUnread counts a request whose body rules could not look into.
func (c *counts) addUnread() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unread != nil {
		c.unread.Inc()
	}
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

// ContributeMetrics adds the metrics of the rules to set.
func (m *Module) ContributeMetrics(set *metrics.Set) {
	m.counts.mu.Lock()
	defer m.counts.mu.Unlock()
	m.counts.set, m.counts.series = set, map[[3]string]*metrics.Counter{}
	set.NewGauge("podinfo_fault_rules", func() (n float64) {
		for _, s := range m.engine.Rules() {
			if !s.Ended {
				n++
			}
		}
		return n
	})
	set.NewGauge("podinfo_fault_held_requests", func() float64 { return float64(m.engine.Held()) })
	m.counts.unread = set.NewCounter("podinfo_fault_unread_bodies_total")
	m.fleet.contribute(set)
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

// DescribeMetrics describes the metrics.
func (*Module) DescribeMetrics() map[string]string {
	return map[string]string{
		"podinfo_fault_hits_total":          "Requests and calls hit by a rule, by kind of fault, delay, or skipped for a delay or a wait in a queue that MAX_HELD left no place for.",
		"podinfo_fault_cuts_total":          "Responses that a fault cut, by what the client saw: a connection closed or reset, RST_STREAM or GOAWAY with its code.",
		"podinfo_fault_rules":               "Rules of the current scenario that have not ended.",
		"podinfo_fault_held_requests":       "Requests being delayed by faults.",
		"podinfo_fault_unread_bodies_total": "Requests that rules with match.json did not hit, because their body was too long or broke off.",
		"podinfo_fault_shared_counts_total": "Requests counted by rules with shared, by who counted: the fleet, or the replica alone while the server is unavailable.",
		"podinfo_fault_file_loads_total":    "Loads of the scenario file, by outcome.",
		"podinfo_fault_file_good":           "1 if the scenario file is valid, 0 if it is invalid and the previous rules are kept.",
	}
}
