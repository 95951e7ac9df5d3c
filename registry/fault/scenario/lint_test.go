package scenario_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

func TestLint(t *testing.T) {
	const never = `f:3:12: rule "b": never hits, as rule "a" hits all matching requests first`
	for _, c := range []struct {
		a, b string
		sure bool
	}{
		{"delay: 1s", "delay: 1s", true},
		{"fault: {reset: true}", "fault: {reset: true}, match: {path: /a}, when: {first: 3}, ttl: 1m", true},
		{"match: {percent: 100}, delay: 1s", "delay: 1s", true},
		{"match: {path: /a}, delay: 1s", "match: {path: /a}, delay: 1s", true},
		{"match: {path: '~/a.*'}, delay: 1s", "match: {path: '/a/*'}, delay: 1s", true},
		{"match: {path: '~/a.*'}, delay: 1s", "match: {path: '~/a/(b|c)'}, delay: 1s", true},
		{"match: {path: '/a/{x}'}, delay: 1s", "match: {path: '~/a/[0-9]+'}, delay: 1s", true},
		{"match: {grpc: '~a[.].*'}, delay: 1s", "match: {grpc: a.B/*}, delay: 1s", true},
		{"match: {cookie: {a: '*'}}, delay: 1s", "match: {cookie: {a: b}, path: /a}, delay: 1s", true},
		{"match: {instance: {zone: z}}, delay: 1s", "match: {instance: {zone: z}, path: /a}, delay: 1s", true},
		{"match: {reply: {status: 5xx}}, delay: 1s", "match: {reply: {status: 5xx}}, fault: {reset: true}", true},
		{"match: {path: /a/*}, delay: 1s", "match: {path: /a/b}, delay: 1s", true},
		{"match: {path: /a/*}, delay: 1s", "match: {path: '/a/{x}/*'}, delay: 1s", true},
		{"match: {path: '/a/{x}'}, delay: 1s", "match: {path: '/a/{y}'}, delay: 1s", true},
		{"match: {path: '/a/{x}'}, delay: 1s", "match: {path: '/a/b'}, delay: 1s", true},
		{"match: {path: '/a/{x}'}, delay: 1s", "match: {path: /a/b, host: h, methods: [GET]}, delay: 1s", true},
		{"match: {path: '*/{x}/*'}, delay: 1s", "match: {path: '/a*/'}, delay: 1s", true}, // whatever segments a* spans
		{"match: {path: '/*'}, delay: 1s", "fault: {status: 503}", true},
		{"match: {methods: [GET, PUT]}, delay: 1s", "match: {methods: [GET]}, delay: 1s", true},
		{"match: {headers: {X-A: '*'}}, delay: 1s", "match: {headers: {x-a: b, c: d}}, delay: 1s", true},
		{"match: {query: {a: ''}}, delay: 1s", "match: {query: {a: ''}}, delay: 1s", true},
		{"match: {host: '*.com'}, delay: 1s", "match: {host: 'X.Com'}, delay: 1s", true},
		{"match: {grpc: a.B/*}, fault: {grpc: ABORTED}", "match: {grpc: a.B/C}, delay: 1s", true},
		{"fault: {grpc: ABORTED}", "match: {grpc: '*'}, delay: 1s", true},
		{"match: {server: 'x-*'}, delay: 1s", "match: {server: x-0}, delay: 1s", true},
		{"delay: 1s", "limit: {rate: 1}", true},
		{"combine: true, fault: {reset: true}", "fault: {empty: true}", true},
		{"fault: {websocket: {close: 1000}}", "fault: {websocket: {drop: 1}}", true},
		{"match: {path: /a, internal: true}, delay: 1s", "match: {path: /a, internal: true}, delay: 1s", true},
		{"fault: {truncate: 1}", "fault: {bad-chunk: true}", true},

		{"fault: {truncate: 1}", "fault: {reset: true}", false}, // reset also hits WebSockets
		{"match: {percent: 99}, delay: 1s", "delay: 1s", false},
		{"when: {every: 1}, delay: 1s", "delay: 1s", false},
		{"ttl: 1h, delay: 1s", "delay: 1s", false},
		{"limit: {rate: 1}", "delay: 1s", false},
		{"match: {per: client}, delay: 1s", "delay: 1s", false},
		{"combine: true, delay: 1s", "delay: 1s", false},
		{"combine: true, fault: {reset: true}", "delay: 1s", false},
		{"fault: {unready: true}", "delay: 1s", false},
		{"delay: 1s", "fault: {unready: true}", false},
		{"fault: {status: 500}", "delay: 1s", false}, // the delay also hits calls
		{"fault: {grpc: ABORTED}", "fault: {status: 500}", false},
		{"match: {path: /a}, delay: 1s", "match: {path: /b}, delay: 1s", false},
		{"match: {path: '~/a[0-9]'}, delay: 1s", "match: {path: '/a*'}, delay: 1s", false},
		{"match: {cookie: {a: b}}, delay: 1s", "match: {headers: {a: b}}, delay: 1s", false},
		{"match: {cookie: {a: b}}, delay: 1s", "match: {json: {$.a: b}}, delay: 1s", false},
		{"match: {instance: {zone: z}}, delay: 1s", "delay: 1s", false},
		{"match: {path: /a}, delay: 1s", "delay: 1s", false},
		{"match: {path: /a/b}, delay: 1s", "match: {path: /a/*}, delay: 1s", false},
		{"match: {path: '/a/{x}'}, delay: 1s", "match: {path: /a/*}, delay: 1s", false},
		{"match: {path: '/{x}/b'}, delay: 1s", "match: {path: '*/b'}, delay: 1s", false},
		{"match: {methods: [GET]}, delay: 1s", "match: {path: /a}, delay: 1s", false},
		{"match: {methods: [GET]}, delay: 1s", "match: {methods: [GET, PUT]}, delay: 1s", false},
		{"match: {headers: {a: '*'}}, delay: 1s", "match: {headers: {a: ''}}, delay: 1s", false},
		{"match: {headers: {a: ''}}, delay: 1s", "match: {headers: {a: '*'}}, delay: 1s", false},
		{"match: {headers: {a: b}}, delay: 1s", "match: {headers: {b: b}}, delay: 1s", false},
		{"match: {query: {a: b}}, delay: 1s", "match: {query: {A: b}}, delay: 1s", false},
		{"match: {host: a}, delay: 1s", "match: {host: b}, delay: 1s", false},
		{"match: {grpc: a.B/*}, fault: {grpc: ABORTED}", "fault: {grpc: ABORTED}", false},
		{"match: {grpc: a.B/C}, fault: {grpc: ABORTED}", "match: {grpc: a.B/D}, fault: {grpc: ABORTED}", false},
		{"match: {server: x}, delay: 1s", "delay: 1s", false},
		{"fault: {websocket: {close: 1000}}", "fault: {reset: true}", false},
		{"delay: 1s", "match: {path: /a, internal: true}, delay: 1s", false},
	} {
		s, warnings, err := scenario.Lint("f", []byte("rules:\n- {name: a, "+c.a+"}\n- {name:   b, "+c.b+"}"), scenario.Server{})
		if err != nil || len(s.Rules) != 2 || (len(warnings) == 1) != c.sure || c.sure && warnings[0].Error() != never {
			t.Errorf("%s\n%s\n%v %v", c.a, c.b, warnings, err)
		}
	}
	_, warnings, _ := scenario.Lint("f", []byte(`rules: [{name: z, fault: {grpc: ABORTED}}, {name: a, fault: {status: 500}}, {name: b, delay: 1s}]`), scenario.Server{})
	if len(warnings) != 1 || warnings[0].Problem != `never hits, as rule "a" or rule "z" hits all matching requests first` {
		t.Error(warnings)
	}
	if _, warnings, err := scenario.Lint("f", []byte("rules: [{name: a, delay: 1}]"), scenario.Server{}); err == nil || warnings != nil {
		t.Error(warnings, err)
	}
}

func TestLintIdle(t *testing.T) {
	for _, c := range []struct{ rule, why string }{
		{"match: {percent: 0}", "match.percent is 0"},
		{"when: {ramp: {from: 0, to: 0, over: 1m}}", "when.ramp stays at 0"},
		{"when: {outcomes: [pass, pass]}", "when.outcomes has no hit"},
		{"when: {for: 30s, window: {from: 30s}}", "when.for is over before when.window begins"},
		{"ttl: 1m, when: {window: {from: 2m}}", "ttl is over before when.window begins"},
		{"match: {percent: 0.01}", ""},
		{"when: {ramp: {from: 1, to: 0, over: 1m}}", ""},
		{"when: {outcomes: [pass, hit]}", ""},
		{"when: {for: 30s, window: {from: 29s}}", ""},
		{"ttl: 2m, when: {window: {from: 1m}}", ""},
	} {
		_, warnings, err := scenario.Lint("f", []byte("rules:\n- {name: a, delay: 1s, "+c.rule+"}"), scenario.Server{})
		got := ""
		if len(warnings) > 0 {
			got = strings.TrimPrefix(warnings[0].Problem, "never hits: ")
		}
		if got != c.why || err != nil {
			t.Errorf("%s: %v %v", c.rule, warnings, err)
		}
	}
}

func TestLintNever(t *testing.T) {
	const (
		none    = `f:2:10: rule "a": never hits: match.not excludes all requests that the rule matches`
		calls   = `match.not: excludes all HTTP requests that the rule matches; it hits only gRPC calls`
		interim = `never hits: match.reply.status has only statuses below 200, which rules about the response do not see`
		head    = `fault.reply: a response to HEAD has no body, which append, corrupt and repeat could change`
		body    = `never hits: it acts only on the body of a response, which one to HEAD does not have; match another method`
		paced   = ` does nothing, as a response to HEAD has no body; match another method`
	)
	for _, c := range []struct{ rule, want string }{
		{"match: {not: {path: '*'}}, fault: {status: 503}", none},
		{"match: {not: {path: '/*'}}, fault: {status: 503}", none},
		{"match: {not: {path: '~/.*'}}, fault: {status: 503}", none},
		{"match: {path: /a, not: {path: '/a*'}}, delay: 1s", none},
		{"match: {path: /a, not: {host: '*'}}, delay: 1s", none},
		{"match: {methods: [GET], not: {methods: [GET, PUT]}}, delay: 1s", none},
		{"match: {headers: {a: b}, not: {headers: {a: '*'}}}, delay: 1s", none},
		{"match: {grpc: a.B/C, not: {grpc: a.B/*}}, delay: 1s", none},
		{"match: {not: {path: '*'}}, choose: [{percent: 5, fault: {status: 503}}]", none},
		{"match: {not: {path: '*'}}, delay: 1s", calls},
		{"match: {not: {path: /a}}, fault: {status: 503}", ""},
		{"match: {path: /a, not: {path: '*', cookie: {a: b}}}, delay: 1s", ""},
		{"match: {path: /a, not: {path: '*', server: pod-0}}, delay: 1s", ""},
		{"match: {path: /a, not: {path: '*', instance: {zone: z}}}, delay: 1s", ""},
		{"match: {grpc: a.B/*, not: {grpc: a.B/C}}, delay: 1s", ""},
		{"match: {not: {grpc: '*'}}, delay: 1s", ""},
		{"match: {reply: {status: 101}}, delay: 1s", interim},
		{"match: {reply: {status: [1xx, 103]}}, delay: 1s", interim},
		{"match: {reply: {status: [103, 200]}}, delay: 1s", ""},
		{"match: {methods: [HEAD]}, fault: {reply: {append: x}}", head},
		{"match: {methods: [HEAD]}, choose: [{percent: 5, fault: {reply: {repeat: 2}}}]", "choose[0]." + head},
		{"match: {methods: [HEAD]}, fault: {reply: {status: 404}}", ""},
		{"match: {methods: [HEAD, GET]}, fault: {reply: {append: x}}", ""},
		{"match: {methods: [HEAD]}, fault: {stall: 1s}", body},
		{"match: {methods: [HEAD]}, fault: {bandwidth: 1}", body},
		{"match: {methods: [HEAD]}, fault: {reply: {corrupt: 1}}", body},
		{"match: {methods: [HEAD]}, delay: {fixed: 1s, at: chunks}", body},
		{"match: {methods: [HEAD]}, choose: [{percent: 5, fault: {stall: 1s}}, {percent: 5, delay: {fixed: 1s, at: chunks}}]", body},
		{"match: {methods: [HEAD]}, choose: [{percent: 5, fault: {stall: 1s}}, {percent: 5, delay: 1s}]", "choose[0].fault: stall" + paced},
		{"match: {methods: [HEAD]}, delay: 1s, fault: {bandwidth: 1}", "fault: bandwidth" + paced},
		{"match: {methods: [HEAD]}, delay: {fixed: 1s, at: chunks}, fault: {status: 503}", "delay: does nothing, as a response to HEAD has no chunks; remove at, or match another method"},
		{"match: {methods: [HEAD]}, delay: {fixed: 1s, at: both}", ""},
		{"match: {methods: [HEAD]}, fault: {truncate: 1}", ""}, // which closes the connection
		{"match: {methods: [HEAD, GET]}, fault: {stall: 1s}", ""},
	} {
		_, warnings, err := scenario.Lint("f", []byte("rules:\n- {name: a, "+c.rule+"}"), scenario.Server{})
		got := ""
		for _, w := range warnings {
			got += w.Error()
		}
		if err != nil || !strings.HasSuffix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q (%v)", c.rule, got, c.want, err)
		}
	}
}

// A rule that Lint warns about never hits: of many random pairs of rules, with
// many requests.
func TestLintIsSure(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	// pick mostly returns nothing, so that rules match many requests.
	pick := func(from ...string) string {
		if random.IntN(3) > 0 {
			return ""
		}
		return from[random.IntN(len(from))] + ", "
	}
	does := []string{"delay: 1ms", "fault: {status: 500}", "fault: {grpc: ABORTED}", "fault: {status: 500, grpc: ABORTED}", "fault: {websocket: {drop: 1}}", "fault: {truncate: 1}", "delay: {fixed: 1ms, at: chunks}", "limit: {concurrency: 1}"}
	rule := func(name string) string {
		return "- {name: " + name + ", match: {" +
			pick("path: /a", "path: /a/b", "path: /a/*", "path: '/{x}'", "path: '/a/{x}'", "path: '*'", "path: '*/b'", "path: '/{x}/*'", "path: '~/a.*'", "path: '~/[ax](/b)?'", "grpc: '~a[.].*'", "grpc: '*'", "grpc: a.B/*", "grpc: a.B/C") +
			pick("methods: [GET]", "methods: [GET, PUT]") + pick("host: h", "host: '*'") +
			pick("headers: {a: b}", "headers: {A: 'b*'}", "headers: {a: '*'}", "headers: {a: ''}") +
			pick("cookie: {c: d}", "cookie: {c: '*'}", "cookie: {c: ''}") + pick("instance: {name: 'pod-*'}") +
			pick("query: {q: ''}", "query: {q: b}", "query: {q: '*'}") +
			pick("not: {path: '*'}", "not: {path: '/a*'}", "not: {headers: {a: '*'}}", "not: {grpc: a.B/*}", "not: {methods: [GET]}") +
			pick("percent: 50", "percent: 100") + pick("server: pod-*", "server: pod-0") + "}, " +
			pick("combine: true", "when: {every: 2}") + does[random.IntN(len(does))] + "}\n"
	}
	var requests []*scenario.Request
	for _, path := range []string{"/", "/a", "/a/", "/a/b", "/a/b/c", "/x", "/x/b"} {
		for _, method := range []string{"GET", "PUT", "POST"} {
			for _, host := range []string{"h", "i"} {
				for _, v := range []values{nil, {"A": {"b"}, "?q": {"b"}}, {"A": {"", "bc"}, "?q": {"c"}}, {"A": {"x"}, "?q": {""}}, {"Cookie": {"c=d"}}, {"Cookie": {"c=e"}, "A": {"b"}}} {
					requests = append(requests, &scenario.Request{Method: method, Path: path, Host: host, WebSocket: method == "GET" && host == "i", Values: v})
				}
			}
		}
	}
	for _, method := range []string{"/a.B/C", "/a.B/D", "/b.B/C"} {
		for _, v := range []values{nil, {"a": {"b"}}, {"a": {"bc"}}, {"a": {"x"}}} {
			requests = append(requests, &scenario.Request{RPC: method, Values: v})
		}
	}
	warned := 0
	for range 4000 {
		file := "rules:\n" + rule("a") + rule("b")
		s, warnings, err := scenario.Lint("f", []byte(file), scenario.Server{})
		var never []string
		for _, w := range warnings {
			if _, rest, ok := strings.Cut(w.Error(), `: rule "`); ok && strings.HasPrefix(w.Problem, "never hits") {
				name, _, _ := strings.Cut(rest, `"`)
				never = append(never, name)
			}
		}
		if err != nil || never == nil {
			continue
		}
		warned++
		e := scenario.NewEngine(7, "pod-0", scenario.Limits{Delay: time.Hour, Held: 1, Keys: 2})
		e.Apply(s)
		for _, req := range requests {
			if d := e.Decide(req); d != nil && slices.ContainsFunc(never, func(name string) bool { return strings.Contains(d.Names(), name) }) { // without Done, to exceed limits soon
				t.Fatalf("%s%v\n%+v is hit by %s", file, warnings, req, d.Names())
			}
		}
	}
	if warned < 100 {
		t.Errorf("only %d pairs with warnings", warned)
	}
}
