package ui

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestQuantile compares quantile with the values of Prometheus'
// histogram_quantile, except in the first and the last bucket.
func TestQuantile(t *testing.T) {
	bounds := []float64{0.1, 0.5, 1}
	for _, c := range []struct {
		q      float64
		counts []uint64
		want   percentile
	}{
		{0.5, []uint64{4, 4, 4, 4}, percentile{0.1, atMost}},
		{0.99, []uint64{4, 4, 4, 4}, percentile{0.1, atMost}},
		{0.5, []uint64{2, 4, 4, 4}, percentile{0.1, atMost}},
		{0.5, []uint64{1, 3, 4, 4}, percentile{0.3, ""}},
		{0.99, []uint64{0, 100, 200, 200}, percentile{0.99, ""}},
		{1, []uint64{0, 0, 10, 10}, percentile{1, ""}},
		{0.95, []uint64{0, 0, 0, 10}, percentile{1, moreThan}},
		{0.95, []uint64{9, 9, 9, 10}, percentile{1, moreThan}},
		{0.5, []uint64{0, 0, 1, 1}, percentile{0.75, ""}},
	} {
		if got := quantile(c.q, bounds, c.counts); got == nil || *got != c.want {
			t.Errorf("%v of %v: %v, want %v", c.q, c.counts, got, c.want)
		}
	}
	if quantile(0.5, bounds, []uint64{0, 0, 0, 0}) != nil || quantile(0.5, nil, nil) != nil {
		t.Error("a percentile of nothing")
	}
}

func TestBetween(t *testing.T) {
	began := time.Unix(1000, 0)
	bounds := []float64{0.1, 1}
	before := snapshot{at: began, bounds: bounds, routes: map[string]*tally{"quiet": {[]uint64{5, 5, 5}, 1}, "busy": {[]uint64{1, 2, 3}, 1}}}
	after := snapshot{at: began.Add(2 * time.Second), bounds: bounds, routes: map[string]*tally{
		"quiet": {[]uint64{5, 5, 5}, 1}, "busy": {[]uint64{5, 6, 7}, 3}, "new": {[]uint64{0, 1, 1}, 0},
	}}
	got := sampleBetween(before, after)
	f := func(x float64) *percentile { return &percentile{Seconds: x} }
	most := &percentile{0.1, atMost}
	want := []routeSample{
		{"busy", stats{2, 1, most, most, most}},
		{"new", stats{0.5, 0, f(0.55), f(0.955), f(0.991)}},
	}
	if diff := cmp.Diff(want, got.Routes, cmp.AllowUnexported(routeSample{}, stats{})); diff != "" {
		t.Error(diff)
	}
	if got.At != 1002000 || got.Rate != 2.5 || got.Errors != 1 || *got.P50 != *most || !slices.Equal(got.Buckets, bounds) || got.Goroutines < 1 {
		t.Errorf("%+v", got)
	}
	if none := sampleBetween(after, snapshot{at: began.Add(4 * time.Second), bounds: bounds, routes: after.routes}); none.Rate != 0 || none.P50 != nil || none.Routes == nil || len(none.Routes) > 0 {
		t.Errorf("%+v", none)
	}
}

// TestManyRoutes checks that a sample lists the busiest routes and counts all.
func TestManyRoutes(t *testing.T) {
	b := snapshot{at: time.Unix(1, 0), bounds: []float64{1}, routes: map[string]*tally{}}
	for i := range 80 {
		b.routes[string(rune('0'+i))] = &tally{counts: []uint64{uint64(i + 1), uint64(i + 1)}}
	}
	s := sampleBetween(snapshot{at: time.Unix(0, 0)}, b)
	if len(s.Routes) != maxRoutes || s.Routes[0].Rate != 80 || s.Routes[maxRoutes-1].Rate != 31 || s.Rate != 80*81/2 {
		t.Errorf("%d routes, %v", len(s.Routes), s.Rate)
	}
}

func TestResident(t *testing.T) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if got := resident(); got < stats.HeapInuse/2 || got > 1<<40 {
		t.Errorf("%d bytes, of which %d are heap", got, stats.HeapInuse)
	}
}
