package ui

import (
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

func TestSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(map[string]bool{"ui": true})
		const call = "/echo.EchoService/Echo"
		for _, r := range []capability.MeasuredRequest{
			{Name: "busy", Took: time.Second}, {Name: "busy", Took: time.Second, Failed: true}, {Name: "busy", Took: time.Second, Failed: true, Faulted: true},
			{Name: "ui", Took: time.Second}, // the page's own
			{Name: call, RPC: true, Took: time.Second, Faulted: true}, {Name: "/a.Stream/Watch", RPC: true, Took: -1},
		} {
			m.record(r)
		}
		time.Sleep(2 * time.Second)
		got := m.sample(time.Now())
		for _, p := range []**float64{&got.P50, &got.Routes[0].P50, &got.Calls.P50} {
			if math.Abs(**p-1) > math.Pow10(-digits) {
				t.Errorf("p50 %v", **p)
			}
		}
		rates := func(s stats) stats { s.P50, s.P95, s.P99 = nil, nil, nil; return s }
		want := map[string]stats{"busy": {Rate: 1.5, Errors: 1, Faults: 0.5}, call: {Rate: 0.5, Faults: 0.5}, "/a.Stream/Watch": {Rate: 0.5}, "all": {Rate: 2.5, Errors: 1, Faults: 1}, "calls": {Rate: 1, Faults: 0.5}}
		all := map[string]stats{"all": rates(got.stats), "calls": rates(*got.Calls)}
		for _, r := range got.Routes {
			all[r.Label] = rates(r.stats)
			if stream := r.Label == "/a.Stream/Watch"; stream != (r.P50 == nil) {
				t.Errorf("%s: p50 %v", r.Label, r.P50)
			}
		}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Error(diff)
		}
		time.Sleep(2 * time.Second)
		if none := m.sample(time.Now()); none.Rate != 0 || none.P50 != nil || none.Calls != nil || none.Routes == nil || len(none.Routes) > 0 {
			t.Errorf("%+v", none)
		}
	})
}

// TestPrecision checks that no duration is off by more than the page says.
func TestPrecision(t *testing.T) {
	for d := 50 * time.Nanosecond; d < 2*time.Hour; d += d/97 + 1 {
		x := newTally()
		x.record(capability.MeasuredRequest{Took: d})
		want := min(d, time.Duration(longest)).Seconds()
		if got := *x.stats(1).P99; math.Abs(got-want) > math.Pow10(-digits)*want {
			t.Fatalf("%v reads as %v s", d, got)
		}
	}
}

// TestManyRoutes checks that a sample lists the busiest routes and counts all.
func TestManyRoutes(t *testing.T) {
	m := newMeter(nil)
	for i := range 80 {
		for range i + 1 {
			m.record(capability.MeasuredRequest{Name: string(rune('0' + i))})
		}
	}
	s := m.sample(m.since.Add(time.Second))
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
