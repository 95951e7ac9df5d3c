package main

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Bounds of a simulation.
const (
	maxSimulated = 10_000_000
	maxKeys      = 1 << 24 // addresses in 10.0.0.0/8
	maxSpan      = 10000 * time.Hour
	serverKeys   = 10000 // that a rule counts for, as a server does by default
)

// timeSlices is into how many parts a report divides the time.
const timeSlices = 10

// simulator is the simulate command.
type simulator struct {
	n, keys        int
	seed           uint64
	rate           float64
	took, maxDelay time.Duration
	start, pod     string
	request        *syntheticFlags
	out            *output
}

func faultSimulate() *command {
	c := newCommand("simulate", "FILE", "Print what a scenario would do to requests.")
	c.more = `It needs no server: it runs the engine that a server runs, on a clock of its own,
so that ten hours take a moment. The same arguments print the same. Without flags
that describe a request, the rules take turns, and each gets requests that it
matches. A rule about readiness is looked at whenever a request comes. FILE is a
scenario or a single rule; - is the standard input.`
	c.examples = []string{
		"podcli fault simulate examples/scenarios/brown-out.yaml -n 10000",
		"podcli fault simulate scenario.yaml --path /api/info --header 'X-User: beta' --rate 50 --seed 7",
	}
	s := new(simulator)
	c.flags.IntVarP(&s.n, "requests", "n", 10000, "how many requests come")
	c.flags.Float64Var(&s.rate, "rate", 100, "how many come a second")
	c.flags.Uint64Var(&s.seed, "seed", 1, "seed, instead of the scenario's")
	s.request = addSynthetic(c.flags)
	c.flags.IntVar(&s.keys, "keys", 10, "how many clients, and values of what rules count per, take turns")
	c.flags.DurationVar(&s.took, "took", 10*time.Millisecond, "time that the server takes itself for each, which matters to limits of concurrency")
	c.flags.StringVar(&s.start, "start", "12:00", "`time` of the day, UTC, when the rules are loaded and the first comes")
	c.flags.StringVar(&s.pod, "pod", "", "host `name` of the server; one that the first rule about a server matches, when it is not given")
	c.flags.DurationVar(&s.maxDelay, "max-delay", time.Minute, "longest delay, as PODINFO_FAULTS_MAX_DELAY")
	s.out = addOutput(c.flags, "o")
	c.do = func(ctx context.Context, args []string) error {
		run, err := s.prepare(args[0], c.flags.Changed("seed"))
		if err == nil {
			err = run.all(ctx)
		}
		if err == nil {
			err = run.report(s.out.json)
		}
		return c.ended(err)
	}
	return c
}

// prepare reads the flags and the file.
func (s *simulator) prepare(file string, seeded bool) (*simulated, error) {
	if s.n < 1 || s.n > maxSimulated || s.keys < 1 || s.keys > maxKeys {
		return nil, fmt.Errorf("--requests wants 1 to %d, --keys 1 to %d", maxSimulated, maxKeys)
	}
	if !(s.rate > 0) || s.rate > 1e6 || s.took < 0 || s.maxDelay <= 0 {
		return nil, errors.New("--rate (at most 1000000) and --max-delay want more than 0, --took 0 or more")
	}
	if float64(s.n)/s.rate > maxSpan.Seconds() {
		return nil, fmt.Errorf("--requests at that --rate take more than %s", maxSpan)
	}
	start, err := time.Parse(time.TimeOnly, s.start)
	if err != nil {
		start, err = time.Parse("15:04", s.start)
	}
	if err != nil {
		return nil, fmt.Errorf("--start %q: want a time of the day such as 22:30", s.start)
	}
	described, err := s.request.described()
	if err != nil {
		return nil, err
	}
	f, err := readFaults(file, "rule")
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
	run := &simulated{simulator: s, scenario: f.scenario, began: start, now: start, rules: map[string]*ruleRun{}}
	run.load(described)
	return run, nil
}

// simulated is a run.
type simulated struct {
	*simulator
	scenario   *scenario.Scenario
	engine     *scenario.Engine
	requests   []*synthetic // that take turns
	began, now time.Time
	ttls       []time.Duration // that have not come, growing
	running    ends

	order  []*ruleRun
	rules  map[string]*ruleRun
	hit    int             // requests
	delays []time.Duration // of all rules together, of those that waited
}

// ruleRun is what has become of one rule.
type ruleRun struct {
	rule      *scenario.Rule
	readiness string // label of the fault, if it is one of readiness
	matched   uint64
	hits      int
	faults    map[string]int
	delays    []time.Duration
	chunks    []time.Duration // between chunks: a sample of each request
	messages  []time.Duration // of a WebSocket: a sample of each
	slices    [timeSlices]int // hits by time
}

// load makes the engine and the requests.
func (r *simulated) load(described *synthetic) {
	for _, rule := range r.scenario.Rules {
		run := &ruleRun{rule: rule, readiness: rule.Fault.Kind(scenario.Readiness).Label(rule.Fault), faults: map[string]int{}}
		r.order, r.rules[rule.Name] = append(r.order, run), run
		r.pod = cmp.Or(r.pod, fill(rule.Match.Server))
		if rule.TTL > 0 {
			r.ttls = append(r.ttls, time.Duration(rule.TTL))
		}
		if s := matching(rule); described == nil && s != nil {
			r.requests = append(r.requests, s)
		}
	}
	slices.Sort(r.ttls)
	if described != nil {
		r.requests = []*synthetic{described}
	} else if len(r.requests) == 0 { // all are about readiness
		r.requests = []*synthetic{newSynthetic("GET", "/", "localhost")}
	}
	r.engine = scenario.NewEngine(0, r.pod, scenario.Limits{Delay: r.maxDelay, Keys: serverKeys})
	r.engine.SetClock(func() time.Time { return r.now })
	r.engine.Apply(r.scenario)
}

// all sends the requests.
func (r *simulated) all(ctx context.Context) error {
	for i := range r.n {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		r.until(time.Duration(float64(i) / r.rate * float64(time.Second)))
		req := r.requests[i%len(r.requests)]
		req.key = i / len(r.requests) % r.keys
		r.decide(i, req)
	}
	r.count()
	return nil
}

// until moves the clock. What a rule has matched is noted before it removes
// itself, as it is forgotten then.
func (r *simulated) until(passed time.Duration) {
	for len(r.ttls) > 0 && r.ttls[0] <= passed {
		r.count()
		r.ttls = r.ttls[1:]
	}
	r.now = r.began.Add(passed)
	for len(r.running) > 0 && !r.running[0].at.After(r.now) {
		heap.Pop(&r.running).(end).decision.Done()
	}
}

func (r *simulated) count() {
	for _, s := range r.engine.Rules() {
		r.rules[s.Rule.Name].matched = s.Seen
	}
}

func (r *simulated) decide(i int, req *synthetic) {
	slice := i * timeSlices / r.n
	if name := r.engine.Unready(); name != "" {
		r.rules[name].take(r.rules[name].readiness, slice)
	}
	d := r.engine.Decide(&req.request)
	if d == nil {
		return
	}
	for j := range d.Strikes {
		s := &d.Strikes[j]
		run := r.rules[s.Rule]
		run.take(s.Kind(req.request.Scope()).Label(s.Fault), slice)
		run.wait(s)
	}
	wait := d.Delay()
	if len(d.Strikes) > 0 {
		r.hit++
	}
	if wait > 0 {
		r.delays = append(r.delays, wait)
	}
	if d.Broken() == nil {
		wait += r.took
	}
	heap.Push(&r.running, end{r.now.Add(wait), d})
}

func (r *ruleRun) take(kind string, slice int) {
	r.hits++
	r.slices[slice]++
	if kind != "" {
		r.faults[kind]++
	}
}

// wait notes the delays of a hit: the first of those that come again and again.
func (r *ruleRun) wait(s *scenario.Strike) {
	if d := r.rule.Delay; d != nil && d.At != scenario.Chunks {
		r.delays = append(r.delays, s.Delay)
	}
	if s.Chunked() {
		r.chunks = append(r.chunks, s.Chunk(1))
	}
	if f := s.Fault; f != nil && f.WebSocket != nil && f.WebSocket.Delay != nil {
		if wait, _, closed := s.Frame(f.WebSocket.After); !closed {
			r.messages = append(r.messages, wait)
		}
	}
}

// timed reports whether what the rule does changes with time.
func (r *ruleRun) timed() bool {
	w, limit := r.rule.When, r.rule.Limit
	return r.rule.TTL > 0 || w.For > 0 || w.Window != nil || w.Daily != nil || w.Flap != nil || w.Ramp != nil || limit != nil
}

// end is when a request ends.
type end struct {
	at       time.Time
	decision *scenario.Decision
}

// ends are the requests under way: a heap, the next to end first.
type ends []end

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(end)) }
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
