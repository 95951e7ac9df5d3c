// Package openloop sends requests at a steady rate, whatever becomes of the
// ones before, and measures how long each took from the moment it was due.
//
// A loop that waits for an answer before it sends the next request asks a
// stalled server nothing, and so hardly notices the stall: coordinated
// omission. Here a request that finds all workers waiting is sent late, and
// its own wait counts.
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

// The histogram holds microseconds, with three digits that matter. A wait
// above the longest counts as the longest.
const (
	shortest = 1
	longest  = int64(time.Hour / time.Microsecond)
	digits   = 3
)

// timerError is how late the runtime's timers may wake a worker: about a
// millisecond, as the kernel's poller counts in them. So much is not the
// server's doing.
const timerError = 2 * time.Millisecond

// grace is how long after the end the last requests may still be sent.
const grace = 50 * time.Millisecond

// Load is one measurement.
type Load struct {
	Rate     float64       // requests a second
	Duration time.Duration // from the first request
	Workers  int           // requests under way at once

	// Send makes one request. worker is a number below Workers, for which
	// there is no other call at the same time. status is the answer's; an
	// error, context.DeadlineExceeded for one, means that there was none.
	Send func(ctx context.Context, worker int) (status string, err error)

	// Reason names an error in a few words, for the counts.
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
	Sent     int64            // and ended
	Answered int64            // of Sent
	NotSent  int64            // due, but all workers waited until the end
	Status   map[string]int64 // of the answers
	Errors   map[string]int64 // by reason
	Elapsed  time.Duration
}

// Run sends every request of the plan, or those due before ctx ends, and
// returns when the last has ended.
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

// work sends whichever request is next, again and again.
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

// sleep is false when ctx ended.
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

// record counts a request that has ended. One that ran into its timeout waited
// at least so long, so its wait is kept too. Other failures are often quick
// and would flatter the server.
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
		l.keep(took)
	}
}

// recordNotSent counts a request that found no worker. It waited at least so
// long.
func (l *Load) recordNotSent(waited time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.NotSent++
	l.keep(waited)
}

func (l *Load) keep(d time.Duration) {
	// It fails only out of bounds.
	_ = l.latency.RecordValue(min(max(d.Microseconds(), shortest), longest))
}

// Totals is a copy of the counts so far.
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
