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

// batch is the least time between two wake-ups at a high rate. Requests that are
// due in the meantime are sent together, which costs less CPU than to wake for each.
const batch = 100 * time.Microsecond

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

	// Reason returns the class of an error and a short text. Errors are counted by
	// both.
	Reason func(error) (class, text string)

	// KernelTimer makes the workers wait by timers of the kernel, where there are
	// any, which are more precise than the runtime's. They ignore the clock of a
	// testing/synctest bubble.
	KernelTimer bool

	mu       sync.Mutex
	totals   Totals
	latency  *hdrhistogram.Histogram
	lag      *hdrhistogram.Histogram
	last     time.Duration // from the start to when the last request was sent
	next     atomic.Int64
	started  time.Time
	finished time.Time
	ended    bool // by the context, before the end of the schedule
}

// Totals are the counts so far.
type Totals struct {
	Planned  int64
	Sent     int64            // requests that have ended
	Answered int64            // those of Sent that got a response
	NotSent  int64            // requests for which all workers were busy until the end
	Status   map[string]int64 // responses by status
	Errors   map[string]int64 // by text
	Classes  map[string]int64 // errors by class
	SentRate float64          // requests sent per second of the schedule
	Elapsed  time.Duration
}

// Run sends all planned requests, or those scheduled before ctx ends, and returns
// when the last one has ended.
func (l *Load) Run(ctx context.Context) {
	l.mu.Lock()
	l.totals = Totals{
		Planned: max(int64(math.Round(l.Rate*l.Duration.Seconds())), 1),
		Status:  map[string]int64{}, Errors: map[string]int64{}, Classes: map[string]int64{},
	}
	l.latency = hdrhistogram.New(shortest, longest, digits)
	l.lag = hdrhistogram.New(shortest, longest, digits)
	l.started = time.Now()
	l.mu.Unlock()
	var workers sync.WaitGroup
	for w := range l.Workers {
		workers.Go(func() { l.work(ctx, w) })
	}
	workers.Wait()
	l.mu.Lock()
	l.finished, l.ended = time.Now(), ctx.Err() != nil
	l.mu.Unlock()
}

// work sends the next request until all are sent. Latency counts from the scheduled
// time without exception: what podcli itself is late is in it, and in the lag too.
func (l *Load) work(ctx context.Context, worker int) {
	timer := l.newTimer(ctx)
	defer timer.close()
	for ctx.Err() == nil {
		i := l.next.Add(1) - 1
		if i >= l.totals.Planned {
			return
		}
		due := time.Duration(float64(i) / l.Rate * float64(time.Second))
		free := false
		if wait := l.wake(due) - time.Since(l.started); wait > 0 {
			if free = true; !timer.sleep(ctx, wait) {
				return
			}
		}
		sent := time.Since(l.started)
		if sent > l.Duration+grace {
			l.recordNotSent(sent - due)
			continue
		}
		status, err := l.Send(ctx, worker)
		l.record(request{due: due, sent: sent, ended: time.Since(l.started), free: free, status: status, err: err})
	}
}

// wake returns when to wake for a request that is due. At a high rate requests share
// a wake-up.
func (l *Load) wake(due time.Duration) time.Duration {
	if l.Rate*batch.Seconds() <= 1 {
		return due
	}
	return (due + batch - 1).Truncate(batch)
}

// request is a request that has ended. The times count from the start.
type request struct {
	due, sent, ended time.Duration
	free             bool // a worker was free when it was due
	status           string
	err              error
}

// record counts a request that has ended. It also records the latency of a request
// that timed out, which is at least the timeout. It does not record the latency of
// other failures, which are often quick and would improve the figures.
func (l *Load) record(r request) {
	var class, text string
	if r.err != nil {
		class, text = l.Reason(r.err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.Sent++
	l.last = max(l.last, r.sent)
	if r.err == nil {
		l.totals.Answered++
		l.totals.Status[r.status]++
	} else {
		l.totals.Errors[text]++
		l.totals.Classes[class]++
	}
	if r.err == nil || errors.Is(r.err, context.DeadlineExceeded) {
		count(l.latency, r.ended-r.due)
	}
	if r.free {
		count(l.lag, r.sent-r.due)
	}
}

// recordNotSent counts a request that found no free worker. Its latency is at least
// the time that it waited.
func (l *Load) recordNotSent(waited time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.NotSent++
	count(l.latency, waited)
}

// count adds a latency to a histogram.
func count(h *hdrhistogram.Histogram, d time.Duration) {
	// RecordValue fails only for a value out of bounds.
	_ = h.RecordValue(min(max(d.Microseconds(), shortest), longest))
}

// Totals returns a copy of the current counts.
func (l *Load) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.totals
	t.Status, t.Errors, t.Classes = maps.Clone(t.Status), maps.Clone(t.Errors), maps.Clone(t.Classes)
	switch {
	case l.started.IsZero():
	case l.finished.IsZero():
		t.Elapsed = time.Since(l.started)
	default:
		t.Elapsed = l.finished.Sub(l.started)
	}
	if over := l.scheduleLocked(t.Elapsed); over > 0 {
		t.SentRate = float64(t.Sent) / over.Seconds()
	}
	return t
}

// scheduleLocked returns how long requests were sent. The caller must hold l.mu.
func (l *Load) scheduleLocked(elapsed time.Duration) time.Duration {
	over := l.Duration
	if l.ended || l.finished.IsZero() {
		over = min(over, elapsed)
	}
	return max(over, l.last)
}
