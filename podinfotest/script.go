package podinfotest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// script is the compiled form of one Script.
type script struct {
	pattern string
	rules   []*scenario.Rule
	steps   map[string]Step // by the rule's name
}

// Script says what happens to each attempt to request a path. After the last step
// requests are handled normally, unless that step is [Repeat].
//
// path is below the server's prefix. It may name a route or an RPC of the server,
// or no route: then the script adds one, which responds with a small JSON body.
// It may have a method ("POST /api/pay") and wildcards ("/orders/{id}", "/api/*",
// "/echo.EchoService/*"). Without a method and without * it matches every method,
// including those that no module serves. A later script for the same path
// replaces the earlier one. If two scripts match a request, the first applies.
//
// Scripts are rules of the faults module and precede those of a scenario. The
// second step of the first script is a rule such as script1.2.reset. The response
// header X-Podinfo-Fault, or the trailer of a call, names the rule.
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
		err = s.routeLocked(p)
	}
	if err == nil {
		at := slices.IndexFunc(s.scripts, func(x script) bool { return x.pattern == p.String() })
		if at < 0 {
			at, s.scripts = len(s.scripts), append(s.scripts, script{})
		}
		s.replies.replace(s.scripts[at].steps, sc.steps)
		s.scripts[at] = sc
		err = s.applyLocked()
	}
	if err != nil {
		s.t.Fatalf("podinfotest: script of %s: %v", path, err)
	}
}

// Scenario replaces the fault scenario, given as YAML or JSON. Its rules follow
// those of the scripts. A different seed also restarts the scripts.
func (s *Server) Scenario(text string) {
	s.t.Helper()
	s.load("scenario", []byte(text))
}

// ScenarioFile is like Scenario, and reads a file.
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
		err = s.applyLocked()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// needsFaults ends the test if the faults module is not on.
func (s *Server) needsFaults() {
	s.t.Helper()
	for _, m := range s.App.Modules() {
		if m.Module == registry.Module(s.faults) && m.State == registry.On {
			return
		}
		if m.Info.Name == "faults" {
			s.t.Fatalf("podinfotest: scripts need the stock module faults, which is %s by %s: turn it on", m.State, m.Why)
		}
	}
}

// applyLocked replaces the rules of the faults module. The caller must hold s.mu.
func (s *Server) applyLocked() error {
	all := &scenario.Scenario{Seed: s.seed}
	for _, sc := range s.scripts {
		all.Rules = append(all.Rules, sc.rules...)
	}
	all.Rules = append(all.Rules, s.given...)
	return s.faults.Apply(all)
}

// likeRPC matches the paths of methods, such as /echo.EchoService/Echo.
var likeRPC = regexp.MustCompile(`^/([a-zA-Z_]\w*\.)+[A-Z]\w*/[A-Z*]\w*$`)

// isRPC reports whether a path matches an RPC of the server.
func (s *Server) isRPC(p pattern) bool {
	if s.proxies { // the methods of the service behind it are not known
		return p.method == "" && likeRPC.MatchString(p.path.String())
	}
	return p.method == "" && strings.Count(p.path.String(), "/") == 2 && s.on("grpc-server") == nil &&
		slices.ContainsFunc(slices.Collect(maps.Keys(s.grpc.ListRPCs())), func(rpc string) bool { return p.path.Match(rpc) })
}

// possible returns an error if the settings prevent a step of a script.
func (s *Server) possible(sc script) error {
	for _, step := range sc.steps {
		switch {
		case step.delay > s.faults.MaxDelay:
			return fmt.Errorf("a delay of %v is above PODINFO_FAULTS_MAX_DELAY=%v: raise the limit", step.delay, s.faults.MaxDelay)
		case step.reply != nil && s.faults.Header == "-":
			return fmt.Errorf("Reply, Body and Header need PODINFO_FAULTS_RESPONSE_HEADER: do not set it to -")
		}
	}
	return nil
}

// compile makes rules of steps. The first rule that hits applies, so each rule
// counts only the attempts that the earlier rules have let pass.
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
	out.rules = rulesOf(name, match, attempts, repeat)
	for i, r := range out.rules {
		out.steps[r.Name] = attempts[i]
	}
	return out, nil
}

// rulesOf makes a rule of each attempt.
func rulesOf(name string, match scenario.Match, attempts []Step, repeat bool) (rules []*scenario.Rule) {
	left := 0 // attempts in the rest of a round
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
		case last && s.name == "ok" && s.delay == 0: // applies to all further attempts
		default:
			r.When.First = uint64(s.times)
		}
		left -= s.times
		rules = append(rules, r)
	}
	return rules
}

// attemptsOf separates the steps that are attempts from Per and Repeat.
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
			problem = "Repeat must be the last step"
		case s.wrong != "":
			problem = s.wrong
		case s.times < 1:
			problem = fmt.Sprintf("%d times: want at least 1", s.times)
		case s.fault != nil && len(s.fault.Kinds()) == 0:
			problem = s.name + " has no effect: set a field of the fault"
		case call && (s.reply != nil || s.fault != nil && s.fault.Kind(scenario.GRPCCalls) == nil):
			problem = s.name + " does not apply to calls: use FailGRPC, Delay, Reset, Empty, GoAway or OK"
		case !call && s.fault != nil && s.fault.Kind(scenario.GRPCCalls) != nil && s.fault.Kind(scenario.HTTPRequests) == nil && s.fault.Kind(scenario.WebSockets) == nil:
			problem = s.name + " applies only to calls, and the server has no such RPC: check the path"
		case s.reply != nil:
			problem = s.reply.problem()
		}
		if problem != "" {
			return nil, "", false, fmt.Errorf("step %d: %s", i+1, problem)
		}
		attempts = append(attempts, s)
	}
	if len(attempts) == 0 {
		return nil, "", false, errors.New("no steps: add at least one attempt")
	}
	return attempts, per, repeat, nil
}
