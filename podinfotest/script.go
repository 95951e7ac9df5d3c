package podinfotest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Step is what happens to one attempt of a script, or to several in a row. Its
// methods return a changed copy.
type Step struct {
	name   string // in the rule's name
	times  int
	delay  time.Duration
	fault  *scenario.Fault
	reply  *reply // in place of the handler's, nil for the handler's
	repeat bool
	per    string
	wrong  string // how it was made
}

// reply is an answer of the script's own.
type reply struct {
	status int
	header map[string]string
	body   string
}

func broke(name string, f scenario.Fault) Step { return Step{name: name, times: 1, fault: &f} }

// Fail answers the given number of attempts with a status from 400 to 599.
func Fail(status, times int) Step {
	return broke(fmt.Sprint(status), scenario.Fault{Status: status}).Times(times)
}

// FailGRPC ends the given number of calls with a code, which must not be OK.
func FailGRPC(code codes.Code, times int) Step {
	return broke(code.String(), scenario.Fault{GRPC: &scenario.GRPC{Code: rpc.Code(code)}}).Times(times)
}

// Delay answers as usual, but that late.
func Delay(d time.Duration) Step { return Step{name: "delay", times: 1, delay: d} }

// Reset resets the connection without an answer: TCP RST, which is
// syscall.ECONNRESET at the client, or RST_STREAM over HTTP/2 and gRPC.
func Reset() Step { return broke("reset", scenario.Fault{Reset: true}) }

// Empty closes the connection without an answer, and with all the calls on it.
func Empty() Step { return broke("empty", scenario.Fault{Empty: true}) }

// Garbage answers with something that is not HTTP, and closes.
func Garbage() Step { return broke("garbage", scenario.Fault{Garbage: true}) }

// Truncate answers with n bytes of the body, fewer than its Content-Length
// says, and closes.
func Truncate(n int) Step { return broke("truncate", scenario.Fault{Truncate: &n}) }

// BadChunk answers with a chunked body that breaks off with a chunk that is
// none.
func BadChunk() Step { return broke("bad-chunk", scenario.Fault{BadChunk: true}) }

// Stall stops after so many bytes of the body, and goes on after d.
func Stall(after int, d time.Duration) Step {
	return broke("stall", scenario.Fault{Stall: &scenario.Stall{After: after, For: scenario.Duration(d)}})
}

// Bandwidth answers with a body of so many bytes a second.
func Bandwidth(bytes int) Step { return broke("bandwidth", scenario.Fault{Bandwidth: bytes}) }

// GoAway answers as usual and has the client leave the connection: GOAWAY over
// HTTP/2 and gRPC, Connection: close over HTTP/1.1.
func GoAway() Step { return broke("goaway", scenario.Fault{GoAway: true}) }

// CloseWebSocket closes a WebSocket with a code (RFC 6455, 7.4) once so many
// messages were sent to the client.
func CloseWebSocket(code, after int) Step {
	return broke("websocket", scenario.Fault{WebSocket: &scenario.WebSocket{Close: code, After: after}})
}

// Fault breaks an attempt in any way that the rules of a scenario can.
func Fault(f scenario.Fault) Step { return broke("fault", f) }

// OK lets the handler answer: 200 and {"status":"OK"} where there is none. As
// the last step it stays.
func OK() Step { return Step{name: "ok", times: 1} }

// Reply answers in place of the handler.
func Reply(status int, body string) Step {
	return Step{name: fmt.Sprint(status), times: 1, reply: &reply{status: status, body: body}}
}

// Repeat, as the last of a script, begins it again.
func Repeat() Step { return Step{repeat: true} }

// Per counts the attempts of each key by themselves: "header:NAME",
// "query:NAME", "client" or "route". Requests without the key are not about
// the script. It may stand anywhere in a script, and is no attempt.
func Per(key string) Step { return Step{per: key} }

// Times is the step for n attempts in a row.
func (s Step) Times(n int) Step { s.times = n; return s }

// Delay is the step after d.
func (s Step) Delay(d time.Duration) Step { s.delay = d; return s }

// Header is the step with a header in its answer, such as Retry-After.
func (s Step) Header(name, value string) Step {
	if s.failure() {
		f := *s.fault
		f.Headers = with(f.Headers, name, value)
		s.fault = &f
		return s
	}
	s.reply = s.own()
	s.reply.header = with(s.reply.header, name, value)
	return s
}

// Body is the step with a body of its own in place of the handler's.
func (s Step) Body(body string) Step {
	if s.failure() {
		f := *s.fault
		f.Body = body
		s.fault = &f
		return s
	}
	s.reply = s.own()
	s.reply.body = body
	return s
}

// Message is the step of FailGRPC with a message beside the code.
func (s Step) Message(text string) Step {
	return s.status(func(g *scenario.GRPC) { g.Message = text })
}

// Details is the step of FailGRPC with details beside the code.
func (s Step) Details(d scenario.Details) Step {
	return s.status(func(g *scenario.GRPC) { g.Details = &d })
}

// status is a copy whose code of a call is changed.
func (s Step) status(change func(*scenario.GRPC)) Step {
	if s.fault == nil || s.fault.GRPC == nil {
		s.wrong = "Message and Details are for FailGRPC"
		return s
	}
	f, g := *s.fault, *s.fault.GRPC
	change(&g)
	f.GRPC = &g
	s.fault = &f
	return s
}

// failure reports that the step is an answer with a status by the engine.
func (s Step) failure() bool { return s.fault != nil && s.fault.Status != 0 }

// own is a copy of the step's reply, 200 when it has none.
func (s Step) own() *reply {
	if s.reply == nil {
		return &reply{status: 200}
	}
	r := *s.reply
	return &r
}

func with(m map[string]string, name, value string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	m[name] = value
	return m
}

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
// "/echo.EchoService/*"). A later script for the same path takes the place of
// the one before; of two that are about the same request the first wins.
//
// Scripts are rules of the faults module, named script1.2.reset for the second
// step of the first script, and come before those of a scenario.
func (s *Server) Script(path string, steps ...Step) {
	s.t.Helper()
	s.needsFaults()
	p := newPattern(path)
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
		at := slices.IndexFunc(s.scripts, func(x script) bool { return x.pattern == path })
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
// the one before. Its rules come after the scripts.
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
	return p.method == "" && strings.Count(p.path, "/") == 2 && s.grpc != nil &&
		slices.ContainsFunc(s.grpc.RPCs(), func(rpc string) bool { return p.matches("", rpc) })
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
	out := script{pattern: p.text, steps: map[string]Step{}}
	match := scenario.Match{Internal: p.literal()}
	if call {
		match.GRPC = strings.TrimPrefix(p.rule(), "/")
	} else {
		match.Path = p.rule()
	}
	if p.method != "" {
		match.Methods = []string{p.method}
	}
	left, repeat := 0, false // attempts of a round
	var attempts []Step
	for i, s := range steps {
		switch {
		case s.per != "":
			match.Per = s.per
		case s.repeat && i != len(steps)-1:
			return out, fmt.Errorf("step %d: Repeat has to be the last", i+1)
		case s.repeat:
			repeat = true
		case s.wrong != "":
			return out, fmt.Errorf("step %d: %s", i+1, s.wrong)
		case s.times < 1:
			return out, fmt.Errorf("step %d: %d times, want at least 1", i+1, s.times)
		case call && (s.reply != nil || s.fault != nil && s.fault.Kind(true) == ""):
			return out, fmt.Errorf("step %d: %s is not for calls, want FailGRPC, Delay, Reset, Empty, GoAway or OK", i+1, s.name)
		case !call && s.fault != nil && s.fault.Kind(false) == "":
			return out, fmt.Errorf("step %d: %s is for calls, and the server has no such RPC", i+1, s.name)
		default:
			attempts = append(attempts, s)
			left += s.times
		}
	}
	if len(attempts) == 0 {
		return out, fmt.Errorf("no steps")
	}
	for i, s := range attempts {
		r := &scenario.Rule{Name: fmt.Sprintf("%s.%d.%s", name, i+1, s.name), Match: match, Fault: s.fault}
		if s.delay > 0 || s.fault == nil {
			d := scenario.Duration(s.delay)
			r.Delay = &scenario.Delay{Fixed: &d}
		}
		switch last := i == len(attempts)-1; {
		case repeat:
			r.When.Cycle = true
			for n := range left {
				r.When.Outcomes = append(r.When.Outcomes, map[bool]scenario.Outcome{true: scenario.Hit, false: scenario.Pass}[n < s.times])
			}
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
