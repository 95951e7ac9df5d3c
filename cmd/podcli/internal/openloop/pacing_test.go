package openloop

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestRateIsHeld checks the number of requests at high rates, and that those due
// within a wake-up are sent together, at most one batch late.
func TestRateIsHeld(t *testing.T) {
	for _, c := range []struct {
		rate    float64
		workers int
		wakeUps int // in a tenth of a second
	}{
		{100, 1, 10}, {9_999, 3, 1_000}, {10_000, 50, 1_000}, {30_000, 50, 1_000}, {123_456, 200, 1_000},
	} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			at := map[time.Duration]int{}
			start := time.Now()
			l := &Load{Rate: c.rate, Duration: 100 * ms, Workers: c.workers, Send: func(context.Context, int) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				at[time.Since(start)]++
				return "ok", nil
			}}
			l.Run(t.Context())
			got := l.Totals()
			if got.Sent != got.Planned || got.SentRate < 0.99*c.rate || got.SentRate > 1.01*c.rate {
				t.Errorf("%g: %+v", c.rate, got)
			}
			if len(at) > c.wakeUps+1 || l.Lag().Max > batch || l.Latency().Max > batch {
				t.Errorf("%g: %d wake-ups, lag %v", c.rate, len(at), l.Lag().Max)
			}
		})
	}
}

// TestLag checks that the lag has only the requests that found a free worker.
func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Load{Rate: 10, Duration: time.Second, Workers: 1, Send: func(_ context.Context, _ int) (string, error) {
			time.Sleep(150 * ms) // each request finds the worker busy but for the first
			return "ok", nil
		}}
		l.Run(t.Context())
		if lag := l.Lag(); lag.Max > time.Microsecond {
			t.Errorf("%+v", lag)
		}
		if got := l.Totals(); got.NotSent == 0 || got.SentRate != float64(got.Sent)/1.05 && got.SentRate != float64(got.Sent) {
			t.Errorf("%+v", got)
		}
	})
}

// TestKernelTimer checks that the kernel's timer does not wake early, can be used
// again, and ends with its context.
func TestKernelTimer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	timer := (&Load{KernelTimer: true}).newTimer(ctx)
	defer timer.close()
	for _, d := range []time.Duration{0, time.Microsecond, ms, 3 * ms} {
		if start := time.Now(); !timer.sleep(ctx, d) || time.Since(start) < d {
			t.Errorf("woke after %v of %v", time.Since(start), d)
		}
	}
	time.AfterFunc(ms, cancel)
	for range 2 {
		if timer.sleep(ctx, time.Hour) {
			t.Error("slept on after the end of the context")
		}
	}
}
