package openloop

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency summarizes the latency of the requests.
type Latency struct {
	Count          int64
	Min, Mean, Max time.Duration
	Quantiles      []Quantile
	Buckets        []Bucket
}

// Quantile is the latency that Percent of the requests did not exceed.
type Quantile struct {
	Percent float64
	Time    time.Duration
}

// Bucket counts the requests with a latency of at most Le and above the Le of the
// bucket before.
type Bucket struct {
	Le    time.Duration
	Count int64
}

// Quantile returns a percentile of the latencies so far.
func (l *Load) Quantile(percent float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latency == nil {
		return 0
	}
	return micros(l.latency.ValueAtPercentile(percent))
}

// Latency summarizes the latencies. It must be called after Run.
func (l *Load) Latency() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	return summarize(l.latency)
}

// Lag summarizes how late the requests were sent that had a free worker. It is the
// error of this package and of the machine it runs on. It must be called after Run.
func (l *Load) Lag() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	return summarize(l.lag)
}

func summarize(h *hdrhistogram.Histogram) Latency {
	s := Latency{Count: h.TotalCount()}
	if s.Count == 0 {
		return s
	}
	s.Min, s.Max = micros(h.Min()), micros(h.Max())
	s.Mean = time.Duration(h.Mean() * float64(time.Microsecond))
	for _, p := range []float64{50, 75, 90, 95, 99, 99.9, 99.99} {
		s.Quantiles = append(s.Quantiles, Quantile{p, micros(h.ValueAtPercentile(p))})
	}
	s.Buckets = buckets(h)
	return s
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// buckets merges the histogram's bars into buckets up to 1, 2, 5, 10, … µs. It
// leaves out empty buckets before the first and after the last latency.
func buckets(h *hdrhistogram.Histogram) []Bucket {
	var all []Bucket
	bounds := series()
	for _, bar := range h.Distribution() {
		if bar.Count == 0 {
			continue
		}
		for len(bounds) > 1 && bar.To > bounds[0] {
			if len(all) > 0 {
				all = append(all, Bucket{Le: micros(bounds[1])})
			}
			bounds = bounds[1:]
		}
		if len(all) == 0 {
			all = []Bucket{{Le: micros(bounds[0])}}
		}
		all[len(all)-1].Count += bar.Count
	}
	return all
}

// series returns 1, 2, 5, 10, … up to a bound above the longest latency.
func series() (bounds []int64) {
	for n := int64(1); ; n *= 10 {
		bounds = append(bounds, n, 2*n, 5*n)
		if 5*n > 2*longest {
			return bounds
		}
	}
}
