package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
	"github.com/seed-4591fe7d/podinfo/internal/simulate"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Limits of a simulation.
const (
	maxSimulated = 10_000_000
	maxKeys      = 1 << 24 // addresses in 10.0.0.0/8
	maxSpan      = 10000 * time.Hour
)

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
	c.flags.IntVar(&s.keys, "keys", 0, "`number` of clients, and of values of each key that rules count by (default: 10, or 1000 for rules with match.sticky)")
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
			err = run.Simulate(ctx)
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
	if s.n < 1 || s.n > maxSimulated || s.keys < 0 || s.keys > maxKeys {
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
	f, err := faultclient.ReadFile(file, "rule", server(*s.maxDelay))
	if err != nil {
		return nil, err
	}
	f.Warn(os.Stderr)
	if len(f.Scenario.Rules) == 0 {
		return nil, fmt.Errorf("%s has no rules", f.Name)
	}
	if seeded || f.Scenario.Seed == nil {
		f.Scenario.Seed = &s.seed
	}
	if at := firstTime(f.Scenario, time.Duration(float64(s.n)/s.rate*float64(time.Second))); !at.IsZero() && !started {
		start = at
	}
	o := simulate.Options{
		N: s.n, Keys: s.keys, Rate: s.rate, Took: s.took, MaxDelay: *s.maxDelay, Began: start,
		Pod: s.pod, Version: s.version, Zone: s.zone, Labels: s.labels, Internal: simulate.Internal(stockRoutes()),
	}
	return &simulation{simulate.New(o, f.Scenario, request)}, nil
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
