package simulate

import (
	"cmp"
	"slices"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// place is a request at a limit with a queue.
type place struct {
	begin, end time.Time // of its turn; equal if it waited too long
}

// queue simulates the queue of a limit. As the ends of all earlier requests are
// known, so is the turn of the next one: when all but concurrency-1 of those before
// it have ended.
func (r *Run) queue(q *scenario.Queue) bool {
	all := slices.DeleteFunc(r.queues[q.Key], func(p *place) bool { return !p.end.After(r.now) })
	var ends []time.Time
	waiting := 0
	for _, p := range all {
		if p.begin != p.end {
			ends = append(ends, p.end)
		}
		if p.begin.After(r.now) {
			waiting++
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	next := &place{begin: r.now, end: r.now}
	if n := len(ends); n >= q.Concurrency {
		next.begin = ends[n-q.Concurrency]
	}
	wait := next.begin.Sub(r.now)
	ok := wait <= q.Wait
	switch {
	case wait > 0 && waiting >= q.Length:
		r.queues[q.Key] = all
		return false
	case !ok:
		wait = q.Wait
		next.begin, next.end = r.now.Add(wait), r.now.Add(wait)
	default:
		r.places = append(r.places, next)
	}
	r.queues[q.Key] = append(all, next)
	r.waited += wait
	if wait > 0 {
		run := r.Rules[q.Rule]
		run.Waits = append(run.Waits, wait)
	}
	return ok
}

// addServer describes a server that a rule matches, where flags and earlier rules
// leave that open.
func (r *Run) addServer(m *scenario.Match) {
	if len(m.Server) > 0 {
		r.Pod = cmp.Or(r.Pod, fill(m.Server[0]))
	}
	x := m.Instance
	if x == nil {
		return
	}
	r.Pod, r.Version, r.Zone = cmp.Or(r.Pod, fill(x.Name)), cmp.Or(r.Version, fill(x.Version)), cmp.Or(r.Zone, fill(x.Zone))
	for name, text := range x.Labels {
		if _, given := r.Labels[name]; !given && text != "" {
			if r.Labels == nil {
				r.Labels = map[string]string{}
			}
			r.Labels[name] = fill(text)
		}
	}
}
