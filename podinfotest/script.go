package podinfotest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// script is the rules of one Script.
type script struct {
	pattern string
	rules   []*scenario.Rule
	steps   map[string]Step // by the rule's name
}

// Script says what happens to the requests for a path, attempt by attempt.
// After the last step they are answered as usual, unless that is [Repeat].
// path is below the server's prefix and may be of a route or an RPC that the
// server has, or of none: then the script's OK is a small JSON body. It may
// have a method ("POST /api/pay") and wildcards ("/orders/{id}", "/api/*",
// "/echo.EchoService/*"). Without a method it is about every method, also those
// that nothing serves yet, unless there is a * in it. A later script for the same
// path takes the place of the one before; of two that are about the same request
// the first wins.
//
// Scripts are rules of the faults module, named script1.2.reset for the second
// step of the first script, and come before those of a scenario. As with those,
// the header X-Podinfo-Fault of an answer, or the trailer of a call, names the
// rule.
func (s *Server) Script(path string, steps ...Step) {
	s.t.Helper()
	s.needsFaults()
	p := s.pattern(path)
	call := s.isRPC(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	sc, err := compile(fmt.Sprintf("script%d", s.made), p, call, steps)
	if err == nil {
		err = s.possible(sc)
	}
	if err == nil && !call {
		err = s.route(p)
	}
	if err == nil {
		at := slices.IndexFunc(s.scripts, func(x script) bool { return x.pattern == p.String() })
		if at < 0 {
			at, s.scripts = len(s.scripts), append(s.scripts, script{})
		}
		s.replies.replace(s.scripts[at].steps, sc.steps)
		s.scripts[at] = sc
		err = s.apply()
	}
	if err != nil {
		s.t.Fatalf("podinfotest: script of %s: %v", path, err)
	}
}

// Scenario loads a scenario of faults, as text in YAML or JSON, in place of
// the one before. Its rules come after the scripts. With another seed than
// before it also begins the scripts again.
func (s *Server) Scenario(text string) {
	s.t.Helper()
	s.load("scenario", []byte(text))
}

// ScenarioFile is Scenario for a file.
func (s *Server) ScenarioFile(name string) {
	s.t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.load(name, b)
}

func (s *Server) load(name string, text []byte) {
	s.t.Helper()
	s.needsFaults()
	sc, err := scenario.Parse(name, text)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.given, s.seed = sc.Rules, sc.Seed
		err = s.apply()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// needsFaults ends the test when there is no engine.
func (s *Server) needsFaults() {
	s.t.Helper()
	for _, m := range s.App.Modules() {
		if m.Module == registry.Module(s.faults) && m.State == registry.On {
			return
		}
		if m.Info.Name == "faults" {
			s.t.Fatalf("podinfotest: scripts need the stock module faults, which is %s by %s", m.State, m.Why)
		}
	}
}

// apply gives the engine all rules. It is for those who hold mu.
func (s *Server) apply() error {
	all := &scenario.Scenario{Seed: s.seed}
	for _, sc := range s.scripts {
		all.Rules = append(all.Rules, sc.rules...)
	}
	all.Rules = append(all.Rules, s.given...)
	return s.faults.Apply(all)
}

// isRPC reports whether a path is one of the server's RPCs.
func (s *Server) isRPC(p pattern) bool {
	return p.method == "" && strings.Count(p.path.String(), "/") == 2 && s.on("grpc-server") == nil &&
		slices.ContainsFunc(s.grpc.ListRPCs(), func(rpc string) bool { return p.path.Match(rpc) })
}

// possible refuses what the settings would take from a script.
func (s *Server) possible(sc script) error {
	for _, step := range sc.steps {
		switch {
		case step.delay > s.faults.MaxDelay:
			return fmt.Errorf("a delay of %v is more than PODINFO_FAULTS_MAX_DELAY=%v", step.delay, s.faults.MaxDelay)
		case step.reply != nil && s.faults.Header == "-":
			return fmt.Errorf("replies of its own need PODINFO_FAULTS_RESPONSE_HEADER")
		}
	}
	return nil
}

// compile makes rules of steps. The first rule that hits wins, so each counts
// only those attempts that the ones before it have let pass.
func compile(name string, p pattern, call bool, steps []Step) (script, error) {
	out := script{pattern: p.String(), steps: map[string]Step{}}
	attempts, per, repeat, err := attemptsOf(steps, call)
	if err != nil {
		return out, err
	}
	match := scenario.Match{Internal: p.path.Literal(), Per: per}
	if call {
		match.GRPC = strings.TrimPrefix(p.path.Stars(), "/") // where {name} is not a wildcard
	} else {
		match.Path = p.path.String()
	}
	if p.method != "" {
		match.Methods = []string{p.method}
	}
	left := 0 // of a round
	for _, s := range attempts {
		left += s.times
	}
	for i, s := range attempts {
		r := &scenario.Rule{Name: fmt.Sprintf("%s.%d.%s", name, i+1, s.name), Match: match, Fault: s.fault}
		if s.delay > 0 || s.fault == nil {
			d := scenario.Duration(s.delay)
			r.Delay = &scenario.Delay{Fixed: &d}
		}
		switch last := i == len(attempts)-1; {
		case repeat:
			r.When = scenario.When{Cycle: true, Outcomes: slices.Concat(
				slices.Repeat([]scenario.Outcome{scenario.Hit}, s.times), slices.Repeat([]scenario.Outcome{scenario.Pass}, left-s.times))}
		case last && s.name == "ok" && s.delay == 0: // stays
		default:
			r.When.First = uint64(s.times)
		}
		left -= s.times
		out.rules = append(out.rules, r)
		out.steps[r.Name] = s
	}
	return out, nil
}

// attemptsOf are the steps that are attempts, and what the others say of them.
func attemptsOf(steps []Step, call bool) (attempts []Step, per string, repeat bool, err error) {
	for i, s := range steps {
		problem := ""
		switch {
		case s.per != "" && s.wrong == "":
			per = s.per
			continue
		case s.repeat && i == len(steps)-1:
			repeat = true
			continue
		case s.repeat:
			problem = "Repeat has to be the last"
		case s.wrong != "":
			problem = s.wrong
		case s.times < 1:
			problem = fmt.Sprintf("%d times, want at least 1", s.times)
		case s.fault != nil && len(s.fault.Kinds()) == 0:
			problem = s.name + " breaks nothing"
		case call && (s.reply != nil || s.fault != nil && s.fault.Kind(scenario.GRPCCalls) == nil):
			problem = s.name + " is not for calls, want FailGRPC, Delay, Reset, Empty, GoAway or OK"
		case !call && s.fault != nil && s.fault.Kind(scenario.GRPCCalls) != nil && s.fault.Kind(scenario.HTTPRequests) == nil && s.fault.Kind(scenario.WebSockets) == nil:
			problem = s.name + " is for calls, and the server has no such RPC"
		case s.reply != nil:
			problem = s.reply.problem()
		}
		if problem != "" {
			return nil, "", false, fmt.Errorf("step %d: %s", i+1, problem)
		}
		attempts = append(attempts, s)
	}
	if len(attempts) == 0 {
		return nil, "", false, errors.New("no steps")
	}
	return attempts, per, repeat, nil
}
