package openloop

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"
)

const ms = time.Millisecond

// near reports whether got equals want within the precision of the histogram.
func near(got, want time.Duration) bool {
	return (got - want).Abs() <= want/500+time.Microsecond
}

func TestRateIsSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Duration
		start := time.Now()
		l := &Load{Rate: 4, Duration: 2 * time.Second, Workers: 3, Send: func(context.Context, int) (string, error) {
			mu.Lock()
			at = append(at, time.Since(start))
			mu.Unlock()
			time.Sleep(600 * ms) // longer than the time to the next request
			return "ok", nil
		}}
		l.Run(t.Context())
		want := []time.Duration{0, 250 * ms, 500 * ms, 750 * ms, 1000 * ms, 1250 * ms, 1500 * ms, 1750 * ms}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Error(diff)
		}
		wantTotals := Totals{Planned: 8, Sent: 8, Answered: 8, Status: map[string]int64{"ok": 8}, Errors: map[string]int64{}, Classes: map[string]int64{}, SentRate: 4, Elapsed: 2350 * ms}
		if diff := cmp.Diff(wantTotals, l.Totals()); diff != "" {
			t.Error(diff)
		}
		if s := l.Latency(); s.Count != 8 || !near(s.Min, 600*ms) || !near(s.Max, 600*ms) || !near(s.Mean, 600*ms) {
			t.Errorf("%+v", s)
		}
	})
}

// TestStall checks that a server that stalls once for a second shows ten slow
// requests, not one.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		l := &Load{Rate: 10, Duration: 2 * time.Second, Workers: 1, Send: func(context.Context, int) (string, error) {
			if first {
				first = false
				time.Sleep(time.Second)
			}
			return "ok", nil
		}}
		l.Run(t.Context())
		s := l.Latency()
		if s.Count != 20 || !near(s.Max, time.Second) || !near(l.Quantile(75), 500*ms) || !near(s.Mean, 275*ms) {
			t.Errorf("%+v", s) // want 1 s, 0.9 s, … 0.1 s and ten times 0
		}
	})
}

// TestNotSent checks that requests that never got a connection are counted, and that
// their wait counts as latency.
func TestNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Load{Rate: 10, Duration: time.Second, Workers: 1, Send: func(context.Context, int) (string, error) {
			time.Sleep(3 * time.Second)
			return "ok", nil
		}}
		l.Run(t.Context())
		want := Totals{Planned: 10, Sent: 1, Answered: 1, NotSent: 9, Status: map[string]int64{"ok": 1}, Errors: map[string]int64{}, Classes: map[string]int64{}, SentRate: 1, Elapsed: 3 * time.Second}
		if diff := cmp.Diff(want, l.Totals()); diff != "" {
			t.Error(diff)
		}
		if s := l.Latency(); s.Count != 10 || !near(s.Max, 3*time.Second) || !near(s.Min, 2100*ms) {
			t.Errorf("%+v", s)
		}
	})
}

func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		l := &Load{Rate: 10, Duration: 300 * ms, Workers: 1, Reason: func(err error) (string, string) { return "class", err.Error() }, Send: func(context.Context, int) (string, error) {
			switch n++; n {
			case 1:
				return "", errors.New("refused")
			case 2:
				time.Sleep(50 * ms)
				return "", context.DeadlineExceeded
			}
			time.Sleep(20 * ms)
			return "ok", nil
		}}
		l.Run(t.Context())
		got := l.Totals()
		if diff := cmp.Diff(map[string]int64{"refused": 1, "context deadline exceeded": 1}, got.Errors); diff != "" || got.Classes["class"] != 2 || got.Sent != 3 || got.Answered != 1 {
			t.Errorf("%+v %s", got, diff)
		}
		if s := l.Latency(); s.Count != 2 || !near(s.Max, 50*ms) || !near(s.Min, 20*ms) {
			t.Errorf("%+v, want the timeout and the response", s)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 950*ms)
		defer cancel()
		l := &Load{Rate: 10, Duration: time.Hour, Workers: 4, Send: func(context.Context, int) (string, error) { return "ok", nil }}
		if l.Totals().Elapsed != 0 || l.Quantile(99) != 0 {
			t.Error("there are results before Run")
		}
		l.Run(ctx)
		if got := l.Totals(); got.Sent != 10 || got.NotSent != 0 || got.Elapsed != 950*ms {
			t.Errorf("%+v", got)
		}
	})
}

func TestNothingMeasured(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := &Load{Rate: 10, Duration: time.Second, Workers: 1}
	l.Run(ctx)
	if diff := cmp.Diff(Latency{}, l.Latency()); diff != "" {
		t.Error(diff)
	}
}

func TestBuckets(t *testing.T) {
	h := hdrhistogram.New(shortest, longest, digits)
	for _, us := range []int64{1500, 1999, 2000, 2500, 40_000, longest} {
		h.RecordValue(us)
	}
	got := buckets(h)
	counts := map[time.Duration]int64{}
	var last time.Duration
	for _, b := range got {
		if b.Le <= last {
			t.Errorf("%v out of order", got)
		}
		if last = b.Le; b.Count > 0 {
			counts[b.Le] = b.Count
		}
	}
	want := map[time.Duration]int64{2 * ms: 3, 5 * ms: 1, 50 * ms: 1, 5000 * time.Second: 1}
	if diff := cmp.Diff(want, counts); diff != "" || got[0].Le != 2*ms || got[len(got)-1].Le != 5000*time.Second {
		t.Errorf("%v %s", got, diff)
	}
}
