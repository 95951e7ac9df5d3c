// Package openloop sends requests at a steady rate, independent of the responses,
// and measures their latency from the scheduled time.
//
// A load generator that waits for a response before it sends the next request
// sends nothing while the server stalls, and so hardly records the stall. This is
// called coordinated omission. Here a request that finds all workers busy is sent
// late, and the wait counts.
package openloop

import (
	"context"
	"errors"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The histogram counts microseconds with three significant digits. A longer latency
// counts as the longest.
const (
	shortest = 1
	longest  = int64(time.Hour / time.Microsecond)
	digits   = 3
)

// timerError is how late the runtime's timers may wake a worker: a bit more than a
// millisecond, which is the resolution of the kernel's poller. A delay up to this is
// not attributed to the server.
const timerError = 2 * time.Millisecond

// grace is how long after the end of the schedule requests may still be sent.
const grace = 50 * time.Millisecond

// Load is one measurement.
type Load struct {
	Rate     float64       // requests per second
	Duration time.Duration // from the first request
	Workers  int           // maximum number of requests in flight

	// Send sends a request and returns the status of the response, or an error such
	// as context.DeadlineExceeded when there is no response. worker is a number
	// below Workers; there are no concurrent calls for the same worker.
	Send func(ctx context.Context, worker int) (status string, err error)

	// Reason returns a short text for an error. Errors are counted by it.
	Reason func(error) string

	mu       sync.Mutex
	totals   Totals
	latency  *hdrhistogram.Histogram
	next     atomic.Int64
	started  time.Time
	finished time.Time
}

// Totals are the counts so far.
type Totals struct {
	Planned  int64
	Sent     int64            // requests that have ended
	Answered int64            // those of Sent that got a response
	NotSent  int64            // requests for which all workers were busy until the end
	Status   map[string]int64 // responses by status
	Errors   map[string]int64 // by reason
	Elapsed  time.Duration
}

// Run sends all planned requests, or those scheduled before ctx ends, and returns
// when the last one has ended.
func (l *Load) Run(ctx context.Context) {
	l.mu.Lock()
	l.totals = Totals{
		Planned: max(int64(math.Round(l.Rate*l.Duration.Seconds())), 1),
		Status:  map[string]int64{}, Errors: map[string]int64{},
	}
	l.latency = hdrhistogram.New(shortest, longest, digits)
	l.started = time.Now()
	l.mu.Unlock()
	var workers sync.WaitGroup
	for w := range l.Workers {
		workers.Go(func() { l.work(ctx, w) })
	}
	workers.Wait()
	l.mu.Lock()
	l.finished = time.Now()
	l.mu.Unlock()
}

// work sends the next request until all are sent.
func (l *Load) work(ctx context.Context, worker int) {
	for {
		i := l.next.Add(1) - 1
		if i >= l.totals.Planned {
			return
		}
		due := l.started.Add(time.Duration(float64(i) / l.Rate * float64(time.Second)))
		onTime := time.Until(due) > 0
		if !sleep(ctx, time.Until(due)) {
			return
		}
		from := due
		if now := time.Now(); onTime && now.Sub(due) <= timerError {
			from = now
		}
		if time.Since(l.started) > l.Duration+grace {
			l.recordNotSent(time.Since(due))
			continue
		}
		status, err := l.Send(ctx, worker)
		l.record(time.Since(from), status, err)
	}
}

// sleep waits for d and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// record counts a request that has ended. It also records the latency of a request
// that timed out, which is at least the timeout. It does not record the latency of
// other failures, which are often quick and would improve the figures.
func (l *Load) record(took time.Duration, status string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.Sent++
	if err == nil {
		l.totals.Answered++
		l.totals.Status[status]++
	} else {
		l.totals.Errors[l.Reason(err)]++
	}
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		l.recordLatencyLocked(took)
	}
}

// recordNotSent counts a request that found no free worker. Its latency is at least
// the time that it waited.
func (l *Load) recordNotSent(waited time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.NotSent++
	l.recordLatencyLocked(waited)
}

// recordLatencyLocked adds a latency to the histogram. The caller must hold l.mu.
func (l *Load) recordLatencyLocked(d time.Duration) {
	// RecordValue fails only for a value out of bounds.
	_ = l.latency.RecordValue(min(max(d.Microseconds(), shortest), longest))
}

// Totals returns a copy of the current counts.
func (l *Load) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.totals
	t.Status, t.Errors = maps.Clone(t.Status), maps.Clone(t.Errors)
	switch {
	case l.started.IsZero():
	case l.finished.IsZero():
		t.Elapsed = time.Since(l.started)
	default:
		t.Elapsed = l.finished.Sub(l.started)
	}
	return t
}
