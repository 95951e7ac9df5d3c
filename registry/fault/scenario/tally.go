package scenario

import (
	"sync"
	"sync/atomic"
	"time"
)

// tally is what is counted of a rule, or of one of its keys.
type tally struct {
	n       atomic.Uint64 // requests that matched, whatever the percent
	running atomic.Int64  // of those below a concurrency

	mu     sync.Mutex
	passed uint64  // requests that the percent let through, where they have an order
	tokens float64 // of the bucket
	filled time.Time
}

// enter takes a place below a concurrency.
func (t *tally) enter(limit int) bool {
	if t.running.Add(1) <= int64(limit) {
		return true
	}
	t.running.Add(-1)
	return false
}

// take takes a token. When there is none it says how long until there is.
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

// keys holds a tally for each of the keys that were seen last: at least half
// of limit and at most limit, of 90 bytes each, and those that have requests
// under way. A key that was forgotten begins anew.
type keys struct {
	limit int

	mu          sync.Mutex
	recent, old map[uint64]*tally
}

// of is the tally of a key, which is known by its hash.
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
		k.rotate()
	}
	if k.recent == nil {
		k.recent = map[uint64]*tally{}
	}
	k.recent[key] = t
	return t
}

// rotate forgets the keys that were not seen lately, but for those that have
// requests under way: they would have their concurrency again.
func (k *keys) rotate() {
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
