package scenario

import (
	"sync"
	"sync/atomic"
	"time"
)

// tally holds the counters of a rule, or of one of its keys.
type tally struct {
	n       atomic.Uint64 // requests that matched, before the percentage
	running atomic.Int64  // requests that occupy a slot of a concurrency limit

	mu      sync.Mutex
	passed  uint64          // requests within the percentage, where their order matters
	fleet   uint64          // passed, as all replicas count it
	alone   uint64          // of passed, those that only this replica knows
	burst   bool            // the last request was in a burst
	waiting []chan struct{} // requests in the queue of a concurrency limit, in order
	tokens  float64         // of the bucket
	filled  time.Time
}

// enter takes a slot of a concurrency limit. It returns false when all are
// taken.
func (t *tally) enter(limit int) bool {
	if t.running.Add(1) <= int64(limit) {
		return true
	}
	t.running.Add(-1)
	return false
}

// take takes a token. Without one it returns the time until the next.
func (t *tally) take(now time.Time, rate, burst float64) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.filled.IsZero() {
		t.tokens = burst
	} else if passed := now.Sub(t.filled).Seconds(); passed > 0 {
		t.tokens = min(burst, t.tokens+passed*rate)
	}
	t.filled = now
	if t.tokens >= 1 {
		t.tokens--
		return true, 0
	}
	return false, time.Duration((1 - t.tokens) / rate * float64(time.Second))
}

// keys holds the tallies of keys, 140 bytes each. The least recently seen are
// evicted: at least half of limit and at most limit are kept, besides those of
// requests in flight. An evicted key starts over.
type keys struct {
	limit int

	mu          sync.Mutex
	recent, old map[uint64]*tally
}

// of returns the tally of a key, given its hash.
func (k *keys) of(key uint64) *tally {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.recent[key]; t != nil {
		return t
	}
	t := k.old[key]
	if t == nil {
		t = new(tally)
	}
	if len(k.recent) >= max(k.limit/2, 1) {
		k.rotateLocked()
	}
	if k.recent == nil {
		k.recent = map[uint64]*tally{}
	}
	k.recent[key] = t
	return t
}

// rotateLocked evicts the keys not seen recently, except those with requests in
// flight, whose concurrency would be counted from zero. The caller must hold
// k.mu.
func (k *keys) rotateLocked() {
	kept := map[uint64]*tally{}
	for key, t := range k.old {
		if k.recent[key] == nil && t.running.Load() > 0 {
			kept[key] = t
		}
	}
	k.old, k.recent = k.recent, kept
}

func (k *keys) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := len(k.recent)
	for key := range k.old {
		if k.recent[key] == nil {
			n++
		}
	}
	return n
}
