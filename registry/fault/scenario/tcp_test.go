package scenario_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Mistakes in rules for TCP connections.
func TestTCPRules(t *testing.T) {
	for rule, want := range map[string]string{
		"match: {tcp: a}, fault: {close: 1s}":                                               "",
		"match: {tcp: 'a*', per: client, percent: 5}, fault: {hold: true}":                  "",
		"match: {tcp: a}, delay: 1s":                                                        "",
		"match: {tcp: a}, limit: {rate: 1}, fault: {reset: true}":                           "",
		"match: {tcp: a}, when: {daily: {from: '09:00', to: '10:00'}}, fault: {down: true}": "",
		"match: {tcp: a, path: /a}, fault: {reset: true}":                                   "match.tcp: combines only with percent, per and server",
		"match: {tcp: a}, at: after, fault: {reset: true}":                                  "at: a TCP connection has no handler; remove at",
		"match: {tcp: a, headers: {b: c}}, fault: {reset: true}":                            "match.tcp: combines only with percent, per and server",
		"match: {tcp: a}, fault: {status: 500}":                                             "fault: status does nothing to TCP connections, which match.tcp matches; use one of empty, reset, stall",
		"match: {tcp: a}, limit: {rate: 1}":                                                 "limit: a TCP connection has no status",
		"match: {tcp: a}, delay: {fixed: 1s, at: chunks}":                                   "delay.at: a TCP connection is delayed only before it is connected",
		"match: {path: /a}, fault: {hold: true}":                                            "fault: hold does nothing to HTTP requests",
		"fault: {close: {}}":                                                                "fault.close: no effect; add after, bytes or idle",
		"fault: {close: {idle: 1s, bytes: 1}}":                                              "fault.close.idle: cannot be combined with after or bytes",
		"fault: {close: 1s, direction: in}":                                                 "fault.direction: no effect on close without bytes",
		"fault: {status: 500, direction: in}":                                               "fault.direction: no effect without bandwidth or stall or close",
		"fault: {slice: {size: 1, variation: 1}}":                                           "fault.slice.variation: must be below size",
		"fault: {latency: {fixed: 1s, at: chunks}}":                                         "fault.latency.at: no effect, as all data is delayed",
		"fault: {latency: {uniform: {min: 2s, max: 1s}}}":                                   "fault.latency.uniform: min is above max",
		"fault: {corrupt: 101}":                                                             "fault.corrupt: 101 is out of range",
		"fault: {hold: true, slice: 1}":                                                     "fault: hold and slice cannot be combined",
		"when: {first: 2}, fault: {down: true}":                                             "fault.down: a closed port cannot count connections",
		"match: {percent: 2}, fault: {down: true}":                                          "fault.down: a closed port cannot count connections",
		"choose: [{percent: 5, fault: {down: true}}]":                                       "choose: down closes the port",
	} {
		_, err := scenario.ParseRule("x", "r", []byte("{ "+rule+" }"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", rule, err, want)
		}
	}
}

// A rule with match.tcp hits nothing else.
func TestTCPRulesLeaveRequestsAlone(t *testing.T) {
	e := engine(t, "- { name: r, match: { tcp: 'a*' }, delay: 1s }")
	ws := get("/a", nil)
	ws.WebSocket = true
	for want, reqs := range map[string][]*scenario.Request{
		"":  {get("/a", nil), ws, {RPC: "/a.B/C", Values: values{}}, {TCP: "b", Values: values{}}},
		"r": {{TCP: "a", Values: values{}}, {TCP: "abc", Values: values{}}},
	} {
		for _, req := range reqs {
			if got := names(e, req); got != want {
				t.Errorf("%+v: %q, want %q", req, got, want)
			}
		}
	}
}

// A connection keeps its hits while their rules are unchanged, and each rule decides
// once.
func TestConnectionKeepsItsHits(t *testing.T) {
	e := scenario.NewEngine(1, "", scenario.Limits{Delay: time.Hour, Keys: 10})
	apply := func(rules string) {
		t.Helper()
		s, err := scenario.Parse("x", []byte("rules:\n"+rules))
		if err != nil {
			t.Fatal(err)
		}
		changed, _ := e.Changes()
		e.Apply(s)
		select {
		case <-changed:
		default:
			t.Error("the change was not announced")
		}
	}
	const a, b, c = "- {name: a, combine: true, fault: {slice: 1}}\n", "- {name: b, combine: true, when: {first: 1}, fault: {slice: 2}}\n", "- {name: c, fault: {slice: 3}}\n"
	const reset = "- {name: reset, fault: {reset: true}}\n"
	apply(a + b)
	conn, other := e.Connect("x", values{}), e.Connect("x", values{})
	names := func(c *scenario.TCPConnection) (out []string, first *scenario.Strike) {
		strikes := c.Update()
		for _, s := range strikes {
			out = append(out, s.Rule)
		}
		if len(strikes) > 0 {
			first = strikes[0]
		}
		return out, first
	}
	check := func(c *scenario.TCPConnection, want ...string) (first *scenario.Strike) {
		t.Helper()
		got, first := names(c)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		return first
	}
	strike := check(conn, "a", "b")
	check(other, "a")
	apply(c + a + b)
	check(conn, "c")
	apply(a + c + b)
	if check(conn, "a", "c") == strike {
		t.Error("a rule that was out of reach decides anew")
	}
	again := check(conn, "a", "c")
	apply(reset + a)
	if check(conn, "a") != again {
		t.Error("the hit of an unchanged rule is another one")
	}
	check(e.Connect("x", values{}), "reset")
	e.Pause(true)
	check(conn)
	conn.Done()
}

// Rules for TCP connections that never hit.
func TestLintTCP(t *testing.T) {
	for rules, want := range map[string]string{
		"- {name: a, match: {tcp: x}, fault: {slice: 1}}\n- {name: b, match: {tcp: x}, fault: {hold: true}}":                   `rule "b": never hits`,
		"- {name: a, match: {tcp: 'x*'}, fault: {slice: 1}}\n- {name: b, match: {tcp: xy}, fault: {hold: true}}":               `rule "b": never hits`,
		"- {name: a, match: {tcp: x}, combine: true, fault: {slice: 1}}\n- {name: b, match: {tcp: x}, fault: {hold: true}}":    "",
		"- {name: a, match: {tcp: x}, fault: {slice: 1}}\n- {name: b, match: {tcp: y}, fault: {hold: true}}":                   "",
		"- {name: a, match: {tcp: x}, when: {first: 1}, fault: {slice: 1}}\n- {name: b, match: {tcp: x}, fault: {hold: true}}": "",
	} {
		_, warnings, err := scenario.Lint("x", []byte("rules:\n"+rules), scenario.Server{})
		text := ""
		for _, w := range warnings {
			text += w.Error()
		}
		if err != nil || (text == "") != (want == "") || !strings.Contains(text, want) {
			t.Errorf("%s: %q %v", rules, text, err)
		}
	}
}
