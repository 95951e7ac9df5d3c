package scenario

import (
	"encoding/json"
	"strings"
	"time"
)

// Decision is what happens to one request. Call Done when the request has
// ended.
type Decision struct {
	Strikes []Strike // in the order of the rules; empty when the request only occupies slots of limits

	engine *Engine
	slots  []*tally
	one    [1]Strike
	final  bool // a rule hit that leaves nothing to the rules below
}

// Strike is the hit of one rule on a request.
type Strike struct {
	Rule  string
	N     uint64        // number of the request among those of the rule, or of its key
	Delay time.Duration // before the response, or after the handler
	Fault *Fault        // nil for none; read-only
	Retry time.Duration // above a limit: when to retry

	Hurried bool // the limit has a queue, and Hold had no slot to wait in it

	rule    *live
	draws   draws
	chunked bool
	most    time.Duration
}

// strike returns the rule's hit of its n-th request, without what acts on a body that
// the response does not have.
func (l *live) strike(e *Engine, req *Request, n uint64, draws draws) Strike {
	s := Strike{Rule: l.Name, N: n, Fault: l.Fault, rule: l, draws: draws, most: e.limits.Delay}
	if l.delay != nil && l.Delay.At != Chunks {
		s.Delay = s.draw(l.delay, drawDelay, 0)
	}
	bodiless := req.bodiless()
	s.chunked = l.delay != nil && (l.Delay.At == Chunks || l.Delay.At == Both) && !bodiless && !req.WebSocket
	if bodiless && s.Fault != nil && l.breaksBody() {
		s.Fault = nil
	}
	return s
}

func (s *Strike) draw(from Distribution, what, i uint64) time.Duration {
	return bounded(from.Quantile(s.draws.uniform(what, i)), s.most)
}

// Kind returns what the fault is in a scope, nil when it does nothing there.
func (s *Strike) Kind(scope Scope) *Kind {
	if s.Fault == nil {
		return nil
	}
	return s.rule.kinds[scope]
}

// After reports whether the rule acts after the handler. With match.reply that
// depends on the fault, which may also edit the response.
func (s *Strike) After() bool {
	if s.rule.Match.Reply == nil {
		return s.rule.At == AfterHandler
	}
	kinds := s.Fault.Kinds()
	return len(kinds) > 0 && kinds[0].After
}

// Label names the kind of the fault in a scope for simulations, empty for none.
func (s *Strike) Label(scope Scope) string {
	label := s.Kind(scope).Label(s.Fault)
	if label != "" && s.After() {
		label += " after the handler"
	}
	return label
}

// Describe returns the value of a kind of the fault as a scenario would contain it,
// in JSON.
func (s *Strike) Describe(kind string) string {
	for _, k := range kindTable() {
		if k.Name == kind {
			b, err := json.Marshal(k.value(s.Fault).Interface())
			if err != nil {
				panic(err) // impossible: a fault consists of strings, numbers and durations
			}
			return string(b)
		}
	}
	return ""
}

// waits reports whether the fault makes the request wait.
func (s *Strike) waits(scope Scope) bool {
	k := s.Kind(scope)
	return k != nil && k.Waits
}

// Chunked reports whether there are delays between chunks.
func (s *Strike) Chunked() bool { return s.chunked }

// Chunk returns the delay before the i-th chunk or message, counted from 0.
// The first one is not delayed.
func (s *Strike) Chunk(i int) time.Duration {
	if !s.chunked || i == 0 {
		return 0
	}
	return s.draw(s.rule.delay, drawChunk, uint64(i))
}

// Fate is what happens to a message of a WebSocket.
type Fate struct {
	Wait   time.Duration // before the message, unless it is dropped
	Drop   bool
	End    bool // the connection is closed in place of the message
	Double bool // the message is sent twice
	Late   bool // the message is sent after the next one
}

// Frame returns what happens to the i-th message that one side sends over a
// WebSocket, counted from 0. way is Out for messages of the server, or In.
func (s *Strike) Frame(way Direction, i int) (f Fate) {
	w := s.Fault.WebSocket
	if !w.Direction.Has(way) || i < w.After {
		return f
	}
	if w.Close != 0 || w.Cut {
		return Fate{End: true}
	}
	loss, delay, side := drawFrame, drawFrameDelay, uint64(0)
	if way == In {
		loss, delay, side = drawFrameIn, drawFrameInDelay, 1<<31
	}
	share := func(percent *float64, what, i uint64) bool {
		return percent != nil && s.draws.uniform(what, i) < *percent/100
	}
	n := uint64(i)
	f.Drop = share(w.Drop, loss, n)
	if s.rule.frames != nil {
		f.Wait = s.draw(s.rule.frames, delay, n)
	}
	f.Double, f.Late = share(w.Duplicate, drawDuplicate, side+n), share(w.Reorder, drawReorder, side+n)
	return f
}

// Garbage returns n bytes that do not begin a message of any protocol in use.
func (s *Strike) Garbage(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(s.draws.at(drawGarbage, uint64(i))) | 0x80
	}
	return out
}

// Corrupt changes bytes or bits of b, as the fault's reply says, at places and to
// values that depend on the draws alone.
func (s *Strike) Corrupt(b []byte) {
	c := s.Fault.Reply.Corrupt
	n, size := c.Bytes, uint64(len(b))
	if c.Bits > 0 {
		n, size = c.Bits, 8*size
	}
	used := map[uint64]bool{}
	for i := range uint64(min(uint64(n), size)) {
		draw := s.draws.at(drawCorrupt, i)
		at := draw % size
		for used[at] {
			at = (at + 1) % size
		}
		used[at] = true
		if c.Bits > 0 {
			b[at/8] ^= 1 << (at % 8)
		} else {
			b[at] ^= byte(1 + draw>>32%255) // not 0, which would change nothing
		}
	}
}

// Delay returns the delay of the response, the sum over all rules.
func (d *Decision) Delay() time.Duration {
	var sum time.Duration
	for i := range d.Strikes {
		sum += d.Strikes[i].Delay // each is at most the limit
	}
	return min(sum, d.engine.limits.Delay)
}

// DelayAfter returns the part of Delay that comes after the handler.
func (d *Decision) DelayAfter() time.Duration {
	var before time.Duration
	after := false
	for i := range d.Strikes {
		if s := &d.Strikes[i]; s.After() {
			after = true
		} else {
			before += s.Delay
		}
	}
	if !after {
		return 0
	}
	return max(0, d.Delay()-before)
}

// Broken returns the strike with the fault, nil for none.
func (d *Decision) Broken() *Strike {
	for i := range d.Strikes {
		if d.Strikes[i].Fault != nil {
			return &d.Strikes[i]
		}
	}
	return nil
}

// Chunk returns the delay before the i-th chunk, the sum over all rules.
func (d *Decision) Chunk(i int) time.Duration {
	var sum time.Duration
	for j := range d.Strikes {
		sum += d.Strikes[j].Chunk(i)
	}
	return min(sum, d.engine.limits.Delay)
}

// Slow reports whether the response is sent with pauses, in the scope of the
// request.
func (d *Decision) Slow(scope Scope) bool {
	for i := range d.Strikes {
		s := &d.Strikes[i]
		if k := s.Kind(scope); s.chunked || k != nil && k.Pauses {
			return true
		}
	}
	return false
}

// Chunked reports whether there are delays between chunks.
func (d *Decision) Chunked() bool {
	for i := range d.Strikes {
		if d.Strikes[i].chunked {
			return true
		}
	}
	return false
}

// Waits reports whether the request waits because of a rule, in its scope.
func (d *Decision) Waits(scope Scope) bool {
	for i := range d.Strikes {
		if s := &d.Strikes[i]; s.Delay > 0 || s.chunked || s.waits(scope) {
			return true
		}
	}
	return false
}

// DropWaits removes from the decision what would delay the request, in its
// scope, and returns the rules that it came from.
func (d *Decision) DropWaits(scope Scope) (rules []string) {
	left := d.Strikes[:0]
	for _, s := range d.Strikes {
		if waits := s.waits(scope); waits || s.Delay > 0 || s.chunked {
			rules = append(rules, s.Rule)
			s.Delay, s.chunked = 0, false
			if waits {
				s.Fault = nil
			}
			if s.Kind(scope) == nil {
				continue
			}
		}
		left = append(left, s)
	}
	d.Strikes = left
	return rules
}

// Names returns the names of the rules, joined by commas.
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

// Limited reports whether the request occupies a slot of a concurrency limit
// until Done.
func (d *Decision) Limited() bool { return len(d.slots) > 0 }

// Done frees the slots that the request occupies.
func (d *Decision) Done() {
	for _, t := range d.slots {
		t.leave()
	}
	d.slots = nil
}
