package scenario

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
)

// TCPClose closes a TCP connection: after a time, after a number of bytes or when
// it is idle.
type TCPClose struct {
	After Duration `json:"after,omitzero" example:"1s" doc:"time from the accept, or from the loading of the rule; with bytes, from those bytes"`
	Bytes *int     `json:"bytes,omitempty" example:"100" min:"0" doc:"bytes to pass first in the direction; with 0, the first byte and the end of the data count and do not pass"`
	Idle  Duration `json:"idle,omitzero" example:"30s" doc:"time without data in both directions"`
	Reset bool     `json:"reset,omitempty" doc:"reset both connections (TCP RST)"`
}

func (c *TCPClose) check(d *decoder, field string) {
	switch {
	case c.After == 0 && c.Bytes == nil && c.Idle == 0:
		d.wrong(field, "no effect; add after, bytes or idle")
	case c.Idle > 0 && (c.After > 0 || c.Bytes != nil):
		d.wrong(field+".idle", "cannot be combined with after or bytes; use another rule")
	}
}

// TCPSlice passes data in small writes.
type TCPSlice struct {
	Size      int      `json:"size" example:"10" required:"true" min:"1" doc:"bytes of a write, on average"`
	Variation int      `json:"variation,omitempty" default:"0" example:"5" min:"0" doc:"bytes by which writes differ from size"`
	Delay     Duration `json:"delay,omitzero" default:"0s" example:"10ms" doc:"pause after each write"`
}

func (s *TCPSlice) check(d *decoder, field string) {
	if s.Variation >= s.Size {
		d.wrong(field+".variation", "must be below size")
	}
}

// TCPSilence drops data.
type TCPSilence struct {
	Close Duration `json:"close,omitzero" example:"1s" doc:"close the connection after this time without data; 0 for never"`
}

// checkTCP reports mistakes of rules for TCP connections.
func (d *decoder) checkTCP(r *Rule) {
	m, f := &r.Match, r.Fault
	for _, c := range r.Choose {
		if c.Fault != nil && c.Fault.Down {
			d.wrong("choose", "down closes the port and has no connections to choose from; use a rule of its own")
		}
	}
	if m.TCP != "" {
		if !m.onlyTCP() {
			d.wrong("match.tcp", "combines only with percent, per and server; remove the other conditions")
		}
		if f == nil && r.Delay == nil && len(r.Choose) == 0 {
			d.wrong("limit", "a TCP connection has no status; add a fault such as reset: true")
		}
		if len(f.Kinds()) > 0 && f.Kind(TCPConnections) == nil {
			d.wrong("fault", "%s does nothing to TCP connections, which match.tcp matches; use one of %s", namesOf(f.Kinds()), namesOf(Kinds(TCPConnections)))
		}
		if r.At == AfterHandler {
			d.wrong("at", "a TCP connection has no handler; remove at")
		}
		if r.Delay != nil && !r.Delay.connects() {
			d.wrong("delay.at", "a TCP connection is delayed only before it is connected; remove at, or use the fault latency")
		}
	}
	if f == nil {
		return
	}
	if f.Direction != "" && f.Close != nil && f.Close.Bytes == nil {
		d.wrong("fault.direction", "no effect on close without bytes; add it or remove direction")
	}
	if f.Latency != nil && f.Latency.At != "" {
		d.wrong("fault.latency.at", "no effect, as all data is delayed; remove it")
	}
	if f.Latency != nil {
		d.checkDelay(f.Latency, "fault.latency")
	}
	if f.Down && (r.When.counts() || r.When.Ramp != nil || r.Delay != nil || r.Limit != nil || m.Percent != nil || m.Per != "") {
		d.wrong("fault.down", "a closed port cannot count connections; use only match.tcp, match.server and conditions about time, or reset for some of the connections")
	}
}

// onlyTCP reports whether TCP connections can meet all conditions of m.
func (m *Match) onlyTCP() bool {
	return reflect.DeepEqual(*m, Match{TCP: m.TCP, Percent: m.Percent, Per: m.Per, Server: m.Server})
}

// connects reports whether x delays the connecting of TCP connections.
func (x *Delay) connects() bool { return x.At == "" || x.At == Before || x.At == Both }

// meetsTCP reports whether r, whatever its match, does something to TCP
// connections.
func (r *Rule) meetsTCP(kinds [scopeCount]*Kind) bool {
	if r.Fault != nil {
		return kinds[TCPConnections] != nil
	}
	return r.Delay != nil && r.Delay.connects()
}

// setTCP decides what the rule does to TCP connections, and that a rule with
// match.tcp does nothing else.
func (l *live) setTCP() {
	l.tcp = glob.Text(l.Match.TCP)
	if f := l.Fault; f != nil && f.Latency != nil {
		l.latency = f.Latency.Distribution()
	}
	if l.Match.TCP != "" {
		for s := range Readiness {
			l.acts[s] = false
		}
	}
	if len(l.choices) > 0 {
		l.acts[TCPConnections] = slices.ContainsFunc(l.choices, func(c *live) bool { return c.acts[TCPConnections] })
		return
	}
	l.acts[TCPConnections] = l.Match.onlyTCP() && l.meetsTCP(l.kinds)
}

func (l *live) matchesTCP(req *Request) bool {
	return l.acts[TCPConnections] && (l.Match.TCP == "" || l.tcp.Match(req.TCP))
}

// coversTCP reports whether l matches every TCP connection that b matches. With
// combine it leaves b its fault.
func (l *live) coversTCP(b *live) bool {
	return !l.Combine && (l.Match.TCP == "" || b.Match.TCP != "" && l.tcp.Covers(b.tcp))
}

// down reports whether the rule closes ports instead of breaking connections.
func (l *live) down() bool { return l.Fault != nil && l.Fault.Down }

// atAccept reports whether the rule does something only to connections that are
// being accepted.
func (l *live) atAccept() bool {
	if len(l.choices) > 0 {
		return !slices.ContainsFunc(l.choices, func(c *live) bool { return !c.atAccept() })
	}
	return l.Fault == nil || l.Fault.Reset || l.Fault.Empty
}

// isOpen reports whether the conditions about time hold.
func (l *live) isOpen(now time.Time) bool {
	_, open := l.When.open(l.born, now)
	return open && l.scheduled(now) && !l.ended(now)
}

// Changes returns a channel that is closed when the rules change. timed reports
// whether rules for TCP connections depend on the clock: then call [TCPConnection.Update]
// and [Engine.Down] also from time to time.
func (e *Engine) Changes() (changed <-chan struct{}, timed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.set.Load(); s != nil {
		timed = slices.ContainsFunc(s.tcp, func(at int32) bool { return s.rules[at].timed })
	}
	return e.changed, timed
}

// Down returns the name of a rule that closes the port of a TCP proxy now, ""
// for none.
func (e *Engine) Down(proxy string) string {
	s := e.set.Load()
	if s == nil {
		return ""
	}
	req := &Request{TCP: proxy}
	for _, at := range s.tcp {
		if l := s.rules[at]; l.down() && l.matchesTCP(req) && l.isOpen(e.now()) {
			return l.Name
		}
	}
	return ""
}

// TCPConnection is what the rules do to one TCP connection. Its methods must not be
// called concurrently.
type TCPConnection struct {
	engine   *Engine
	req      *Request
	accepted bool
	known    map[*live]*verdict
}

// verdict is what a rule decided about a connection. It is valid as long as the
// rule is unchanged and its conditions about time hold.
type verdict struct {
	strike *Strike // nil when the rule does not hit the connection
	done   func()
}

// Connect returns the TCPConnection of a client to a TCP proxy. Call Update next.
func (e *Engine) Connect(proxy string, client Values) *TCPConnection {
	return &TCPConnection{engine: e, req: &Request{TCP: proxy, Route: proxy, Values: client}}
}

// Update returns the hits on the connection, in the order of the rules. The first
// call decides about the accept. A later call decides only by rules that were
// added, changed or opened by their schedule since; all other hits are the same
// pointers as before.
func (c *TCPConnection) Update() (strikes []*Strike) {
	known := map[*live]*verdict{}
	now := c.engine.now()
	if s := c.engine.set.Load(); s != nil {
		for _, at := range s.tcp {
			l := s.rules[at]
			if l.down() || !l.matchesTCP(c.req) || !l.isOpen(now) {
				continue
			}
			v := c.known[l]
			if v == nil {
				if c.accepted && l.atAccept() {
					continue
				}
				v = c.decide(l, now)
			}
			known[l] = v
			if v.strike == nil {
				continue
			}
			strikes = append(strikes, v.strike)
			if !l.Combine {
				break
			}
		}
	}
	for l, v := range c.known {
		if known[l] == nil {
			v.done()
		}
	}
	c.known, c.accepted = known, true
	return strikes
}

func (c *TCPConnection) decide(l *live, now time.Time) *verdict {
	d, strike, hit := l.try(c.engine, nil, c.req, now)
	v := &verdict{done: func() {}}
	if d != nil {
		v.done = d.Done
	}
	if hit {
		l.fired.Add(1)
		v.strike = &strike
	}
	return v
}

// Done frees the slots of limits that the connection occupies.
func (c *TCPConnection) Done() {
	for _, v := range c.known {
		v.done()
	}
	c.known = nil
}

// The draws of a TCP connection, which has one kind of fault for each hit.
const (
	drawTCPOut uint64 = iota + 1000
	drawTCPIn
)

func drawOf(way Direction) uint64 {
	if way == In {
		return drawTCPIn
	}
	return drawTCPOut
}

// Latency returns the delay of the i-th piece of data in a direction, by the fault
// latency.
func (s *Strike) Latency(way Direction, i uint64) time.Duration {
	return s.draw(s.rule.latency, drawOf(way), i)
}

// Uniform returns the i-th random number of a direction, above 0 and below 1.
func (s *Strike) Uniform(way Direction, i uint64) float64 { return s.draws.uniform(drawOf(way), i) }

// Ways returns the directions of a TCP connection that the fault breaks.
func (f *Fault) Ways() (ways []Direction) {
	for _, way := range []Direction{In, Out} {
		if cmp.Or(f.Direction, Out).Has(way) {
			ways = append(ways, way)
		}
	}
	return ways
}
