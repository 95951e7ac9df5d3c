package scenario

import (
	"fmt"

	"github.com/seed-4591fe7d/podinfo/internal/splitmix"
)

// SetShared makes rules with shared count by f, which adds to the number of a key
// that all replicas use, and returns the sum. f returns false when it cannot, and
// the replica then counts alone. Call SetShared before Apply.
func (e *Engine) SetShared(f func(key string, add uint64) (n uint64, ok bool)) { e.shared = f }

// sharedPrefix returns the first part of the keys of a rule, which changes with
// the rule.
func (l *live) sharedPrefix() string {
	return fmt.Sprintf("podinfo-fault:%s:%016x:", l.Name, splitmix.Hash(string(l.JSON())))
}

// countShared returns the number of a request within the percentage as all replicas
// count it. While the replica counts alone it continues the last number, and adds
// what it counted afterwards.
func (l *live) countShared(e *Engine, req *Request, t *tally, nth uint64) uint64 {
	if e.shared == nil {
		return nth
	}
	t.mu.Lock()
	alone := t.alone
	t.alone = 0
	t.mu.Unlock()
	n, ok := e.shared(fmt.Sprintf("%s%016x", l.fleet, splitmix.Hash(l.keyOf(req))), alone+1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if ok {
		t.fleet = max(t.fleet, n)
		return n
	}
	t.fleet++
	t.alone += alone + 1
	return t.fleet
}

func (d *decoder) checkShared(r *Rule) {
	w := &r.When
	switch {
	case w.After+w.Every+w.First == 0 && len(w.Outcomes) == 0:
		d.wrong("shared", "no effect without after, every, first or outcomes; add one or remove shared")
	case w.Burst != nil:
		d.wrong("shared", "each replica has its own bursts; remove when.burst or shared")
	case r.Limit != nil:
		d.wrong("shared", "each replica has its own limit; remove limit or shared")
	}
}
