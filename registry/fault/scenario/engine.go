package scenario

import (
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/splitmix"
)

// Limits bound what rules can do to a server.
type Limits struct {
	Delay time.Duration // longest delay of one request
	Held  int           // maximum number of requests delayed at the same time
	Keys  int           // keys tracked per rule
}

// Engine applies a scenario, which may be replaced at any time. Its methods
// are safe for concurrent use, except for SetClock.
type Engine struct {
	limits   Limits
	seed     uint64 // for scenarios without one
	instance string
	self     Self
	queue    func(*Queue) bool // takes the place of the queues of limits
	shared   func(key string, add uint64) (uint64, bool)
	now      func() time.Time

	set      atomic.Pointer[set] // nil when no rule can hit anything
	held     atomic.Int64
	byHeader atomic.Uint64 // requests that brought their own rules

	mu     sync.Mutex
	rules  []*live // of the scenario, including those that have ended
	paused bool

	changed chan struct{} // closed when the rules change
}

// set holds the rules that can hit something, with an index. It is immutable.
type set struct {
	rules                   []*live
	web, calls              index
	bodies                  index // rules for web that look into bodies
	firstBody               int32 // the first of them, -1 without any
	webReplies, callReplies index // rules with match.reply
	responses               index // those of webReplies, by the response too
	replyBodies             bool  // one of them looks into the body of the request
	unready                 []*live
	tcp                     []int32             // ascending
	below                   [scopeCount][]int32 // rules for connections and handshakes, ascending
}

// NewEngine returns an engine without rules. seed is the seed of scenarios
// without one. instance names the process among those with the same seed, which
// draw differently, and is what match.server is compared with; an empty one
// draws as with sync: fleet.
func NewEngine(seed uint64, instance string, limits Limits) *Engine {
	return &Engine{seed: seed, instance: instance, now: time.Now, limits: limits, changed: make(chan struct{})}
}

// SetClock replaces time.Now, for simulations. Call it before any other method.
func (e *Engine) SetClock(now func() time.Time) { e.now = now }

// Idle reports whether no rule can hit anything. It is one atomic load.
func (e *Engine) Idle() bool { return e.set.Load() == nil }

// Apply replaces the scenario, which must come from Parse or Checked. Unchanged
// rules keep their counters. A rule that has ended stays so, unless anew contains
// its name: then it starts over.
func (e *Engine) Apply(s *Scenario, anew ...string) {
	seed := e.seed
	if s.Seed != nil {
		seed = *s.Seed
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old := map[string]*live{}
	for _, l := range e.rules {
		old[l.Name] = l
	}
	now := e.now()
	e.rules = nil
	for _, r := range s.Rules {
		fresh := e.compile(r, seed, now)
		if l := old[r.Name]; l != nil && l.seed == seed && reflect.DeepEqual(l.Rule, fresh.Rule) && !(l.ended(now) && slices.Contains(anew, r.Name)) {
			fresh = l
		}
		e.rules = append(e.rules, fresh)
	}
	e.arrangeLocked(now)
}

// compile prepares a rule that was checked, and its alternatives.
func (e *Engine) compile(r *Rule, seed uint64, now time.Time) *live {
	l := compileRule(r, seed, now, e.limits)
	if r.Match.Per == "" && r.Sync != Fleet && e.instance != "" {
		l.key = splitmix.Mix(l.key ^ splitmix.Hash(e.instance))
	}
	l.settle(e)
	return l
}

// Pause stops or resumes all rules. Their clocks keep running.
func (e *Engine) Pause(paused bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.paused = paused
	e.arrangeLocked(e.now())
}

// arrangeLocked rebuilds the set, without expired rules. The caller must hold
// e.mu.
func (e *Engine) arrangeLocked(now time.Time) {
	s := &set{firstBody: -1, bodies: index{bodies: true}, responses: index{replies: true}}
	for _, l := range e.rules {
		if l.ended(now) || e.paused || !l.Match.on(e) {
			continue
		}
		if l.kinds[Readiness] != nil {
			s.unready = append(s.unready, l)
			continue
		}
		at := int32(len(s.rules))
		s.rules = append(s.rules, l)
		for _, scope := range []Scope{Connections, Handshakes} {
			if l.acts[scope] {
				s.below[scope] = append(s.below[scope], at)
			}
		}
		web, calls := &s.web, &s.calls
		if l.Match.Reply != nil {
			web, calls = &s.webReplies, &s.callReplies
		} else if l.readsBody() && !l.Match.Internal {
			web = &s.bodies
		}
		if l.acts[HTTPRequests] || l.acts[WebSockets] {
			web.add(l, at, false)
			if web == &s.webReplies {
				s.responses.add(l, at, false)
				s.replyBodies = s.replyBodies || l.readsBody() || l.not != nil && l.not.readsBody() || l.per.source == byJSON
			} else if web == &s.bodies && s.firstBody < 0 {
				s.firstBody = at
			}
		}
		if l.acts[TCPConnections] {
			s.tcp = append(s.tcp, at)
		}
		if l.acts[GRPCCalls] {
			calls.add(l, at, true)
		}
	}
	s.web.finish()
	s.calls.finish()
	s.webReplies.finish()
	s.callReplies.finish()
	s.bodies.finish()
	s.responses.finish()
	if len(s.rules)+len(s.unready) == 0 {
		s = nil
	}
	e.set.Store(s)
	close(e.changed)
	e.changed = make(chan struct{})
}

// end leaves out the rules that have ended by now.
func (e *Engine) end(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.arrangeLocked(now)
}

// Decide returns what happens to a request, nil for nothing.
func (e *Engine) Decide(req *Request) *Decision {
	s := e.set.Load()
	if s == nil {
		return nil
	}
	var room [12][]int32
	var lists [][]int32
	if req.TCP != "" {
		lists = append(room[:0], s.tcp)
	} else if req.Connection || req.Handshake {
		lists = append(room[:0], s.below[req.Scope()])
	} else if req.RPC != "" {
		lists = s.calls.find(req, room[:0])
	} else {
		lists = s.web.find(req, room[:0])
	}
	return e.hits(s, lists, req)
}

// hits returns what the rules in lists do to a request or, once it is there, to its
// response.
func (e *Engine) hits(s *set, lists [][]int32, req *Request) *Decision {
	var d *Decision
	var now time.Time
	broken, unread := false, s.firstBody >= 0 && req.Scope() <= WebSockets && !req.Internal && req.response == nil
	for at := int32(-1); ; {
		last := at
		at = nextIndex(lists, last)
		if unread && (at < 0 || at > s.firstBody) { // no rule before has made reading the body unnecessary
			unread, lists = false, s.bodies.find(req, lists)
			at = nextIndex(lists, last)
		}
		if at < 0 {
			break
		}
		l := s.rules[at]
		if broken && l.Fault != nil && l.delay == nil || !l.matches(req) || req.response != nil && !l.meetsResponse(req.response) {
			continue
		}
		if l.timed && now.IsZero() {
			now = e.now()
		}
		if l.timed && l.ended(now) {
			e.end(now)
			continue
		}
		strike, hit := Strike{}, false
		if d, strike, hit = l.try(e, d, req, now); !hit {
			continue
		}
		if broken {
			strike.Fault = nil
		}
		if d == nil {
			d = &Decision{engine: e}
		}
		if d.Strikes == nil {
			d.Strikes = d.one[:0]
		}
		d.Strikes = append(d.Strikes, strike)
		l.fired.Add(1)
		broken = broken || strike.Fault != nil
		if !l.Combine {
			d.final = true
			break
		}
	}
	return d
}

// Once adds to d, which may be nil, the hits of rules that a request brings
// itself. Only their delay, fault and percentage count.
func (e *Engine) Once(req *Request, d *Decision, rules ...*Rule) *Decision {
	n := e.byHeader.Add(1)
	for _, r := range rules {
		broken := d != nil && d.Broken() != nil
		if broken && r.Fault != nil && r.Delay == nil {
			continue
		}
		l := e.compile(r, e.seed, time.Time{})
		if !l.actsOn(req) {
			continue
		}
		draws := draws(splitmix.Mix(l.key + n))
		if l.percent < 1 && draws.uniform(drawPercent, 0) >= l.percent {
			continue
		}
		if d == nil {
			d = &Decision{engine: e}
		}
		d.final = true
		strike := l.strike(e, req, n, draws)
		if broken {
			strike.Fault = nil
		}
		d.Strikes = append(d.Strikes, strike)
	}
	return d
}

// try counts a matching request and reports whether the rule hits it. Below a
// concurrency limit the request is not hit and occupies a slot.
func (l *live) try(e *Engine, d *Decision, req *Request, now time.Time) (_ *Decision, _ Strike, hit bool) {
	share := 1.0
	if l.timed {
		var ok bool
		if share, ok = l.When.open(l.born, now); !ok || !l.scheduled(now) {
			return d, Strike{}, false
		}
	}
	t, key := l.countFor(req)
	if t == nil {
		return d, Strike{}, false
	}
	n, nth, draws := l.count(t, key)
	if l.Shared && nth != 0 {
		nth = l.countShared(e, req, t, nth)
	}
	if nth == 0 || !l.When.picks(nth) || share < 1 && draws.uniform(drawPercent, 0) >= l.percent*share {
		return d, Strike{}, false
	}
	does := l.choose(draws, req)
	if does == nil {
		return d, Strike{}, false
	}
	if l.Limit == nil {
		return d, does.strike(e, req, n, draws), true
	}
	wait, over, hurried := l.admit(e, req, t, now)
	if over {
		strike := does.strike(e, req, n, draws)
		strike.Retry, strike.Hurried = wait, hurried
		return d, strike, true
	}
	if l.Limit.Concurrency > 0 {
		if d == nil {
			d = &Decision{engine: e}
		}
		d.slots = append(d.slots, t)
	}
	return d, Strike{}, false
}

// count counts a request: n is its number before the percentage, which seeds its
// draws, and nth its number after the percentage, 0 when the percentage excludes
// it. Where the order of hits depends on both, they are counted in one step.
func (l *live) count(t *tally, key uint64) (n, nth uint64, d draws) {
	if l.When.Burst == nil && (l.percent == 1 || !l.When.counts()) {
		n = t.n.Add(1)
		d = draws(splitmix.Mix(key + n))
		if l.percent < 1 && d.uniform(drawPercent, 0) >= l.percent {
			return n, 0, d
		}
		return n, n, d
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n = t.n.Add(1)
	d = draws(splitmix.Mix(key + n))
	if d.uniform(drawPercent, 0) >= l.percent {
		return n, 0, d
	}
	t.passed++
	if b := l.When.Burst; b != nil && !t.bursts(b, d) {
		return n, 0, d
	}
	return n, t.passed, d
}

// over reports whether a request is above the limit, and then how long to wait
// before a retry. Otherwise the request has taken a slot or a token.
func (l *Limit) over(t *tally, now time.Time) (wait time.Duration, over bool) {
	if l.Concurrency > 0 {
		return time.Second, !t.enter(l.Concurrency)
	}
	ok, wait := t.take(now, l.Rate, l.burst())
	return wait, !ok
}

// Hold takes one of the slots for delayed requests. When it returns false all
// are taken, and the request must not be delayed. Otherwise call Release.
func (e *Engine) Hold() bool {
	if e.held.Add(1) <= int64(e.limits.Held) {
		return true
	}
	e.held.Add(-1)
	return false
}

// Release frees a slot that Hold took.
func (e *Engine) Release() { e.held.Add(-1) }

// Held returns the number of requests being delayed.
func (e *Engine) Held() int { return int(e.held.Load()) }

// Limits returns the limits given to NewEngine.
func (e *Engine) Limits() Limits { return e.limits }

// Unready returns the name of a rule that fails readiness now, "" for none.
func (e *Engine) Unready() string {
	s := e.set.Load()
	if s == nil || len(s.unready) == 0 {
		return ""
	}
	now := e.now()
	for _, l := range s.unready {
		if _, open := l.When.open(l.born, now); open && l.scheduled(now) && !l.ended(now) {
			return l.Name
		}
	}
	return ""
}

// State is a rule with its counters.
type State struct {
	Rule    *Rule
	Seen    uint64 // requests that matched, before the percentage
	Hits    uint64
	Keys    int        // keys tracked
	Expires *time.Time // when the rule ends, nil for never
	Ended   bool       // the rule hits nothing any more
}

// Rules returns the rules in order, with those that have ended.
func (e *Engine) Rules() []State {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	var out []State
	for _, l := range e.rules {
		s := State{Rule: l.Rule, Seen: l.all.n.Load(), Hits: l.fired.Load(), Ended: l.ended(now)}
		if l.keyed != nil {
			s.Keys = l.keyed.len()
		}
		if end := l.end(); !end.IsZero() {
			s.Expires = &end
		}
		out = append(out, s)
	}
	return out
}

// Paused reports whether the rules are paused.
func (e *Engine) Paused() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.paused
}
