package scenario_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

func TestMatchReply(t *testing.T) {
	response := func(status int, header ...string) *scenario.Response {
		return &scenario.Response{Status: status, Header: func(name string) []string {
			if len(header) > 0 && header[0] == name {
				return header[1:]
			}
			return nil
		}}
	}
	for _, c := range []struct {
		rules string
		res   *scenario.Response
		want  string // names of the rules that hit
	}{
		{"{name: a, match: {reply: {status: 200}}, fault: {reset: true}}", response(200), "a"},
		{"{name: a, match: {reply: {status: 200}}, fault: {reset: true}}", response(201), ""},
		{"{name: a, match: {reply: {status: [404, 5xx]}}, fault: {reset: true}}", response(404), "a"},
		{"{name: a, match: {reply: {status: [404, 5xx]}}, fault: {reset: true}}", response(503), "a"},
		{"{name: a, match: {reply: {status: [404, 5xx]}}, fault: {reset: true}}", response(400), ""},
		{"{name: a, match: {reply: {headers: {content-type: 'text/*'}}}, delay: 1s}", response(200, "Content-Type", "text/html"), "a"},
		{"{name: a, match: {reply: {headers: {content-type: 'text/*'}}}, delay: 1s}", response(200, "Content-Type", "image/png"), ""},
		{"{name: a, match: {reply: {headers: {etag: ''}}}, delay: 1s}", response(200), "a"},
		{"{name: a, match: {reply: {headers: {etag: ''}}}, delay: 1s}", response(200, "Etag", "x"), ""},
		{"{name: a, match: {reply: {headers: {x-v: '~[0-9]+'}}}, delay: 1s}", response(200, "X-V", "v", "12"), "a"},
		{"{name: a, match: {path: /b, reply: {status: 200}}, delay: 1s}", response(200), ""},
		{"{name: a, match: {path: /a, reply: {status: 200}}, when: {after: 1}, delay: 1s}", response(200), ""},
		{"{name: a, match: {reply: {status: 500}}, delay: 1s}, {name: b, match: {reply: {status: 200}}, delay: 1s}, {name: c, match: {reply: {status: 200}}, delay: 1s}", response(200), "b"},
		{"{name: a, match: {reply: {status: 200}}, combine: true, delay: 1s}, {name: b, match: {reply: {status: 200}}, delay: 1s}", response(200), "a,b"},
		{"{name: a, match: {reply: {status: 200}}, delay: 1s}, {name: b, delay: 1s}", response(200), ""},
		{"{name: a, match: {reply: {status: 200}}, delay: 1s}, {name: b, combine: true, delay: 1s}", response(200), "a"},
		{"{name: a, match: {reply: {status: 200}}, delay: 1s}, {name: b, combine: true, fault: {status: 500}}", response(200), ""},
		{"{name: a, match: {reply: {code: OK}}, delay: 1s}", response(200), ""}, // no call
	} {
		got := ""
		e := scenario.NewEngine(1, "", scenario.Limits{Delay: time.Minute, Held: 1, Keys: 2})
		s, err := scenario.Parse("f", []byte("rules: ["+c.rules+"]"))
		if err != nil {
			t.Fatal(err)
		}
		e.Apply(s)
		req := &scenario.Request{Method: "GET", Path: "/a", Values: values{}}
		if a := e.Await(req, e.Decide(req)); a != nil {
			if d := a.Decide(c.res); d != nil {
				got = d.Names()
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.rules, got, c.want)
		}
	}
	e := scenario.NewEngine(1, "", scenario.Limits{Delay: time.Minute, Held: 1, Keys: 2})
	s, _ := scenario.Parse("f", []byte("rules: [{name: a, match: {reply: {code: [NOT_FOUND, UNAVAILABLE]}}, when: {first: 1}, fault: {grpc: ABORTED}}]"))
	e.Apply(s)
	for i, want := range []bool{false, true, false} { // only a response that meets the condition is counted
		req := &scenario.Request{RPC: "/a.B/C", Values: values{}}
		code := []rpc.Code{rpc.OK, rpc.Unavailable, rpc.Unavailable}[i]
		if d := e.Await(req, e.Decide(req)).Decide(&scenario.Response{Code: code}); (d != nil) != want {
			t.Errorf("%d: %v", i, d)
		}
	}
	if rules := e.Rules(); rules[0].Seen != 2 || rules[0].Hits != 1 {
		t.Errorf("%+v", rules)
	}
}

func TestMistakesOfMatchReply(t *testing.T) {
	for rule, want := range map[string]string{
		"match: {reply: {}}, delay: 1s":                                              "match.reply: empty; add status, headers or code",
		"match: {reply: {status: 600}}, delay: 1s":                                   `match.reply.status: "600" is not a status; use one such as 200, or a class such as 5xx`,
		"match: {reply: {status: 2x}}, delay: 1s":                                    `match.reply.status: "2x" is not a status`,
		"match: {reply: {headers: {a b: c}}}, delay: 1s":                             `match.reply.headers: "a b" is not a header name`,
		"match: {reply: {headers: {a: '~('}}}, delay: 1s":                            "match.reply.headers.a: invalid regular expression",
		"match: {reply: {code: BAD}}, delay: 1s":                                     `match.reply.code: "BAD" is not a gRPC status code`,
		"match: {reply: {code: OK, status: 200}}, delay: 1s":                         "match.reply.code: only gRPC calls have it",
		"match: {path: /a, reply: {code: OK}}, delay: 1s":                            "match.reply.code: only gRPC calls have it",
		"match: {grpc: '*', reply: {status: 200}}, delay: 1s":                        "match.grpc: path, methods, host, query, json and body match only HTTP requests",
		"match: {reply: {status: 200}}, at: before, delay: 1s":                       "at: match.reply needs the response, which is not there before the handler; remove at",
		"match: {reply: {status: 200}}, fault: {upload: {for: 1s}}":                  "match.reply: upload does not act on a response; remove reply, or use another fault",
		"match: {reply: {status: 200}}, fault: {websocket: {drop: 1}}":               "match.reply: websocket does not act on a response",
		"match: {reply: {status: 200}}, choose: [{percent: 1, fault: {down: true}}]": "match.reply: down does not act on a response",
		"match: {reply: {status: 200}}, fault: {unready: true}":                      "fault.unready: combines only",
		"match: {tcp: a, reply: {status: 200}}, fault: {reset: true}":                "match.tcp: combines only",
		"match: {not: {reply: {status: 200}}}, delay: 1s":                            "match.not: percent, per, sticky, internal, unverified, tcp, reply and not are not allowed here",
		"match: {reply: {code: OK}}, fault: {status: 500}":                           "fault: status does nothing to gRPC calls",
	} {
		_, err := scenario.Parse("f", []byte("rules: [{name: r, "+rule+"}]"))
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %s", rule, err, want)
		}
	}
	for _, fault := range []string{"reply: {status: 202}", "bandwidth: 1000", "stall: 1s", "goaway: true", "truncate: 1", "reset: true", "status: 500", "hang: true"} {
		if _, err := scenario.Parse("f", []byte("rules: [{name: r, match: {reply: {status: 200}}, fault: {"+fault+"}}]")); err != nil {
			t.Error(err)
		}
	}
	for _, rules := range []string{ // with match.reply, a rule is asked after the others
		"{name: a, delay: 1s}, {name: b, match: {reply: {status: 200}}, delay: 1s}",
		"{name: b, match: {reply: {status: 200}}, delay: 1s}, {name: a, delay: 1s}",
	} {
		_, warnings, err := scenario.Lint("f", []byte("rules: ["+rules+"]"), scenario.Server{})
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Error(), `rule "b": never hits, as rule "a" hits all matching requests first`) {
			t.Errorf("%s: %v %v", rules, warnings, err)
		}
	}
}
