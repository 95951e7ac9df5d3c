package scenario

import (
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what rules can do to a server.
type Limits struct {
	Delay time.Duration // longest wait of one request
	Held  int           // requests that wait at once; others do not wait
	Keys  int           // keys that a rule counts for
}

// Engine applies a scenario, which may be replaced at any time. Its methods
// may be called concurrently.
type Engine struct {
	limits Limits
	seed   uint64 // where a scenario has none
	server string // the host's name
	now    func() time.Time

	set   atomic.Pointer[set] // nil when no rule could hit anything
	held  atomic.Int64
	asked atomic.Uint64 // requests that asked for a fault themselves

	mu     sync.Mutex
	rules  []*live // of the scenario, also those that removed themselves
	paused bool
}

// set is an arrangement of rules. It never changes.
type set struct {
	rules      []*live
	web, calls index
	unready    []*live
}

// NewEngine returns an engine without rules. seed is for scenarios that have
// none, and server the host's name, for rules that are about one.
func NewEngine(seed uint64, server string, limits Limits) *Engine {
	return &Engine{seed: seed, server: server, now: time.Now, limits: limits}
}

// SetClock replaces time.Now as what tells the time, for a simulation. It is to
// be called before anything else.
func (e *Engine) SetClock(now func() time.Time) { e.now = now }

// Idle reports that there are no rules. It is one atomic load.
func (e *Engine) Idle() bool { return e.set.Load() == nil }

// Apply replaces the scenario, which must have come from Parse, as a whole. A
// rule that stays as it is goes on counting where it was. One that has removed
// itself stays away, unless its name is one of anew: then it begins again.
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
		fresh := bring(r, seed, now, e.limits)
		if l := old[r.Name]; l != nil && l.seed == seed && reflect.DeepEqual(l.Rule, fresh.Rule) && !(l.expired(now) && slices.Contains(anew, r.Name)) {
			fresh = l
		}
		e.rules = append(e.rules, fresh)
	}
	e.arrange(now)
}

// Pause stops or continues all rules. Their clocks go on.
func (e *Engine) Pause(paused bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.paused = paused
	e.arrange(e.now())
}

// arrange makes the set anew, without the rules that have had their time.
func (e *Engine) arrange(now time.Time) {
	s := new(set)
	for _, l := range e.rules {
		if l.expired(now) || e.paused || l.Match.Server != "" && !newPattern(l.Match.Server, false).match(e.server) {
			continue
		}
		if l.Fault != nil && l.Fault.Unready {
			s.unready = append(s.unready, l)
			continue
		}
		at := int32(len(s.rules))
		s.rules = append(s.rules, l)
		if l.web {
			s.web.add(l, at, l.path, l.Match.Path != "")
		}
		if l.calls {
			s.calls.add(l, at, l.rpc, l.Match.GRPC != "" && l.Match.GRPC != "*")
		}
	}
	if len(s.rules)+len(s.unready) == 0 {
		s = nil
	}
	e.set.Store(s)
}

// expire lets rules remove themselves.
func (e *Engine) expire(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.arrange(now)
}

// Decide says what happens to a request: nil when nothing does.
func (e *Engine) Decide(req *Request) *Decision {
	s := e.set.Load()
	if s == nil {
		return nil
	}
	var room [12][]int32
	var lists [][]int32
	if req.RPC != "" {
		lists = s.calls.find(req, req.RPC, room[:0])
	} else {
		lists = s.web.find(req, req.Path, room[:0])
	}
	if len(lists) == 0 {
		return nil
	}
	var d *Decision
	var now time.Time
	broken := false
	for at := next(lists, -1); at >= 0; at = next(lists, at) {
		l := s.rules[at]
		if broken && l.Fault != nil && l.delay == nil || !l.matches(req) {
			continue
		}
		if l.timed && now.IsZero() {
			now = e.now()
		}
		if l.timed && l.expired(now) {
			e.expire(now)
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
		broken = broken || l.Fault != nil
		if !l.Combine {
			break
		}
	}
	return d
}

// Once adds to d, which may be nil, what rules say that a request brought
// along. Of those only the delay, the fault and the percent count.
func (e *Engine) Once(d *Decision, rules ...*Rule) *Decision {
	n := e.asked.Add(1)
	for _, r := range rules {
		broken := d != nil && d.Broken() != nil
		if broken && r.Fault != nil && r.Delay == nil {
			continue
		}
		l := bring(r, e.seed, time.Time{}, e.limits)
		draws := draws(mix(l.key + n))
		if l.percent < 1 && draws.uniform(drawPercent, 0) >= l.percent {
			continue
		}
		if d == nil {
			d = &Decision{engine: e}
		}
		strike := l.strike(e, n, draws)
		if broken {
			strike.Fault = nil
		}
		d.Strikes = append(d.Strikes, strike)
	}
	return d
}

// try counts a request that matches and says whether the rule hits it. One
// that has room below a concurrency takes a place there.
func (l *live) try(e *Engine, d *Decision, req *Request, now time.Time) (_ *Decision, _ Strike, hit bool) {
	share := 1.0
	if l.timed {
		var ok bool
		if share, ok = l.When.open(l.born, now); !ok {
			return d, Strike{}, false
		}
	}
	t, key := l.countFor(req)
	if t == nil {
		return d, Strike{}, false
	}
	n, nth, draws := l.turn(t, key)
	if nth == 0 || !l.When.picks(nth) || share < 1 && draws.uniform(drawPercent, 0) >= l.percent*share {
		return d, Strike{}, false
	}
	if l.Limit == nil {
		return d, l.strike(e, n, draws), true
	}
	wait, over := l.Limit.over(t, now)
	if over {
		strike := l.strike(e, n, draws)
		strike.Retry = wait
		return d, strike, true
	}
	if l.Limit.Concurrency > 0 {
		if d == nil {
			d = &Decision{engine: e}
		}
		d.places = append(d.places, t)
	}
	return d, Strike{}, false
}

// turn counts a request: n is its number among those that match but for the
// percent, by which it draws, and nth the one among those that match, 0 when it
// does not. Both are taken in one step where the order of the hits depends on
// it.
func (l *live) turn(t *tally, key uint64) (n, nth uint64, d draws) {
	if l.percent == 1 || !l.When.counts() {
		n = t.n.Add(1)
		d = draws(mix(key + n))
		if l.percent < 1 && d.uniform(drawPercent, 0) >= l.percent {
			return n, 0, d
		}
		return n, n, d
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n = t.n.Add(1)
	d = draws(mix(key + n))
	if d.uniform(drawPercent, 0) >= l.percent {
		return n, 0, d
	}
	t.passed++
	return n, t.passed, d
}

// over reports whether a request is above the limit, and when to come back
// then. Below it, the request has taken a place or a token.
func (l *Limit) over(t *tally, now time.Time) (wait time.Duration, over bool) {
	if l.Concurrency > 0 {
		return time.Second, !t.enter(l.Concurrency)
	}
	ok, wait := t.take(now, l.Rate, l.burst())
	return wait, !ok
}

// Hold takes a place among the requests that wait. When it is false there is
// none, and the request is not to wait. Otherwise Release must follow.
func (e *Engine) Hold() bool {
	if e.held.Add(1) <= int64(e.limits.Held) {
		return true
	}
	e.held.Add(-1)
	return false
}

// Release gives a place back.
func (e *Engine) Release() { e.held.Add(-1) }

// Held is how many requests wait.
func (e *Engine) Held() int { return int(e.held.Load()) }

// Limits are the engine's.
func (e *Engine) Limits() Limits { return e.limits }

// Unready is the name of a rule that fails readiness now, "" for none.
func (e *Engine) Unready() string {
	s := e.set.Load()
	if s == nil || len(s.unready) == 0 {
		return ""
	}
	now := e.now()
	for _, l := range s.unready {
		if _, open := l.When.open(l.born, now); open && !l.expired(now) {
			return l.Name
		}
	}
	return ""
}

// State is a rule and what it has done.
type State struct {
	Rule    *Rule
	Seen    uint64 // requests that matched, whatever the percent
	Hits    uint64
	Keys    int        // that it counts for
	Expires *time.Time // when it removes itself, nil for never
}

// Rules are the rules at work in their order, without those that have removed
// themselves.
func (e *Engine) Rules() []State {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	var out []State
	for _, l := range e.rules {
		if l.expired(now) {
			continue
		}
		s := State{Rule: l.Rule, Seen: l.all.n.Load(), Hits: l.fired.Load()}
		if l.keyed != nil {
			s.Keys = l.keyed.len()
		}
		if l.TTL > 0 {
			end := l.born.Add(time.Duration(l.TTL))
			s.Expires = &end
		}
		out = append(out, s)
	}
	return out
}

// Paused reports whether all rules are stopped.
func (e *Engine) Paused() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.paused
}
