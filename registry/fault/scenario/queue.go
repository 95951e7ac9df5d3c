package scenario

import (
	"slices"
	"time"
)

// Queue is the part of a limit that lets requests wait.
type Queue struct {
	Rule        string
	Concurrency int
	Length      int
	Wait        time.Duration // longest wait
	Key         any           // the same for requests that are counted together
}

// SetQueue replaces the queues of limits, for simulations. f reports whether a
// request gets its turn. Call SetQueue before any other method.
func (e *Engine) SetQueue(f func(*Queue) bool) { e.queue = f }

// admit reports whether a request is above the limit, and then how long to wait
// before a retry. It waits for the request's turn where the limit has a queue; hurried
// is true when it could not, as too many requests were waiting.
func (l *live) admit(e *Engine, req *Request, t *tally, now time.Time) (retry time.Duration, over, hurried bool) {
	if l.Limit.Queue == 0 {
		retry, over = l.Limit.over(t, now)
		return retry, over, false
	}
	q := Queue{l.Name, l.Limit.Concurrency, l.Limit.Queue, e.limits.Delay, t}
	if l.Limit.Wait > 0 {
		q.Wait = min(q.Wait, time.Duration(l.Limit.Wait))
	}
	retry = max(time.Second, q.Wait)
	if e.queue != nil {
		if !e.queue(&q) {
			return retry, true, false
		}
		t.running.Add(1)
		return 0, false, false
	}
	turn, ok := t.enqueue(q.Concurrency, q.Length)
	if !ok || turn == nil {
		return retry, !ok, false
	}
	got := false
	if w, can := req.Values.(Waiter); can {
		if hurried = !e.Hold(); !hurried {
			got = w.Wait(turn, q.Wait)
			e.Release()
		}
	}
	over = !got && !t.cancel(turn)
	return retry, over, over && hurried
}

// enqueue takes a slot of a concurrency limit, or a place in its queue: then turn
// is closed when the request has a slot. It returns false when all are taken.
func (t *tally) enqueue(limit, length int) (turn chan struct{}, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.running.Load() < int64(limit):
		t.running.Add(1)
		return nil, true
	case len(t.waiting) >= length:
		return nil, false
	}
	turn = make(chan struct{})
	t.waiting = append(t.waiting, turn)
	return turn, true
}

// cancel gives up a place in the queue. It returns true when the request has got
// a slot meanwhile.
func (t *tally) cancel(turn chan struct{}) (hasSlot bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, turn)
	if i < 0 {
		return true
	}
	t.waiting = slices.Delete(t.waiting, i, i+1)
	return false
}

// leave frees a slot of a concurrency limit, or passes it to the request that has
// waited longest.
func (t *tally) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.running.Add(-1)
		return
	}
	close(t.waiting[0])
	t.waiting = t.waiting[1:]
}
