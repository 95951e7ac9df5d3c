package main

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Limits of a simulation.
const (
	maxSimulated = 10_000_000
	maxKeys      = 1 << 24 // addresses in 10.0.0.0/8
	maxSpan      = 10000 * time.Hour
	serverKeys   = 10000 // keys tracked per rule: a server's default
)

// timeSlices is the number of parts into which a report divides the time.
const timeSlices = 10

// simulator is the command fault simulate.
type simulator struct {
	n, keys       int
	seed          uint64
	rate          float64
	took          time.Duration
	maxDelay      *time.Duration
	start, pod    string
	version, zone string
	labels        map[string]string
	request       *syntheticFlags
	out           *output
}

func faultSimulate() *command {
	c := newCommand("simulate", "FILE", "Simulate what a scenario does to requests.")
	c.details = `The simulation needs no server: it runs the server's engine with a simulated
clock, so that ten hours take a moment. The same arguments always print the same
result. Without flags that describe a request, each rule in turn gets a request
that it matches. Rules about readiness are evaluated at each request. The result
says which requests are hit, by what kind of fault, and how long they are delayed;
what it cannot know, such as how long a client hangs, it names. FILE is a scenario or
a single rule; - means standard input.`
	c.examples = []string{
		"podcli fault simulate examples/scenarios/brown-out.yaml -n 10000",
		"podcli fault simulate scenario.yaml --path /api/info --header 'X-User: beta' --rate 50 --seed 7",
	}
	s := new(simulator)
	c.flags.IntVarP(&s.n, "requests", "n", 10000, "number of requests")
	c.flags.Float64Var(&s.rate, "rate", 100, "requests per second")
	c.flags.Uint64Var(&s.seed, "seed", 1, "seed; overrides the scenario's")
	s.request = addSynthetic(c.flags)
	c.flags.IntVar(&s.keys, "keys", 10, "number of clients, and of values of each key that rules count by")
	c.flags.DurationVar(&s.took, "took", 10*time.Millisecond, "time that the server needs for each request; affects concurrency limits")
	c.flags.StringVar(&s.start, "start", "", "`time` (UTC) when the rules are loaded and the first request arrives: a time of day on a Monday, or a date and time such as 2026-03-02 09:00 (default: 12:00, or the first when.from)")
	c.flags.StringVar(&s.pod, "pod", "", "`name` of the instance, PODINFO_INSTANCE, which its draws depend on (default: a name that the first rule about a server matches)")
	c.flags.StringVar(&s.version, "server-version", "", "version of the server (default: one that the first rule about a version matches)")
	c.flags.StringVar(&s.zone, "zone", "", "zone of the server (default: one that the first rule about a zone matches)")
	c.flags.StringToStringVar(&s.labels, "label", nil, "label of the server as `name=value` (repeatable; default: those that the rules match)")
	s.maxDelay = addMaxDelay(c.flags)
	s.out = addOutput(c.flags, "o")
	c.do = func(ctx context.Context, args []string) error {
		run, err := s.prepare(args[0], c.flags.Changed("seed"), c.flags.Changed("start"))
		if err == nil {
			err = run.run(ctx)
		}
		if err == nil {
			err = run.report(s.out.json)
		}
		return c.finish(err)
	}
	return c
}

// prepare evaluates the flags and reads the file.
func (s *simulator) prepare(file string, seeded, started bool) (*simulation, error) {
	if s.n < 1 || s.n > maxSimulated || s.keys < 1 || s.keys > maxKeys {
		return nil, usage(fmt.Errorf("--requests must be 1 to %d, --keys 1 to %d", maxSimulated, maxKeys))
	}
	if !(s.rate > 0) || s.rate > 1e6 || s.took < 0 || *s.maxDelay <= 0 {
		return nil, usage(errors.New("--rate must be above 0 and at most 1000000, --max-delay above 0, --took not negative"))
	}
	if float64(s.n)/s.rate > maxSpan.Seconds() {
		return nil, usage(fmt.Errorf("--requests at this --rate take longer than %s", maxSpan))
	}
	start, err := parseStart(s.start)
	if err != nil {
		return nil, usage(err)
	}
	request, err := s.request.request()
	if err != nil {
		return nil, usage(err)
	}
	f, err := readFaults(file, "rule", server(*s.maxDelay))
	if err != nil {
		return nil, err
	}
	f.warn()
	if len(f.scenario.Rules) == 0 {
		return nil, fmt.Errorf("%s has no rules", f.name)
	}
	if seeded || f.scenario.Seed == nil {
		f.scenario.Seed = &s.seed
	}
	if at := firstTime(f.scenario, time.Duration(float64(s.n)/s.rate*float64(time.Second))); !at.IsZero() && !started {
		start = at
	}
	run := &simulation{simulator: s, scenario: f.scenario, began: start, now: start, rules: map[string]*ruleRun{}, queues: map[any][]*place{}}
	run.load(request)
	return run, nil
}

// parseStart parses a time in UTC, or a time of day on a Monday.
func parseStart(text string) (start time.Time, err error) {
	text = cmp.Or(text, "12:00")
	for _, layout := range []string{time.TimeOnly, "15:04", time.DateTime, "2006-01-02 15:04", time.RFC3339} {
		if start, err = time.Parse(layout, text); err == nil {
			if start.Year() == 0 {
				start = start.AddDate(2026, 0, 4)
			}
			return start.UTC(), nil
		}
	}
	return start, fmt.Errorf("--start %q: want a time of day such as 22:30, or a date and time such as 2026-03-02 09:00", text)
}

// firstTime returns when to start so that the first rule with an absolute time
// begins, or ends within the span. It is zero without such rules.
func firstTime(s *scenario.Scenario, span time.Duration) (first time.Time) {
	for _, r := range s.Rules {
		at := r.When.From.Time
		if until := r.When.Until.Time; at.IsZero() && !until.IsZero() {
			at = until.Add(-span / 2)
		}
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// simulation is a run of the simulator.
type simulation struct {
	*simulator
	scenario   *scenario.Scenario
	engine     *scenario.Engine
	requests   []*synthetic // sent in turn
	began, now time.Time
	running    endHeap
	queues     map[any][]*place
	waited     time.Duration // by the current request, in queues
	places     []*place      // of the current request

	order  []*ruleRun
	rules  map[string]*ruleRun
	hit    int             // requests that a rule hit
	delays []time.Duration // of the delayed requests, by all rules together
}

// ruleRun is the result of one rule.
type ruleRun struct {
	rule      *scenario.Rule
	of        *ruleRun // the rule that this is an alternative of, nil for none
	readiness string   // label of the fault, if it is one of readiness
	matched   uint64
	hits      int
	faults    map[string]int
	delays    []time.Duration
	waits     []time.Duration // in the queue of the limit
	chunks    []time.Duration // between chunks: one sample per request
	messages  []time.Duration // of WebSocket messages: one sample per connection
	slices    [timeSlices]int // hits over time
}

// load creates the engine and the requests: the given one, or one for each rule.
func (r *simulation) load(request *synthetic) {
	for _, rule := range r.scenario.Rules {
		run := &ruleRun{rule: rule, readiness: rule.Fault.Kind(scenario.Readiness).Label(rule.Fault), faults: map[string]int{}}
		r.order, r.rules[rule.Name] = append(r.order, run), run
		r.addServer(&rule.Match)
		for _, a := range rule.Alternatives() {
			run := &ruleRun{rule: a, of: run, faults: map[string]int{}}
			r.order, r.rules[a.Name] = append(r.order, run), run
		}
		if s := matching(rule); request == nil && s != nil {
			r.requests = append(r.requests, s)
		}
	}
	if request != nil {
		r.requests = []*synthetic{request}
	} else if len(r.requests) == 0 { // all rules are about readiness
		r.requests = []*synthetic{newSynthetic("GET", "/", "localhost")}
	}
	r.engine = scenario.NewEngine(0, r.pod, scenario.Limits{Delay: *r.maxDelay, Keys: serverKeys})
	r.engine.SetClock(func() time.Time { return r.now })
	r.engine.SetSelf(scenario.Self{Version: r.version, Zone: r.zone, Labels: r.labels})
	r.engine.SetQueue(r.queue)
	r.engine.Apply(r.scenario)
}

// run simulates all requests.
func (r *simulation) run(ctx context.Context) error {
	for i := range r.n {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		r.advance(time.Duration(float64(i) / r.rate * float64(time.Second)))
		req := r.requests[i%len(r.requests)]
		req.key = i / len(r.requests) % r.keys
		r.decide(i, req)
	}
	r.recordMatches()
	return nil
}

// advance sets the clock to the given time since the start.
func (r *simulation) advance(passed time.Duration) {
	r.now = r.began.Add(passed)
	for len(r.running) > 0 && !r.running[0].at.After(r.now) {
		heap.Pop(&r.running).(end).decision.Done()
	}
}

func (r *simulation) recordMatches() {
	for _, s := range r.engine.Rules() {
		r.rules[s.Rule.Name].matched = s.Seen
		for _, a := range s.Rule.Alternatives() {
			r.rules[a.Name].matched = s.Seen
		}
	}
}

// decide simulates request number i.
func (r *simulation) decide(i int, req *synthetic) {
	slice := i * timeSlices / r.n
	if name := r.engine.Unready(); name != "" {
		r.rules[name].addHit(r.rules[name].readiness, slice)
	}
	r.waited, r.places = 0, r.places[:0]
	before := r.engine.Decide(&req.request)
	var after *scenario.Decision
	if a := r.engine.Await(&req.request, before); a != nil {
		after = a.Decide(&req.response)
	}
	hit := false
	for _, d := range []*scenario.Decision{before, after} {
		if d != nil {
			hit = len(d.Strikes) > 0 || hit
			r.apply(d, req, slice)
		}
	}
	if hit {
		r.hit++
	}
}

// apply simulates what a decision does to a request.
func (r *simulation) apply(d *scenario.Decision, req *synthetic, slice int) {
	for j := range d.Strikes {
		s := &d.Strikes[j]
		run := r.rules[s.Rule]
		run.addHit(s.Label(req.request.Scope()), slice)
		if run.of != nil {
			run.of.addHit("", slice)
		}
		run.addDelays(s)
	}
	wait := r.waited + d.Delay()
	if wait > 0 {
		r.delays = append(r.delays, wait)
	}
	if d.Broken() == nil {
		wait += r.took
	}
	heap.Push(&r.running, end{r.now.Add(wait), d})
	for _, p := range r.places {
		p.end = r.now.Add(wait)
	}
}

func (r *ruleRun) addHit(kind string, slice int) {
	r.hits++
	r.slices[slice]++
	if kind != "" {
		r.faults[kind]++
	}
}

// addDelays records the delays of a hit. Of repeated delays it records the first.
func (r *ruleRun) addDelays(s *scenario.Strike) {
	if d := r.rule.Delay; d != nil && d.At != scenario.Chunks {
		r.delays = append(r.delays, s.Delay)
	}
	if s.Chunked() {
		r.chunks = append(r.chunks, s.Chunk(1))
	}
	if f := s.Fault; f != nil && f.WebSocket != nil && f.WebSocket.Delay != nil {
		if fate := s.Frame(scenario.Out, f.WebSocket.After); !fate.End {
			r.messages = append(r.messages, fate.Wait)
		}
	}
}

// timed reports whether the rule's effect changes over time.
func (r *ruleRun) timed() bool {
	w, limit := r.rule.When, r.rule.Limit
	return r.rule.TTL > 0 || !w.From.IsZero() || !w.Until.IsZero() || w.For > 0 || w.Window != nil || w.Weekdays != nil || w.Burst != nil || w.Daily != nil || w.Flap != nil || w.Ramp != nil || limit != nil
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
