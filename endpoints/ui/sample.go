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

// sample is what happened between two looks, and what is now.
type sample struct {
	At         int64         `json:"t"` // of the second look, in ms since 1970
	figures                  // of all requests
	Buckets    []float64     `json:"buckets"` // the first and the last bound: percentiles are known in between
	Goroutines int           `json:"goroutines"`
	Memory     uint64        `json:"memory"` // resident, in bytes
	Routes     []routeSample `json:"routes"` // those with traffic, busiest first
}

// routeSample is what happened to the routes of one label.
type routeSample struct {
	Label string `json:"label"`
	figures
}

// figures are per second. A percentile of nothing is nil.
type figures struct {
	Rate   float64     `json:"rps"`
	Errors float64     `json:"errors"` // of those, with status 500 and above
	P50    *percentile `json:"p50"`
	P95    *percentile `json:"p95"`
	P99    *percentile `json:"p99"`
}

// percentile is a duration. In the first bucket and behind the last, a bound
// is all that is known of it.
type percentile struct {
	Seconds float64 `json:"s"`
	Bound   string  `json:"bound,omitempty"` // atMost or moreThan
}

const (
	atMost   = "at most"
	moreThan = "more than"
)

// maxRoutes is the number of routes in a sample.
const maxRoutes = 50

// look is how much had happened at a time.
type look struct {
	at     time.Time
	bounds []float64
	routes map[string]*tally // by label
}

// tally is what had happened to the routes of one label, or to all.
type tally struct {
	counts []uint64 // of requests that took at most the bound, then of all
	errors uint64
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

// since is t without what was there before.
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

// look looks. The page's own requests are left out.
func (m *Module) look() look {
	l := look{at: time.Now(), routes: map[string]*tally{}}
	if m.peers.measurer == nil {
		return l
	}
	m.peers.measurer.RequestDurations(func(label string, status int, bounds []float64, counts []uint64) {
		if m.peers.own[label] {
			return
		}
		if l.bounds == nil {
			l.bounds = slices.Clone(bounds)
		}
		if l.routes[label] == nil {
			l.routes[label] = new(tally)
		}
		var errors uint64
		if status >= 500 {
			errors = counts[len(counts)-1]
		}
		l.routes[label].add(counts, errors)
	})
	return l
}

// between is the sample of what happened from a to b.
func between(a, b look) sample {
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
		s.Routes = append(s.Routes, routeSample{label, t.figures(b.bounds, seconds)})
	}
	s.figures = all.figures(b.bounds, seconds)
	slices.SortStableFunc(s.Routes, func(x, y routeSample) int { return cmp.Compare(y.Rate, x.Rate) })
	s.Routes = s.Routes[:min(len(s.Routes), maxRoutes)]
	return s
}

func (t *tally) figures(bounds []float64, seconds float64) figures {
	return figures{
		Rate: round(float64(t.total()) / seconds), Errors: round(float64(t.errors) / seconds),
		P50: quantile(0.5, bounds, t.counts), P95: quantile(0.95, bounds, t.counts), P99: quantile(0.99, bounds, t.counts),
	}
}

// round drops what is below a millionth.
func round(x float64) float64 { return math.Round(x*1e6) / 1e6 }

// quantile is Prometheus' histogram_quantile
// (https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile):
// linear within the bucket where the rank lies. In the first one, and above
// the last bound, that would be a constant of the layout: there it is the
// bound. It is nil when nothing was counted.
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

// resident is the process's memory in bytes: what Linux says, elsewhere what
// Go has from the system.
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
