package ui

import (
	"cmp"
	"maps"
	"math"
	"os"
	"runtime"
	rtmetrics "runtime/metrics"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// sample is what happened between two snapshots, and the process's state at the
// second one.
type sample struct {
	At         int64         `json:"t"` // time of the second snapshot in Unix milliseconds
	stats                    // of all requests
	Buckets    []float64     `json:"buckets"` // first and last bound of the histogram; percentiles are known only between them
	Goroutines int           `json:"goroutines"`
	Memory     uint64        `json:"memory"` // resident bytes
	Routes     []routeSample `json:"routes"` // routes with traffic, busiest first
}

// routeSample is the traffic of the routes with one label.
type routeSample struct {
	Label string `json:"label"`
	stats
}

// stats are rates per second and percentiles. Without requests the percentiles
// are nil.
type stats struct {
	Rate   float64     `json:"rps"`
	Errors float64     `json:"errors"` // requests with status 500 and above
	P50    *percentile `json:"p50"`
	P95    *percentile `json:"p95"`
	P99    *percentile `json:"p99"`
}

// percentile is a duration. Below the first bound of the histogram and above the
// last one, only that bound is known.
type percentile struct {
	Seconds float64 `json:"s"`
	Bound   string  `json:"bound,omitempty"` // atMost or moreThan; "" for an estimate
}

const (
	atMost   = "at most"
	moreThan = "more than"
)

// maxRoutes is the maximum number of routes in a sample.
const maxRoutes = 50

// snapshot is the state of the counters at one time.
type snapshot struct {
	at     time.Time
	bounds []float64
	routes map[string]*tally // by label
}

// tally counts the requests of one label, or of all.
type tally struct {
	counts []uint64 // requests that took at most each bound, then all requests
	errors uint64   // requests with status 500 and above
}

func (t *tally) add(counts []uint64, errors uint64) {
	if t.counts == nil {
		t.counts = make([]uint64, len(counts))
	}
	for i, n := range counts {
		t.counts[i] += n
	}
	t.errors += errors
}

// since returns the requests that t counts and before does not.
func (t *tally) since(before *tally) *tally {
	if before == nil {
		return t
	}
	out := &tally{counts: slices.Clone(t.counts), errors: t.errors - before.errors}
	for i, n := range before.counts {
		out.counts[i] -= n
	}
	return out
}

func (t *tally) total() uint64 {
	if len(t.counts) == 0 {
		return 0
	}
	return t.counts[len(t.counts)-1]
}

// snapshot reads the counters. It leaves out the page's own requests.
func (m *Module) snapshot() snapshot {
	s := snapshot{at: time.Now(), routes: map[string]*tally{}}
	if m.peers.measurer == nil {
		return s
	}
	own := m.peers.routes().ownLabels
	m.peers.measurer.RequestDurations(func(label string, status int, bounds []float64, counts []uint64) {
		if own[label] {
			return
		}
		if s.bounds == nil {
			s.bounds = slices.Clone(bounds)
		}
		if s.routes[label] == nil {
			s.routes[label] = new(tally)
		}
		var errors uint64
		if status >= 500 {
			errors = counts[len(counts)-1]
		}
		s.routes[label].add(counts, errors)
	})
	return s
}

// sampleBetween returns the sample for the time from a to b.
func sampleBetween(a, b snapshot) sample {
	s := sample{At: b.at.UnixMilli(), Goroutines: runtime.NumGoroutine(), Memory: resident(), Routes: []routeSample{}}
	if n := len(b.bounds); n > 0 {
		s.Buckets = []float64{b.bounds[0], b.bounds[n-1]}
	}
	seconds, all := b.at.Sub(a.at).Seconds(), new(tally)
	for _, label := range slices.Sorted(maps.Keys(b.routes)) {
		t := b.routes[label].since(a.routes[label])
		if t.total() == 0 {
			continue
		}
		all.add(t.counts, t.errors)
		s.Routes = append(s.Routes, routeSample{label, t.stats(b.bounds, seconds)})
	}
	s.stats = all.stats(b.bounds, seconds)
	slices.SortStableFunc(s.Routes, func(x, y routeSample) int { return cmp.Compare(y.Rate, x.Rate) })
	s.Routes = s.Routes[:min(len(s.Routes), maxRoutes)]
	return s
}

func (t *tally) stats(bounds []float64, seconds float64) stats {
	return stats{
		Rate: round(float64(t.total()) / seconds), Errors: round(float64(t.errors) / seconds),
		P50: quantile(0.5, bounds, t.counts), P95: quantile(0.95, bounds, t.counts), P99: quantile(0.99, bounds, t.counts),
	}
}

// round rounds x to six decimals.
func round(x float64) float64 { return math.Round(x*1e6) / 1e6 }

// quantile estimates the q-quantile as Prometheus' histogram_quantile does
// (https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile),
// by linear interpolation within a bucket. In the first bucket and above the
// last bound the estimate would depend only on the choice of buckets, so
// quantile returns that bound and says so. It returns nil when nothing was
// counted.
func quantile(q float64, bounds []float64, counts []uint64) *percentile {
	if len(bounds) == 0 || len(counts) != len(bounds)+1 || counts[len(bounds)] == 0 {
		return nil
	}
	rank := q * float64(counts[len(bounds)])
	i := sort.Search(len(bounds), func(i int) bool { return float64(counts[i]) >= rank })
	switch i {
	case 0:
		return &percentile{bounds[0], atMost}
	case len(bounds):
		return &percentile{bounds[i-1], moreThan}
	}
	from, before := bounds[i-1], float64(counts[i-1])
	return &percentile{Seconds: round(from + (bounds[i]-from)*(rank-before)/(float64(counts[i])-before))}
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
