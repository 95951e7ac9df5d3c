package scenario

import (
	"slices"
	"strings"
	"time"
)

// Decision is what happens to one request. Done must be called when it ended.
type Decision struct {
	Strikes []Strike // in the order of the rules; none when the request only takes a place below a limit

	engine *Engine
	places []*tally
	one    [1]Strike
}

// Strike is a rule that hits a request.
type Strike struct {
	Rule  string
	N     uint64        // which request of the rule, or of its key, it is
	Delay time.Duration // before the reply
	Fault *Fault        // nil for none; it is not to be changed
	Retry time.Duration // above a limit: when to come back

	draws  draws
	chunks Distribution
	frames Distribution
	most   time.Duration
}

// strike is the rule's hit of its n-th request.
func (l *live) strike(e *Engine, n uint64, draws draws) Strike {
	s := Strike{Rule: l.Name, N: n, Fault: l.Fault, draws: draws, frames: l.frames, most: e.limits.Delay}
	if l.delay != nil && l.Delay.At != Chunks {
		s.Delay = s.draw(l.delay, drawDelay, 0)
	}
	if l.delay != nil && (l.Delay.At == Chunks || l.Delay.At == Both) {
		s.chunks = l.delay
	}
	return s
}

func (s *Strike) draw(from Distribution, what, i uint64) time.Duration {
	return bounded(from.Quantile(s.draws.uniform(what, i)), s.most)
}

// Chunked reports whether there are delays between chunks.
func (s *Strike) Chunked() bool { return s.chunks != nil }

// Chunk is the delay before the i-th chunk or message, counted from 0. There
// is none before the first.
func (s *Strike) Chunk(i int) time.Duration {
	if s.chunks == nil || i == 0 {
		return 0
	}
	return s.draw(s.chunks, drawChunk, uint64(i))
}

// Frame says what happens to the i-th message that the server sends over a
// WebSocket, counted from 0.
func (s *Strike) Frame(i int) (wait time.Duration, drop, end bool) {
	return s.frame(Out, i, drawFrame, drawFrameDelay)
}

// FrameIn is Frame for the messages of the client.
func (s *Strike) FrameIn(i int) (wait time.Duration, drop, end bool) {
	return s.frame(In, i, drawFrameIn, drawFrameInDelay)
}

func (s *Strike) frame(way Direction, i int, loss, delay uint64) (wait time.Duration, drop, end bool) {
	w := s.Fault.WebSocket
	if !w.Direction.Has(way) {
		return 0, false, false
	}
	if w.Close != 0 && i >= w.After {
		return 0, false, true
	}
	if i < w.After {
		return 0, false, false
	}
	if s.frames != nil {
		wait = s.draw(s.frames, delay, uint64(i))
	}
	return wait, w.Drop != nil && s.draws.uniform(loss, uint64(i)) < *w.Drop/100, false
}

// Garbage is n bytes that begin no message of any protocol in use.
func (s *Strike) Garbage(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(s.draws.at(drawGarbage, uint64(i))) | 0x80
	}
	return out
}

// Delay is the wait before the reply, of all rules together.
func (d *Decision) Delay() time.Duration {
	var sum time.Duration
	for i := range d.Strikes {
		sum += d.Strikes[i].Delay // each is at most the limit
	}
	return min(sum, d.engine.limits.Delay)
}

// Broken is the strike that has the fault, nil for none.
func (d *Decision) Broken() *Strike {
	for i := range d.Strikes {
		if d.Strikes[i].Fault != nil {
			return &d.Strikes[i]
		}
	}
	return nil
}

// Chunk is the delay before the i-th chunk, of all rules together.
func (d *Decision) Chunk(i int) time.Duration {
	var sum time.Duration
	for j := range d.Strikes {
		sum += d.Strikes[j].Chunk(i)
	}
	return min(sum, d.engine.limits.Delay)
}

// Slow reports whether the reply of a request, or of a call, is sent with
// pauses.
func (d *Decision) Slow(call bool) bool {
	return slices.ContainsFunc(d.Strikes, func(s Strike) bool { return s.Chunked() || !call && s.Fault.slows() })
}

// Hurry takes out of the decision what would make the request, or the call,
// wait. It returns the rules that this came from.
func (d *Decision) Hurry(call bool) (rules []string) {
	left := d.Strikes[:0]
	for _, s := range d.Strikes {
		slows := !call && s.Fault.slows()
		if s.Delay > 0 || s.Chunked() || slows {
			rules = append(rules, s.Rule)
			s.Delay, s.chunks = 0, nil
			if slows {
				s.Fault = nil
			}
			if s.Fault.Kind(call) == "" {
				continue
			}
		}
		left = append(left, s)
	}
	d.Strikes = left
	return rules
}

// Names are those of the rules, joined by commas.
func (d *Decision) Names() string {
	if len(d.Strikes) == 1 {
		return d.Strikes[0].Rule
	}
	var names []string
	for _, s := range d.Strikes {
		names = append(names, s.Rule)
	}
	return strings.Join(names, ",")
}

// Limited reports whether the request takes a place below a concurrency, until
// Done.
func (d *Decision) Limited() bool { return len(d.places) > 0 }

// Done gives back what the request took.
func (d *Decision) Done() {
	for _, t := range d.places {
		t.running.Add(-1)
	}
	d.places = nil
}
