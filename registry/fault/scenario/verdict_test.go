package scenario_test

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// replica returns an engine of an instance, with a scenario.
func replica(t *testing.T, instance, rule string) *scenario.Engine {
	t.Helper()
	e := scenario.NewEngine(1, instance, scenario.Limits{Delay: time.Hour, Held: 2, Keys: 1000})
	apply(t, e, "- {name: r, fault: {status: 503}, "+rule+"}")
	return e
}

// TestReplicasDrawForThemselves sends requests to one of two replicas with the
// same seed, and those that fail again to the other one.
func TestReplicasDrawForThemselves(t *testing.T) {
	const n = 20000
	for _, c := range []struct {
		rule    string
		retried float64 // share of retries that fail too
	}{
		{"match: {percent: 10}", 0.1},
		{"match: {percent: 10}, sync: fleet", 1},
		{"match: {percent: 10}, shared: true, when: {first: 100000}", 0.1}, // which counts together, and draws for itself
		{"match: {percent: 10, per: 'header:X-User'}", 1},
	} {
		a, b := replica(t, "pod-a", c.rule), replica(t, "pod-b", c.rule)
		failed, again := 0, 0
		for i := range n {
			req := get("/", values{"X-User": {string(rune('a' + i%26))}})
			first, second := a.Decide(req) != nil, b.Decide(req) != nil
			if first {
				failed++
				if second {
					again++
				}
			}
		}
		if share := float64(failed) / n; math.Abs(share-0.1) > 0.01 {
			t.Errorf("%s: %.3f fail", c.rule, share)
		}
		if share := float64(again) / float64(failed); math.Abs(share-c.retried) > 0.03 {
			t.Errorf("%s: %.3f of the retries fail, want %.3f", c.rule, share, c.retried)
		}
	}
}

// TestChooseIsExact checks the share of each alternative, among requests and
// among those of a key.
func TestChooseIsExact(t *testing.T) {
	e := scenario.NewEngine(1, "pod-0", scenario.Limits{Delay: time.Hour, Held: 2, Keys: 1000})
	apply(t, e, "- {name: mix, choose: [{percent: 5, fault: {status: 500}}, {percent: 3, fault: {status: 503}, name: busy}, {percent: 1, delay: 1s}, {percent: 50, fault: {grpc: ABORTED}}]}")
	const n = 100_000
	got := map[string]int{}
	for range n {
		if d := e.Decide(get("/", nil)); d != nil {
			got[d.Names()]++
			if s := d.Strikes[0]; (s.Fault == nil) == (s.Delay == 0) {
				t.Fatalf("%+v", s)
			}
		}
	}
	for name, percent := range map[string]float64{"mix.1": 5, "busy": 3, "mix.3": 1, "mix.4": 0} {
		if share := 100 * float64(got[name]) / n; math.Abs(share-percent) > 0.2 {
			t.Errorf("%s: %.2f %%, want %g %%", name, share, percent)
		}
	}
}

// TestAbsoluteTimes checks that from and until hold whenever the rule is loaded.
func TestAbsoluteTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a bubble begins at midnight, 2000-01-01
		const rule = "when: {from: 2000-01-01T00:00:20Z, until: 2000-01-01T00:01:00Z, flap: {hit: 10s, pass: 10s}}"
		early := replica(t, "a", rule)
		got := [2]string{}
		var late *scenario.Engine
		for i := range 8 {
			if i == 3 {
				late = replica(t, "b", rule)
			}
			for j, e := range []*scenario.Engine{early, late} {
				switch {
				case e == nil:
					got[j] += " "
				case e.Decide(get("/", nil)) != nil:
					got[j] += "X"
				default:
					got[j] += "."
				}
			}
			time.Sleep(10 * time.Second)
		}
		if diff := cmp.Diff([2]string{"..X.X...", "   .X..."}, got); diff != "" {
			t.Error(diff)
		}
		for _, e := range []*scenario.Engine{early, late, replica(t, "c", rule)} {
			if s := e.Rules()[0]; !s.Ended || !s.Expires.Equal(time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC)) || !e.Idle() {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestWarnings checks the warnings of Lint about rules that may hit, but not as
// they say.
func TestWarnings(t *testing.T) {
	on := scenario.Server{
		MaxDelay: time.Minute, Methods: []string{"/echo.EchoService/Echo"}, Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Routes: []scenario.Route{{Path: "/api/info"}, {Path: "/status/{code}"}, {Path: "/healthz", Internal: true}, {Path: "/files/{rest...}"}, {Path: "/readyz", Internal: true}, {Path: "/ws/echo", WebSocket: true}},
	}
	proxy := on
	proxy.Routes = append(slices.Clone(on.Routes), scenario.Route{Path: "/{path...}", Unknown: true})
	if _, warnings, _ := scenario.Lint("f", []byte("rules: [{name: r, match: {path: /healthz}, delay: 1s}]"), proxy); len(warnings) != 1 {
		t.Errorf("behind a proxy: %v", warnings)
	}
	for _, rule := range []string{"match: {path: /chat}, fault: {websocket: {cut: true}}", "fault: {websocket: {cut: true}}", "match: {path: '/ws/*'}, fault: {truncate: 1}", "match: {path: '/{a}'}, fault: {websocket: {cut: true}}"} {
		if _, warnings, err := scenario.Lint("f", []byte("rules: [{name: r, "+rule+"}]"), proxy); len(warnings) > 0 || err != nil {
			t.Errorf("behind a proxy: %s: %v %v", rule, warnings, err)
		}
	}
	silent := on
	silent.Methods = []string{}
	if _, warnings, _ := scenario.Lint("f", []byte("rules: [{name: r, match: {grpc: '*'}, delay: 1s}]"), silent); len(warnings) != 1 || !strings.Contains(warnings[0].Problem, "the server has no gRPC services") {
		t.Errorf("without gRPC: %v", warnings)
	}
	partly := on
	partly.Others = true
	for rules, want := range map[string]string{"/healthz": "is the path of an internal route", "/health*": "is the path of an internal route", "~/healthz|/readyz": "is the path of an internal route", "/elsewhere": "", "/*": "", "~/(healthz|version)": ""} {
		_, warnings, err := scenario.Lint("f", []byte("rules: [{name: r, match: {path: '"+rules+"'}, delay: 1s}]"), partly)
		if err != nil || (len(warnings) == 1) != (want != "") || want != "" && !strings.Contains(warnings[0].Error(), want) {
			t.Errorf("%s, with other routes: %v %v", rules, warnings, err)
		}
	}
	for _, c := range []struct{ rules, want string }{
		{"- {name: r, delay: 2m}", `f:2:20: rule "r": delay: a delay of 2m0s is above the server's longest, 1m0s`},
		{"- {name: r, delay: {p50: 1s, p99: 90s}}", `above the server's longest`},
		{"- {name: r, delay: {p50: 1s, p99: 9s}}", ""},
		{"- {name: r, fault: {stall: 2m}}", `fault.stall.for: a delay of 2m0s is above`},
		{"- {name: r, fault: {stall: {after: 1, for: 2m}}}", `fault.stall.for: a delay of 2m0s is above`},
		{"- {name: r, match: {tcp: db}, fault: {stall: 2m}}", ""},
		{"- {name: r, fault: {tls: {delay: 2m}}}", `f:2:34: rule "r": fault.tls.delay: a delay of 2m0s is above`},
		{"- {name: r, fault: {tls: {delay: 1m}}}", ""},
		{"- {name: r, fault: {upload: {for: 2m}}}", `fault.upload.for: a delay of 2m0s`},
		{"- {name: r, fault: {websocket: {delay: 2m}}}", `fault.websocket.delay: a delay of 2m0s`},
		{"- {name: r, fault: {latency: 2m}}", `fault.latency: a delay of 2m0s`},
		{"- {name: r, choose: [{percent: 5, delay: 1s}, {percent: 5, delay: 2m}]}", `choose[1].delay: a delay of 2m0s`},
		{"- {name: r, choose: [{percent: 5, fault: {stall: {for: 2m}}}]}", `choose[0].fault.stall.for: a delay of 2m0s`},
		{"- {name: r, limit: {concurrency: 1, queue: 2, wait: 2m}}", `limit.wait: a delay of 2m0s`},
		{"- {name: r, fault: {grpc: {code: ABORTED, after-time: 2m}}}", ""}, // messages pass meanwhile
		{"- {name: r, delay: 1s, when: {window: {from: 5m}, ramp: {from: 0, to: 50, over: 10m}}}", `when.ramp: the ramp begins with the loading of the rule and is at 25 % when the window opens after 5m0s`},
		{"- {name: r, delay: 1s, when: {ramp: {from: 0, to: 50, over: 10m}}}", ""},
		{"- {name: r, delay: 1s, when: {daily: {from: '22:00', to: '23:00'}, ramp: {from: 0, to: 50, over: 10m}}}", `when.ramp: the ramp runs once, from the loading of the rule, and may be at its end, 50 %, before the times of when.daily begin; give a when.from that is one of these times`},
		{"- {name: r, delay: 1s, when: {daily: {from: '22:00', to: '06:00'}, ramp: {from: 0, to: 50, over: 16h}}}", `may be at its end, 50 %, before the times of when.daily begin`},
		{"- {name: r, delay: 1s, when: {daily: {from: '22:00', to: '06:00'}, ramp: {from: 0, to: 50, over: 17h}}}", ""},
		{"- {name: r, delay: 1s, when: {weekdays: [mon, wed], ramp: {from: 0, to: 50, over: 72h}}}", `before the times of when.weekdays begin`},
		{"- {name: r, delay: 1s, when: {weekdays: [mon, wed], ramp: {from: 0, to: 50, over: 100h}}}", ""},
		{"- {name: r, delay: 1s, when: {cron: '0 9 * * 1-5', for: 30m, ramp: {from: 0, to: 50, over: 1h}}}", `before the times of when.cron begin`},
		{"- {name: r, delay: 1s, when: {cron: '0 * * * *', for: 30m, ramp: {from: 0, to: 50, over: 1h}}}", ""},
		{"- {name: r, delay: 1s, when: {daily: {from: '22:00', to: '23:00'}, ramp: {from: 0, to: 50, over: 10m}, from: '2026-03-01T12:00:00Z'}}", `when.ramp: the ramp runs once, from when.from, and may be at its end, 50 %, before the times of when.daily begin; move when.from to one of these times`},
		{"- {name: r, delay: 1s, when: {daily: {from: '22:00', to: '23:00'}, ramp: {from: 0, to: 50, over: 10m}, from: '2026-03-01T22:00:00Z'}}", ""},
		{"- {name: r, delay: 1s, when: {daily: {from: '22:00', to: '23:00'}, zone: Europe/Berlin, ramp: {from: 0, to: 50, over: 10m}, from: '2026-03-01T22:00:00Z'}}", `the ramp runs once, from when.from`},
		{"- {name: r, delay: 1s, when: {weekdays: [mon], for: 1h}}", `when.for: the rule is over 1h0m0s after the loading of the rule, which may be before the times of when.weekdays begin`},
		{"- {name: r, delay: 1s, ttl: 1h, when: {cron: '0 2 * * *', for: 10m}}", `ttl: the rule is over 1h0m0s after the loading of the rule, which may be before the times of when.cron begin`},
		{"- {name: r, delay: 1s, when: {weekdays: [sat], daily: {from: '09:00', to: '10:00'}, from: '2026-03-02T00:00:00Z', until: '2026-03-06T00:00:00Z'}}", `when.until: the rule is over 96h0m0s after when.from, which may be before the times of when.daily and when.weekdays begin`},
		{"- {name: r, delay: 1s, when: {weekdays: [sat], from: '2026-03-02T00:00:00Z', until: '2026-03-09T00:00:00Z'}}", ""},
		{"- {name: r, delay: 1s, ttl: 100h, when: {daily: {from: '09:00', to: '10:00'}}}", ""},
		{"- {name: r, delay: 1s, when: {until: 2025-12-31T00:00:00Z}}", "never hits: when.until is over"},
		{"- {name: r, delay: 1s, match: {path: /api/inof}}", `no route of the server has the path "/api/inof"`},
		{"- {name: r, delay: 1s, match: {path: '~/api/inof[0-9]+'}}", `no route of the server has the path "~/api/inof[0-9]+"`},
		{"- {name: r, delay: 1s, match: {path: '~/api/(info|version)'}}", ""},
		{"- {name: r, delay: 1s, match: {path: '~/status/5[0-9]{2}'}}", ""},
		{"- {name: r, delay: 1s, match: {path: '~/healthz?'}}", `"~/healthz?" is the path of an internal route`},
		{"- {name: r, delay: 1s, match: {path: '/api/*'}}", ""},
		{"- {name: r, delay: 1s, match: {path: /files/a/b}}", ""},
		{"- {name: r, delay: 1s, match: {path: /status/503}}", ""},
		{"- {name: r, delay: 1s, match: {path: /healthz}}", `"/healthz" is the path of an internal route`},
		{"- {name: r, delay: 1s, match: {path: /healthz, internal: true}}", ""},
		{"- {name: r, delay: 1s, match: {path: '~/healthz|/readyz'}}", `"~/healthz|/readyz" is the path of an internal route`},
		{"- {name: r, delay: 1s, match: {path: '~/healthz|/api/info'}}", ""},
		{"- {name: r, delay: 1s, match: {grpc: grpc.health.v1.Health/Check}}", `match.grpc: "grpc.health.v1.Health/Check" is a method of health or reflection, which only a rule with internal: true and a literal method matches`},
		{"- {name: r, delay: 1s, match: {grpc: 'grpc.reflection.*/*'}}", `"grpc.reflection.*/*" is a method of health or reflection`},
		{"- {name: r, delay: 1s, match: {grpc: '~grpc[.](health|reflection)[.].+'}}", `is a method of health or reflection`},
		{"- {name: r, delay: 1s, match: {grpc: grpc.health.v1.Health/Check, internal: true}}", ""},
		{"- {name: r, delay: 1s, match: {grpc: '*/Echo'}}", ""},
		{"- {name: r, delay: 1s, match: {grpc: echo.EchoService/Ecko}}", `match.grpc: no service of the server has the method "echo.EchoService/Ecko"; the rule never hits`},
		{"- {name: r, delay: 1s, match: {grpc: '~pay[.].*'}}", `no service of the server has the method`},
		{"- {name: r, match: {path: /api/info}, fault: {websocket: {close: 1011}}}", `fault: websocket does nothing at "/api/info", as no route there is a WebSocket: it breaks messages of a WebSocket; use status`},
		{"- {name: r, match: {path: '~/api/.*'}, fault: {websocket: {cut: true}}}", `websocket does nothing at "~/api/.*", as no route there is a WebSocket`},
		{"- {name: r, match: {path: /api/info}, choose: [{percent: 1, delay: 1s}, {percent: 1, fault: {websocket: {cut: true}}}]}", `choose[1].fault: websocket does nothing at "/api/info"`},
		{"- {name: r, match: {path: '/*'}, fault: {websocket: {cut: true}}}", ""},
		{"- {name: r, fault: {websocket: {cut: true}}}", ""},
		{"- {name: r, match: {path: /ws/echo}, fault: {websocket: {cut: true}}}", ""},
		{"- {name: r, match: {path: /ws/echo}, fault: {truncate: 1}}", `fault: does nothing at "/ws/echo", which is a WebSocket: a handshake has no body; use websocket`},
		{"- {name: r, match: {path: '/ws/*'}, fault: {stall: 1s}}", `fault: does nothing at "/ws/*", which is a WebSocket: a handshake has no body; use websocket with delay`},
		{"- {name: r, match: {path: /ws/echo}, fault: {reset: true}, at: after}", `at: does nothing at "/ws/echo", which is a WebSocket: it is open until its handler returns; remove at, or use after within websocket`},
		{"- {name: r, match: {path: /ws/echo}, delay: 1s, at: after}", `at: does nothing at "/ws/echo", which is a WebSocket`},
		{"- {name: r, match: {path: /ws/echo}, delay: {fixed: 1s, at: chunks}}", `delay: does nothing at "/ws/echo", which is a WebSocket: its response has no chunks; use websocket with delay`},
		{"- {name: r, match: {path: /ws/echo, reply: {status: 101}}, delay: 1s}", `match.reply.status has only statuses below 200`},
		{"- {name: r, match: {path: /ws/echo, reply: {headers: {a: b}}}, fault: {reset: true}}", `match.reply: does nothing at "/ws/echo", which is a WebSocket: a rule about the response does not see its messages`},
		{"- {name: r, match: {path: /ws/echo}, choose: [{percent: 5, fault: {status: 503}}, {percent: 5, fault: {reply: {append: x}}}]}", `choose[1].fault: does nothing at "/ws/echo"`},
		{"- {name: r, match: {path: /ws/echo}, fault: {status: 503}}", ""},
		{"- {name: r, match: {path: '*'}, fault: {truncate: 1}}", ""},
		{"- {name: r, match: {path: /ws/echo, methods: [POST]}, fault: {websocket: {cut: true}}}", "never hits: WebSockets are opened by GET, which match.methods does not have"},
		{"- {name: r, match: {path: /files/a%20b}, delay: 1s}", `match.path: "/files/a%20b": paths are compared after decoding; write the character that %20 stands for`},
		{"- {name: r, delay: 1s, match: {path: '/status/:code'}}", `a colon is matched as it is; write a parameter as {name}`},
		{"- {name: r, delay: 1s, match: {path: '/status/{code:[0-9]+}'}}", `what follows a colon in it has no effect`},
		{"- {name: r, fault: {status: 500, body: 'hello {{ .Name }}'}}", "templates are not supported"},
		{"- {name: a, match: {percent: 50}, delay: 1s}\n- {name: b, match: {percent: 50}, delay: 2s}", `f:3:30: rule "b": match.percent: 50 % of the 50 % of requests that rule "a" and those above it leave is 25 %`},
		{"- {name: a, delay: 1s, when: {every: 2}}\n- {name: b, match: {percent: 50}, delay: 2s}", `match.percent: 50 % of the 50 % of requests that rule "a" and those above it leave is 25 %; to give it its share of all requests, move it above them`},
		{"- {name: a, delay: 1s, when: {every: 4}}\n- {name: b, delay: 2s, when: {every: 2}}", `when.every: 50 % of the 75 % of requests that rule "a" and those above it leave is 37.5 %; to give it`},
		{"- {name: a, when: {burst: {enter: 1%, leave: 4%}}, delay: 1s}\n- {name: b, match: {percent: 10}, delay: 2s}", `10 % of the 80 % of requests that rule "a"`},
		{"- {name: a, match: {percent: 10}, delay: 2s}\n- {name: b, when: {burst: {enter: 1%, leave: 4%}}, delay: 1s}", `when.burst: 20 % of the 90 % of requests that rule "a"`},
		{"- {name: a, when: {ramp: {from: 0, to: 50, over: 1m}}, delay: 1s}\n- {name: b, match: {percent: 10}, delay: 2s}", `match.percent: 10 % of the 50 % of requests that rule "a" and those above it leave is 5 % at the most of the ramp`},
		{"- {name: a, match: {percent: 10}, delay: 2s}\n- {name: b, when: {ramp: {from: 0, to: 50, over: 1m}}, delay: 1s}", `when.ramp: 50 % of the 90 % of requests`},
		{"- {name: a, match: {per: client, sticky: 10}, delay: 2s}\n- {name: b, match: {percent: 10}, delay: 1s}", `match.percent: 10 % of the 90 % of requests that rule "a"`},
		{"- {name: a, match: {per: 'header:x', sticky: 10}, delay: 2s}\n- {name: b, match: {per: 'header:X', sticky: 20}, delay: 1s}", `match.sticky: 20 % of the 90 % of requests that rule "a"`},
		{"- {name: a, match: {per: 'header:x', sticky: 10}, delay: 2s}\n- {name: b, match: {percent: 20}, delay: 1s}", `match.percent: of the requests that rule "a" above it matches too, it hits only 18 %; to give it its share of all requests, move it above that rule`},
		{"- {name: a, match: {percent: 10}, delay: 2s}\n- {name: b, choose: [{percent: 10, delay: 1s}, {percent: 20, delay: 2s}]}", `choose: 30 % of the 90 % of requests that rule "a" and those above it leave is 27 %; to give each of them its share of all requests, put them under choose in one rule`},
		{"- {name: b, choose: [{percent: 10, delay: 1s}, {percent: 20, delay: 2s}]}\n- {name: a, match: {percent: 10}, delay: 2s}", `match.percent: 10 % of the 70 % of requests that rule "b"`},
		{"- {name: b, choose: [{percent: 10, fault: {status: 503}}, {percent: 20, fault: {grpc: ABORTED}}]}\n- {name: a, match: {percent: 10, grpc: '*'}, delay: 2s}", `match.percent: 10 % of the 80 % of requests that rule "b"`},
		{"- {name: a, when: {outcomes: [hit, pass], cycle: true}, delay: 1s}\n- {name: b, match: {percent: 10}, delay: 2s}", `10 % of the 50 % of requests that rule "a"`},
		{"- {name: a, match: {percent: 50, path: '~/api/.*'}, delay: 1s}\n- {name: b, match: {percent: 50, path: /api/info}, delay: 2s}", `50 % of the 50 % of requests that rule "a"`},
		{"- {name: a, match: {percent: 50, path: '~/api/.*'}, delay: 1s}\n- {name: b, match: {percent: 50, path: '/api/*'}, delay: 2s}", `50 % of the 50 % of requests that rule "a"`},
		{"- {name: a, match: {percent: 50, path: '~/(api/.*|version)'}, delay: 1s}\n- {name: b, match: {percent: 20, path: '~/(api/.*|env)'}, delay: 2s}", `match.percent: of the requests that rule "a" above it matches too, it hits only 10 %`},
		{"- {name: a, match: {percent: 50}, delay: 1s}\n- {name: b, match: {percent: 50, grpc: 'echo.EchoService/*'}, fault: {grpc: ABORTED}}", `50 % of the 50 % of requests that rule "a"`},
		{"- {name: a, match: {percent: 50}, fault: {grpc: ABORTED, status: 503}}\n- {name: b, match: {percent: 50, grpc: 'echo.EchoService/*'}, delay: 1s}", `50 % of the 50 % of requests that rule "a"`},
		{"- {name: a, match: {percent: 50}, delay: 1s}\n- {name: b, match: {percent: 50}, combine: true, delay: 2s}", `50 % of the 50 % of requests that rule "a"`},
		{"- {name: a, match: {percent: 50}, ttl: 1h, delay: 1s}\n- {name: b, match: {percent: 50}, ttl: 1h, delay: 2s}", `50 % of the 50 % of requests that rule "a"`},
		{"- {name: a, match: {percent: 50, cookie: {c: d}}, delay: 1s}\n- {name: b, match: {percent: 50, cookie: {c: d}}, delay: 2s}", `50 % of the 50 % of requests that rule "a"`},
		{"- {name: a, match: {percent: 50}, ttl: 1h, delay: 1s}\n- {name: b, match: {percent: 50}, delay: 2s}", ""},
		{"- {name: a, match: {percent: 50}, when: {window: {to: 1m}}, delay: 1s}\n- {name: b, match: {percent: 50}, when: {window: {from: 1m}}, delay: 2s}", ""},
		{"- {name: a, match: {percent: 50}, when: {first: 3}, delay: 1s}\n- {name: b, match: {percent: 50}, delay: 2s}", ""},
		{"- {name: a, match: {percent: 50}, fault: {status: 503}}\n- {name: b, match: {percent: 50, grpc: '*'}, delay: 2s}", ""},
		{"- {name: a, match: {percent: 50}, delay: 1s}\n- {name: b, delay: 2s}", ""},
		{"- {name: a, match: {percent: 50, path: '~/api/.*'}, delay: 1s}\n- {name: b, match: {percent: 50, path: '/env*'}, delay: 2s}", `no route of the server has the path "/env*"`},
		{"- {name: a, match: {percent: 50, path: /api/info}, delay: 1s}\n- {name: b, match: {percent: 50}, delay: 2s}", ""},
		{"- {name: a, match: {percent: 50}, combine: true, delay: 1s}\n- {name: b, match: {percent: 50}, delay: 2s}", ""},
	} {
		_, warnings, err := scenario.Lint("f", []byte("rules:\n"+c.rules), on)
		var got []string
		for _, w := range warnings {
			got = append(got, w.Error())
		}
		if err != nil || len(got) != 1 && c.want != "" || len(got) > 0 && c.want == "" || !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%s:\n got %q, %v\nwant %s", c.rules, got, err, c.want)
		}
	}
}

// TestWarningsOfPeers checks the warnings of Lint about rules that need what the server
// does not have.
func TestWarningsOfPeers(t *testing.T) {
	const (
		none    = "the server has no TCP proxies; set PODINFO_TCP_PROXY to have one"
		claims  = "no claim counts, as module jwt is off; turn it on, or set match.unverified if another server verifies the tokens"
		tls     = "fault: no port of the server has TLS; set PODINFO_SECURE_PORT to serve it"
		counts  = "shared: each replica counts alone, as there is no server to count on; set PODINFO_CACHE_SERVER"
		another = `match.tcp: no TCP proxy of the server has the name "db"; use cache or redis`
	)
	bare := scenario.Server{TCPProxies: []string{}, NoTLS: true, NoTokens: true, NoCounts: true}
	others := scenario.Server{TCPProxies: []string{"cache", "redis"}}
	for _, c := range []struct {
		on         scenario.Server
		rule, want string
	}{
		{bare, "shared: true, when: {first: 1}, delay: 1s", counts},
		{bare, "match: {claim: {sub: a}}, delay: 1s", "match.claim: " + claims},
		{bare, "match: {per: 'claim:sub'}, delay: 1s", "match.per: " + claims},
		{bare, "match: {not: {claim: {sub: a}}}, delay: 1s", "match.not.claim: " + claims},
		{bare, "match: {claim: {sub: a}, unverified: true}, delay: 1s", ""},
		{bare, "fault: {tls: {stall: true}}", tls},
		{bare, "choose: [{percent: 1, fault: {tls: {stall: true}}}]", "choose[0]." + tls},
		{bare, "match: {tcp: db}, delay: 1s", "match.tcp: " + none},
		{bare, "fault: {latency: 1s}", "fault: " + none},
		{bare, "choose: [{percent: 1, fault: {latency: 1s}}, {percent: 1, fault: {reset: true}}]", "choose[0].fault: " + none},
		{bare, "fault: {reset: true}", ""}, // of requests
		{bare, "delay: 1s", ""},
		{bare, "fault: {connection: {refuse: true}}", ""},
		{others, "match: {tcp: db}, delay: 1s", another},
		{others, "match: {tcp: 're*'}, delay: 1s", ""},
		{others, "fault: {latency: 1s}", ""},
		{others, "fault: {tls: {stall: true}}", ""},
		{scenario.Server{}, "match: {tcp: db}, delay: 1s", ""},
	} {
		_, warnings, err := scenario.Lint("f", []byte("rules: [{name: r, "+c.rule+"}]"), c.on)
		got := ""
		for _, w := range warnings {
			_, text, _ := strings.Cut(w.Error(), `rule "r": `)
			got += text
		}
		if got != c.want || err != nil {
			t.Errorf("%s: %q, want %q (%v)", c.rule, got, c.want, err)
		}
	}
}

// unboundedDurations are the durations that the server does not shorten, by type
// and field.
var unboundedDurations = map[string]bool{
	"Rule.TTL": true, "When.For": true, "Window.From": true, "Window.To": true, "Flap.Hit": true, "Flap.Pass": true, "Ramp.Over": true, // clocks of rules
	"Uniform.Min": true, "Uniform.Max": true, "Normal.Mean": true, "Normal.StdDev": true, "Exponential.Mean": true, "Pareto.Min": true, "Delay.Fixed": true, // within a Delay
	"Reply.Stale": true, "GRPC.AfterTime": true, "WebSocket.AfterTime": true, "RetryAfter.After": true, "RetryInfo.Delay": true, "Connection.Idle": true, // no delay
	"TCPClose.After": true, "TCPClose.Idle": true, "TCPSilence.Close": true, "TCPSlice.Delay": true, "Fault.SlowClose": true, // of TCP connections
}

// TestBoundedDurations checks that each duration of a rule says whether the server
// shortens it.
func TestBoundedDurations(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(x reflect.Type) {
		for x.Kind() == reflect.Pointer || x.Kind() == reflect.Slice {
			x = x.Elem()
		}
		if x.Kind() != reflect.Struct || seen[x] {
			return
		}
		seen[x] = true
		for f := range x.Fields() {
			of := f.Type
			if of.Kind() == reflect.Pointer {
				of = of.Elem()
			}
			name := x.Name() + "." + f.Name
			if of == reflect.TypeFor[scenario.Duration]() && (f.Tag.Get("bounded") == "") != unboundedDurations[name] {
				t.Errorf("%s: add the tag bounded, or put it in unboundedDurations", name)
			}
			walk(of)
		}
	}
	walk(reflect.TypeFor[scenario.Rule]())
}
