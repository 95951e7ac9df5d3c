// Package simulate runs the engine of fault rules with a simulated clock, for
// podcli and the page.
package simulate

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Slices is the number of parts into which a result divides the time.
const Slices = 10

const serverKeys = 10000 // keys tracked per rule: a server's default

// The numbers of keys by default. So many that a share of them is one of the requests
// too, if a rule has match.sticky.
const (
	fewKeys  = 10
	manyKeys = 1000
)

// Options describe the requests and the server.
type Options struct {
	N                  int           // of requests
	Keys               int           // clients, and values of each key that rules count by; 0 for as many as the rules need
	Rate               float64       // requests per second
	Took               time.Duration // by the server for a request that no rule breaks
	MaxDelay           time.Duration
	Began              time.Time
	Pod, Version, Zone string // of the server; "" for one that the first rule about it matches
	Labels             map[string]string
	Known              bool                   // the server is as described: nothing is filled in for rules
	Internal           func(path string) bool // of the server's routes, nil for none
}

// Run is a simulation and its result.
type Run struct {
	Described bool // the caller gave the request, which then has no keys of match.per but its own
	Options
	Scenario *scenario.Scenario
	Requests []*Request // sent in turn
	Order    []*RuleRun
	Rules    map[string]*RuleRun
	Hit      int             // requests that a rule hit
	Delays   []time.Duration // of the delayed requests, by all rules together

	engine  *scenario.Engine
	now     time.Time
	running endHeap
	queues  map[any][]*place
	waited  time.Duration // by the current request, in queues
	places  []*place      // of the current request
}

// RuleRun is the result of one rule.
type RuleRun struct {
	Rule     *scenario.Rule
	Matched  uint64
	Keys     int // keys of match.per among the requests that the rule counted
	Hits     int
	Faults   map[string]int // by kind
	Delays   []time.Duration
	Waits    []time.Duration // in the queue of the limit
	Chunks   []time.Duration // between chunks: one sample per request
	Messages []time.Duration // of WebSocket messages: one sample per connection
	Slices   [Slices]int     // hits over time

	of        *RuleRun // the rule that this is an alternative of, nil for none
	readiness string   // label of the fault, if it is one of readiness
}

// New returns a simulation of the scenario, which must come from Parse or Checked
// and have a seed. Without a request each rule in turn gets one that it matches.
func New(o Options, s *scenario.Scenario, request *Request) *Run {
	r := &Run{Options: o, Scenario: s, now: o.Began, Rules: map[string]*RuleRun{}, queues: map[any][]*place{}}
	for _, rule := range r.Scenario.Rules {
		run := &RuleRun{Rule: rule, readiness: rule.Fault.Kind(scenario.Readiness).Label(rule.Fault), Faults: map[string]int{}}
		r.Order, r.Rules[rule.Name] = append(r.Order, run), run
		if !o.Known {
			r.addServer(&rule.Match)
		}
		for _, a := range rule.Alternatives() {
			run := &RuleRun{Rule: a, of: run, Faults: map[string]int{}}
			r.Order, r.Rules[a.Name] = append(r.Order, run), run
		}
		if s := matching(rule, o.Internal); request == nil && s != nil {
			r.Requests = append(r.Requests, s)
		}
	}
	if request != nil {
		r.Described, r.Requests = true, []*Request{request}
	} else if len(r.Requests) == 0 { // all rules are about readiness
		r.Requests = []*Request{NewRequest("GET", "/", "localhost")}
	}
	if r.Keys == 0 {
		r.Keys = keysFor(r.Scenario)
	}
	r.engine = scenario.NewEngine(0, r.Pod, scenario.Limits{Delay: r.MaxDelay, Keys: serverKeys})
	r.engine.SetClock(func() time.Time { return r.now })
	r.engine.SetSelf(scenario.Self{Version: r.Version, Zone: r.Zone, Labels: r.Labels})
	r.engine.SetQueue(r.queue)
	r.engine.Apply(r.Scenario)
	return r
}

// keysFor returns the number of keys that a simulation of the scenario needs.
func keysFor(s *scenario.Scenario) int {
	if slices.ContainsFunc(s.Rules, func(r *scenario.Rule) bool { return r.Match.Sticky != nil }) {
		return manyKeys
	}
	return fewKeys
}

// Keyed reports whether a rule counts by key.
func (r *Run) Keyed() bool {
	return slices.ContainsFunc(r.Scenario.Rules, func(r *scenario.Rule) bool { return r.Match.Per != "" })
}

// Simulate simulates all requests.
func (r *Run) Simulate(ctx context.Context) error {
	for i := range r.N {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		r.advance(time.Duration(float64(i) / r.Rate * float64(time.Second)))
		req := r.Requests[i%len(r.Requests)]
		req.key = i / len(r.Requests) % r.Keys
		r.decide(i, req)
	}
	r.recordMatches()
	return nil
}

// advance sets the clock to the given time since the start.
func (r *Run) advance(passed time.Duration) {
	r.now = r.Began.Add(passed)
	for len(r.running) > 0 && !r.running[0].at.After(r.now) {
		heap.Pop(&r.running).(end).decision.Done()
	}
}

func (r *Run) recordMatches() {
	for _, s := range r.engine.Rules() {
		r.Rules[s.Rule.Name].Matched, r.Rules[s.Rule.Name].Keys = s.Seen, s.Keys
		for _, a := range s.Rule.Alternatives() {
			r.Rules[a.Name].Matched = s.Seen
		}
	}
}

// decide simulates request number i.
func (r *Run) decide(i int, req *Request) {
	slice := i * Slices / r.N
	if name := r.engine.Unready(); name != "" {
		r.Rules[name].addHit(r.Rules[name].readiness, slice)
	}
	r.waited, r.places = 0, r.places[:0]
	before := r.engine.Decide(&req.Request)
	var after *scenario.Decision
	if a := r.engine.Await(&req.Request, before); a != nil {
		after = a.Decide(&req.Response)
	}
	hit := false
	for _, d := range []*scenario.Decision{before, after} {
		if d != nil {
			hit = len(d.Strikes) > 0 || hit
			r.apply(d, req, slice)
		}
	}
	if hit {
		r.Hit++
	}
}

// apply simulates what a decision does to a request.
func (r *Run) apply(d *scenario.Decision, req *Request, slice int) {
	for j := range d.Strikes {
		s := &d.Strikes[j]
		run := r.Rules[s.Rule]
		run.addHit(s.Label(req.Request.Scope()), slice)
		if run.of != nil {
			run.of.addHit("", slice)
		}
		run.addDelays(s)
	}
	wait := r.waited + d.Delay()
	if wait > 0 {
		r.Delays = append(r.Delays, wait)
	}
	if d.Broken() == nil {
		wait += r.Took
	}
	heap.Push(&r.running, end{r.now.Add(wait), d})
	for _, p := range r.places {
		p.end = r.now.Add(wait)
	}
}

func (r *RuleRun) addHit(kind string, slice int) {
	r.Hits++
	r.Slices[slice]++
	if kind != "" {
		r.Faults[kind]++
	}
}

// addDelays records the delays of a hit. Of repeated delays it records the first.
func (r *RuleRun) addDelays(s *scenario.Strike) {
	if d := r.Rule.Delay; d != nil && d.At != scenario.Chunks {
		r.Delays = append(r.Delays, s.Delay)
	}
	if s.Chunked() {
		r.Chunks = append(r.Chunks, s.Chunk(1))
	}
	if f := s.Fault; f != nil && f.WebSocket != nil && f.WebSocket.Delay != nil {
		if fate := s.Frame(scenario.Out, f.WebSocket.After); !fate.End {
			r.Messages = append(r.Messages, fate.Wait)
		}
	}
}

// Timed reports whether the rule's effect changes over time.
func (r *RuleRun) Timed() bool {
	w, limit := r.Rule.When, r.Rule.Limit
	return r.Rule.TTL > 0 || !w.From.IsZero() || !w.Until.IsZero() || w.For > 0 || w.Window != nil || w.Weekdays != nil || w.Burst != nil || w.Daily != nil || w.Flap != nil || w.Ramp != nil || limit != nil
}

// end is the end of a request in flight.
type end struct {
	at       time.Time
	decision *scenario.Decision
}

// endHeap is a heap of the requests in flight. The next one to end comes first.
type endHeap []end

func (e endHeap) Len() int           { return len(e) }
func (e endHeap) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e endHeap) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endHeap) Push(x any)        { *e = append(*e, x.(end)) }
func (e *endHeap) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// Targets returns the distinct targets of the requests.
func (r *Run) Targets() (out []string) {
	seen := map[string]bool{}
	for _, s := range r.Requests {
		if text := s.String(); !seen[text] {
			seen[text] = true
			out = append(out, text)
		}
	}
	return out
}
