package podinfotest

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// script is the compiled form of one Script.
type script struct {
	name    string // "script1"
	path    pattern
	call    bool     // for calls alone
	both    bool     // for requests and calls
	texts   []string // the conditions, in words
	single  []scenario.Match
	matcher *scenario.Matcher
	rules   []*scenario.Rule
	steps   map[string]Step // by the rule's name
}

// String returns what the script is for: its path and its conditions.
func (sc *script) String() string {
	if len(sc.texts) == 0 {
		return sc.path.String()
	}
	return fmt.Sprintf("%s [%s]", sc.path, strings.Join(sc.texts, ", "))
}

// Script says what happens to each attempt to request a path. After the last step
// requests are handled normally, unless that step is [Repeat], [OK] or a reply.
//
// path is below the server's prefix. It may have a method ("POST /api/pay") and
// wildcards ("/orders/{id}", "GET /orders/*", "/echo.EchoService/*"). It is compared with
// the decoded path of a request, in which %2F is a slash: "/orders/{id}" does not match
// /orders/7%2Fa, and "/orders/*" does. "*" is every
// request but those for health and metrics, which must be named. It is also every
// call if the steps apply to calls, as FailGRPC and Reset do. Without a method a
// script matches every method. What no module serves, the script adds: requests
// that pass get a small JSON body.
//
// [MatchHeader], [MatchQuery], [MatchCookie], [MatchBody] and [MatchJSON] among the
// steps limit the script to some requests. A later script for the same path and the
// same conditions replaces the earlier one. If two scripts match a request, the first
// one with a step left applies, and [Request.Over] names the others.
//
// Scripts are rules of the faults module and precede those of a scenario. The
// second step of the first script is a rule such as script1.2.reset. The response
// header X-Podinfo-Fault, or the trailer of a call, names the rule.
func (s *Server) Script(path string, steps ...Step) {
	s.t.Helper()
	s.needsFaults()
	p := s.pattern(path)
	err := s.mistyped(p)
	call := s.isRPC(p) || p.String() == everything.String() && forCalls(steps)
	if err == nil {
		err = s.hidden(p, call)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	if err == nil {
		err = unconnected(steps)
	}
	var sc script
	if err == nil {
		sc, err = compile(fmt.Sprintf("script%d", s.made), p, call, steps)
	}
	if err == nil {
		err = s.possible(sc)
	}
	if err == nil && !call {
		err = s.routeLocked(p)
	}
	if err == nil {
		at := slices.IndexFunc(s.scripts, func(x script) bool { return x.String() == sc.String() })
		if at < 0 {
			at, s.scripts = len(s.scripts), append(s.scripts, script{})
		}
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
	if err := s.faults.Apply(all); err != nil {
		return err
	}
	s.replies.mount(s.scripts, s.given)
	s.record.follow(s.scripts)
	return nil
}

// likeRPC matches the paths of methods, such as /echo.EchoService/Echo.
var likeRPC = regexp.MustCompile(`^/([a-zA-Z_]\w*\.)+[A-Z]\w*/[A-Z*]\w*$`)

// isRPC reports whether a path matches an RPC of the server.
func (s *Server) isRPC(p pattern) bool {
	if s.proxies && p.method == "" && likeRPC.MatchString(p.path.String()) { // the methods of the service behind it are not known
		return true
	}
	return p.method == "" && strings.Count(p.path.String(), "/") == 2 && slices.ContainsFunc(s.rpcs(), p.path.Match)
}

// possible returns an error if the settings prevent a step of a script.
func (s *Server) possible(sc script) error {
	for _, step := range sc.steps {
		if err := s.unary(sc, step); err != nil {
			return err
		}
		if err := step.reply.namesWildcards(sc.path); err != nil {
			return err
		}
		if step.fault != nil && step.fault.WebSocket != nil && !s.hasWebSocket(sc.path) {
			return fmt.Errorf("CloseWebSocket breaks WebSockets, and %s serves none: use %s, or a step such as Reset", sc.path, strings.Join(s.webSockets(), " or "))
		}
		switch {
		case step.delay > s.faults.MaxDelay:
			return fmt.Errorf("a delay of %v is above PODINFO_FAULTS_MAX_DELAY=%v: raise the limit", step.delay, s.faults.MaxDelay)
		case (step.reply != nil || step.more != nil) && s.faults.Header == "-":
			return fmt.Errorf("Reply, Body and Header need PODINFO_FAULTS_RESPONSE_HEADER: do not set it to -")
		}
	}
	return nil
}

// compile makes rules of steps. The first rule that hits applies, so each rule
// counts only the attempts that the earlier rules have let pass.
func compile(name string, p pattern, call bool, steps []Step) (script, error) {
	out := script{name: name, path: p, call: call, steps: map[string]Step{}}
	attempts, per, repeat, err := attemptsOf(steps, call)
	if err != nil {
		return out, err
	}
	match, err := conditionsOf(steps, call)
	if err != nil {
		return out, err
	}
	out.texts, out.single = texts(&match), singles(match)
	match.Internal, match.Per = p.path.Literal(), per
	switch {
	case call:
		match.GRPC = strings.TrimPrefix(p.path.Stars(), "/") // where {name} is not a wildcard
	case p.String() == everything.String() && forBoth(attempts):
		out.both = len(match.Query)+len(match.JSON) == 0 && match.Body == ""
	default:
		match.Path = p.path.String()
	}
	if p.method != "" {
		match.Methods = []string{p.method}
	}
	out.matcher = scenario.NewMatcher(match)
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
		if s.handled {
			r.At = scenario.AfterHandler
		}
		if s.delay > 0 || s.fault == nil {
			d := scenario.Duration(s.delay)
			r.Delay = &scenario.Delay{Fixed: &d}
		}
		switch last := i == len(attempts)-1; {
		case repeat:
			r.When = scenario.When{Cycle: true, Outcomes: slices.Concat(
				slices.Repeat([]scenario.Outcome{scenario.Hit}, s.times), slices.Repeat([]scenario.Outcome{scenario.Pass}, left-s.times))}
		case last && s.stays(): // applies to all further attempts
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
		case s.empty():
			problem = "Step{} says nothing: use OK() to let the handler respond, or a step such as Fail(503, 1)"
		case s.per != "" && s.wrong == "" && per != "":
			problem = fmt.Sprintf("two Per, %q and %q: a script counts by one key; remove one, or use two scripts with MatchHeader", per, s.per)
		case s.per != "" && s.wrong == "":
			per = s.per
			continue
		case s.match != nil && s.wrong == "":
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
		case call && s.wired != nil && s.called == nil:
			problem = s.name + " does not apply to calls"
		case call && (s.reply != nil || s.fault != nil && s.fault.Kind(scenario.GRPCCalls) == nil):
			problem = s.name + " does not apply to calls: use FailGRPC, Delay, Reset, Empty, GoAway or OK"
		case !call && s.fault != nil && s.fault.Kind(scenario.GRPCCalls) != nil && s.fault.Kind(scenario.HTTPRequests) == nil && s.fault.Kind(scenario.WebSockets) == nil:
			problem = s.name + " applies only to calls, and the server has no such RPC: check the path"
		case s.reply != nil:
			problem = s.reply.problem()
		case s.more != nil:
			problem = headerProblem(s.more)
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
