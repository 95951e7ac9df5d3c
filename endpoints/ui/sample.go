package ui

import (
	"cmp"
	"maps"
	"math"
	"os"
	"runtime"
	rtmetrics "runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// sample is what happened since the sample before, and the process's state.
type sample struct {
	At         int64         `json:"t"` // Unix milliseconds
	stats                    // of all requests and calls
	Calls      *stats        `json:"calls"` // of all gRPC calls, nil without any
	Goroutines int           `json:"goroutines"`
	Memory     uint64        `json:"memory"` // resident bytes
	Routes     []routeSample `json:"routes"` // routes and gRPC methods with traffic, busiest first
}

// routeSample is the traffic of the routes with one label, or of a gRPC method.
type routeSample struct {
	Label string `json:"label"`
	stats
}

// stats are rates per second, and percentiles in seconds. Without requests the
// percentiles are nil.
type stats struct {
	Rate   float64  `json:"rps"`
	Errors float64  `json:"errors"` // the server failed
	Faults float64  `json:"faults"` // a fault was injected
	P50    *float64 `json:"p50"`
	P95    *float64 `json:"p95"`
	P99    *float64 `json:"p99"`
}

// maxRoutes is the maximum number of routes in a sample.
const maxRoutes = 50

// Range and precision of the durations, in nanoseconds. The buckets of the
// histogram grow with the values: two digits make the error at most 1 %.
const (
	shortest = 1
	longest  = int64(time.Hour)
	digits   = 2
)

// tally counts the requests of one label.
type tally struct {
	requests, errors, faults int64
	durations                *hdrhistogram.Histogram
}

func newTally() *tally {
	return &tally{durations: hdrhistogram.New(shortest, longest, digits)}
}

func (t *tally) record(r capability.MeasuredRequest) {
	t.requests++
	if r.Failed {
		t.errors++
	}
	if r.Faulted {
		t.faults++
	}
	if r.Took >= 0 {
		t.durations.RecordValue(min(max(int64(r.Took), shortest), longest)) // in range, so there is no error
	}
}

func (t *tally) reset() {
	t.requests, t.errors, t.faults = 0, 0, 0
	t.durations.Reset()
}

func (t *tally) stats(seconds float64) stats {
	rate := func(n int64) float64 { return round(float64(n)/seconds, 1e6) }
	quantile := func(percent float64) *float64 {
		if t.durations.TotalCount() == 0 {
			return nil
		}
		s := round(float64(t.durations.ValueAtQuantile(percent))/1e9, 1e9)
		return &s
	}
	return stats{rate(t.requests), rate(t.errors), rate(t.faults), quantile(50), quantile(95), quantile(99)}
}

// round rounds x to the precision 1/unit.
func round(x, unit float64) float64 { return math.Round(x*unit) / unit }

// meter measures the requests since the last sample, once for all viewers. It
// exists only while a page is open.
type meter struct {
	own map[string]bool // labels of the page's own requests, which it leaves out

	mu     sync.Mutex
	since  time.Time
	all    *tally
	calls  *tally
	routes map[string]*tally // by label or full method
}

func newMeter(own map[string]bool) *meter {
	return &meter{own: own, since: time.Now(), all: newTally(), calls: newTally(), routes: map[string]*tally{}}
}

// record counts a request or call.
func (m *meter) record(r capability.MeasuredRequest) {
	if !r.RPC && m.own[r.Name] {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.routes[r.Name]
	if t == nil {
		t = newTally()
		m.routes[r.Name] = t
	}
	t.record(r)
	m.all.record(r)
	if r.RPC {
		m.calls.record(r)
	}
}

// sample returns what was measured since the last sample.
func (m *meter) sample(now time.Time) sample {
	s := sample{At: now.UnixMilli(), Goroutines: runtime.NumGoroutine(), Memory: resident(), Routes: []routeSample{}}
	m.mu.Lock()
	defer m.mu.Unlock()
	seconds := now.Sub(m.since).Seconds()
	m.since = now
	s.stats = m.all.stats(seconds)
	m.all.reset()
	if m.calls.requests > 0 {
		calls := m.calls.stats(seconds)
		s.Calls = &calls
		m.calls.reset()
	}
	for _, label := range slices.Sorted(maps.Keys(m.routes)) {
		if t := m.routes[label]; t.requests > 0 {
			s.Routes = append(s.Routes, routeSample{label, t.stats(seconds)})
			t.reset()
		}
	}
	slices.SortStableFunc(s.Routes, func(x, y routeSample) int { return cmp.Compare(y.Rate, x.Rate) })
	s.Routes = s.Routes[:min(len(s.Routes), maxRoutes)]
	return s
}

// resident returns the process's resident memory in bytes: on Linux the kernel's
// figure, elsewhere the memory that the Go runtime holds.
func resident() uint64 {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(b)); len(fields) > 1 {
			if pages, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
				return pages * uint64(os.Getpagesize())
			}
		}
	}
	mem := []rtmetrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	rtmetrics.Read(mem)
	return mem[0].Value.Uint64() - mem[1].Value.Uint64()
}
