package scenario_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// engine returns an engine with a scenario of these rules.
func engine(t testing.TB, rules string) *scenario.Engine {
	t.Helper()
	e := scenario.NewEngine(7, "pod-0", scenario.Limits{Delay: time.Hour, Held: 2, Keys: 100})
	e.SetSelf(scenario.Self{Version: "6.1.0", Labels: map[string]string{"track": "canary"}, Zone: "eu-1"})
	apply(t, e, rules)
	return e
}

func apply(t testing.TB, e *scenario.Engine, rules string) {
	t.Helper()
	if rules != "[]" {
		rules = "\n" + rules
	}
	s, err := scenario.Parse("x", []byte("rules: "+rules))
	if err != nil {
		t.Fatal(err)
	}
	e.Apply(s)
}

// get returns a request for a path.
func get(path string, v values) *scenario.Request {
	return &scenario.Request{Method: "GET", Path: path, Host: "example.com", Values: v}
}

// names returns the rules that hit, "" for none.
func names(e *scenario.Engine, req *scenario.Request) string {
	d := e.Decide(req)
	if d == nil {
		return ""
	}
	defer d.Done()
	return d.Names()
}

func TestMatch(t *testing.T) {
	post := func(path string) *scenario.Request { r := get(path, nil); r.Method = "POST"; return r }
	at := func(host string) *scenario.Request { r := get("/a", nil); r.Host = host; return r }
	internal := func(r *scenario.Request) *scenario.Request { r.Internal = true; return r }
	call := func(m string, v values) *scenario.Request { return &scenario.Request{RPC: m, Values: v} }
	ws := get("/a", nil)
	ws.WebSocket = true
	for _, c := range []struct {
		match string
		req   *scenario.Request
		want  bool
	}{
		{"path: /a", get("/a", nil), true},
		{"path: /a", get("/a/", nil), false},
		{"path: /a", get("/A", nil), false},
		{"path: /api/*", get("/api/info", nil), true},
		{"path: /api/*", get("/api/", nil), true},
		{"path: /api/*", get("/api", nil), false},
		{"path: /api/*", get("/api/a/b", nil), true},
		{"path: /api*", get("/apixyz", nil), true},
		{"path: /api*", get("/ap", nil), false},
		{"path: '*'", get("/", nil), true},
		{"path: '*/b'", get("/a/x/b", nil), true},
		{"path: '*/b'", get("/a/x/c", nil), false},
		{"path: '/{id}'", get("/a", nil), true},
		{"path: '/{id}'", get("/", nil), false},
		{"path: '/{id}'", get("/a/b", nil), false},
		{"path: '/x/{id}/y'", get("/x/1/y", nil), true},
		{"path: '/x/{id}/y/*'", get("/x/1/y/z", nil), true},
		{"path: '/x/{id}/y'", get("/x//y", nil), false},
		{"path: '/x/{a}/{b}'", get("/x/1/2", nil), true},
		{"path: '/*/{b}/z'", get("/1/2/3/z", nil), true},
		{"path: '/e/{rest...}'", get("/e/a/b", nil), true}, // as in a route
		{"path: '/e/{rest...}'", get("/e", nil), false},
		{"path: '/a*b*c'", get("/aXbYbZc", nil), true},
		{"path: '/a*b*c'", get("/aXbYbZ", nil), false},
		{"methods: [POST, PUT]", get("/a", nil), false},
		{"methods: [POST, PUT]", post("/a"), true},
		{"host: example.com", get("/a", nil), true},
		{"host: '*.example.com'", at("A.Example.com"), true},
		{"host: '*.example.com'", get("/a", nil), false},
		{"host: EXAMPLE.com", get("/a", nil), true},
		{"headers: {x-user: beta}", get("/a", values{"X-User": {"alpha", "beta"}}), true},
		{"headers: {x-user: beta}", get("/a", values{"X-User": {"alpha"}}), false},
		{"headers: {x-user: b*}", get("/a", values{"X-User": {"beta"}}), true},
		{"headers: {X-USER: '*'}", get("/a", nil), false},
		{"headers: {x-user: ''}", get("/a", nil), true},
		{"headers: {x-user: ''}", get("/a", values{"X-User": {"beta"}}), false},
		{"headers: {a: '1', b: '2'}", get("/a", values{"A": {"1"}, "B": {"2"}}), true},
		{"headers: {a: '1', b: '2'}", get("/a", values{"A": {"1"}, "B": {"1"}}), false},
		{"query: {q: '1'}", get("/a", values{"?q": {"1"}}), true},
		{"query: {q: '1'}", get("/a", values{"?Q": {"1"}}), false},
		{"per: 'header:x-id'", get("/a", nil), false},
		{"per: 'header:x-id'", get("/a", values{"X-Id": {"1"}}), true},
		{"per: client", get("/a", nil), true},
		{"percent: 0", get("/a", nil), false},
		{"", get("/a", nil), true},
		{"server: pod-0", get("/a", nil), true},
		{"server: '*-1'", get("/a", nil), false},
		{"path: '~/api/v[0-9]+'", get("/api/v12", nil), true},
		{"path: '~/api/v[0-9]+'", get("/api/v12/x", nil), false},
		{"host: '~(www[.])?EXAMPLE[.]com'", get("/a", nil), true},
		{"host: '~\\S+'", get("/a", nil), true},
		{"headers: {x-user: '~b.*|c'}", get("/a", values{"X-User": {"beta"}}), true},
		{"headers: {x-user: '~b.*|c'}", get("/a", values{"X-User": {"ab"}}), false},
		{"query: {q: '~[0-9]'}", get("/a", values{"?q": {"x", "1"}}), true},
		{"grpc: '~a[.]B/.*'", call("/a.B/C", nil), true},
		{"grpc: '~a[.]B/.*'", call("/a.BC/C", nil), false},
		{"cookie: {session: b*}", get("/a", values{"Cookie": {"a=b; session=beta"}}), true},
		{"cookie: {session: b*}", get("/a", values{"Cookie": {"a=b;  session=\"beta\"", "x=y"}}), true},
		{"cookie: {session: b*}", get("/a", values{"Cookie": {"xsession=beta"}}), false},
		{"cookie: {session: ''}", get("/a", values{"Cookie": {"a=b"}}), true},
		{"cookie: {session: b}", call("/a.B/C", values{"cookie": {"session=b"}}), true},
		{"claim: {sub: ann}", get("/a", values{"claims": {`{"sub":"ann"}`}}), true},
		{"claim: {sub: ann}", get("/a", values{"claims": {`{"sub":"bob"}`}}), false},
		{"claim: {sub: ann}", get("/a", values{"unverified": {`{"sub":"ann"}`}}), false},
		{"claim: {sub: ann}, unverified: true", get("/a", values{"unverified": {`{"sub":"ann"}`}}), true},
		{"claim: {'https://x.y/roles': admin}", get("/a", values{"claims": {`{"https://x.y/roles":["user","admin"]}`}}), true},
		{"claim: {'$.realm.roles[*]': admin}", call("/a.B/C", values{"claims": {`{"realm":{"roles":["user","admin"]}}`}}), true},
		{"json: {$.user.id: '7'}", get("/a", values{"body": {`{"user":{"id":7}}`}}), true},
		{"json: {$.user.id: '7'}", get("/a", values{"body": {`{"user":{"id":8}}`}}), false},
		{"json: {$.user.id: '7'}", get("/a", nil), false},
		{"body: '*<sku>7</sku>*'", get("/a", values{"body": {"<a><sku>7</sku></a>"}}), true},
		{"body: '*<sku>7</sku>*'", get("/a", values{"body": {"<a><sku>8</sku></a>"}}), false},
		{"body: '~[0-9]+'", get("/a", values{"body": {"42"}}), true},
		{"body: '~[0-9]+'", get("/a", nil), false},
		{"body: a, headers: {x: b}", get("/a", values{"body": {"a"}, "X": {"b"}}), true},
		{"body: a", call("/a.B/C", values{"body": {"a"}}), false},
		{"json: {$.user.id: ''}", get("/a", nil), true},
		{"json: {$.user.id: '7'}", call("/a.B/C", values{"body": {`{"user":{"id":7}}`}}), false},
		{"path: /*, not: {path: /b*}", get("/a", nil), true},
		{"path: /*, not: {path: /a*}", get("/a", nil), false},
		{"not: {path: /a, methods: [PUT]}", get("/a", nil), true},
		{"not: {headers: {x-user: beta}}", get("/a", values{"X-User": {"beta"}}), false},
		{"not: {path: '*'}", call("/a.B/C", nil), true}, // no call has a path
		{"not: {grpc: '*'}", get("/a", nil), true},
		{"not: {grpc: 'a.B/*'}", call("/a.B/C", nil), false},
		{"not: {server: 'pod-*'}", get("/a", nil), false},
		{"not: {server: pod-1, path: /a}", get("/a", nil), true},
		{"not: {instance: {labels: {track: stable}}}", get("/a", nil), true},
		{"not: {instance: {labels: {track: canary}}, path: /a}", get("/a", nil), false},
		{"instance: {name: pod-0, version: 6.*, zone: '~eu-.*', labels: {track: canary, team: ''}}", get("/a", nil), true},
		{"instance: {version: '5.*'}", get("/a", nil), false},
		{"instance: {zone: us-1}", get("/a", nil), false},
		{"instance: {labels: {track: ''}}", get("/a", nil), false},
		{"instance: {labels: {team: '*'}}", get("/a", nil), true},
		{"per: 'cookie:id'", get("/a", nil), false},
		{"per: 'cookie:id'", get("/a", values{"Cookie": {"id=7"}}), true},
		{"per: 'claim:sub'", get("/a", values{"claims": {`{"sub":"ann"}`}}), true},
		{"per: 'json:$.id'", get("/a", values{"body": {`{"id":true}`}}), true},
		{"per: 'json:$.id'", get("/a", values{"body": {`{"id":{}}`}}), false},
		{"per: client, sticky: 100", get("/a", nil), true},
		{"per: client, sticky: 0", get("/a", nil), false},
		{"", internal(get("/a", nil)), false},
		{"path: /a", internal(get("/a", nil)), false},
		{"path: /a, internal: true", internal(get("/a", nil)), true},
		{"path: /b, internal: true", internal(get("/a", nil)), false},
		{"", call("/a.B/C", nil), true},
		{"", internal(call("/grpc.health.v1.Health/Check", nil)), false},
		{"grpc: grpc.health.v1.Health/Check, internal: true", internal(call("/grpc.health.v1.Health/Check", nil)), true},
		{"grpc: a.B/*", call("/a.B/C", nil), true},
		{"grpc: a.B/*", call("/a.BB/C", nil), false},
		{"grpc: a.B/C", call("/a.B/C", nil), true},
		{"grpc: '*/C'", call("/a.B/C", nil), true},
		{"grpc: '*'", call("/a.B/C", nil), true},
		{"grpc: '*'", get("/a.B/C", nil), false},
		{"path: '*'", call("/a.B/C", nil), false},
		{"methods: [POST]", call("/a.B/C", nil), false},
		{"headers: {X-User: beta}", call("/a.B/C", values{"x-user": {"beta"}}), true},
		{"per: 'header:X-Id'", call("/a.B/C", values{"x-id": {"1"}}), true},
		{"per: 'query:q'", call("/a.B/C", values{"?q": {"1"}}), false},
		{"per: route", call("/a.B/C", nil), true},
	} {
		for _, other := range []string{"", "- {name: never, match: {path: /zzz, headers: {y: z}}, delay: 1s}\n"} {
			e := engine(t, other+"- {name: r, match: {"+c.match+"}, delay: 1s}")
			if got := names(e, c.req) == "r"; got != c.want {
				t.Errorf("%s: %+v: %v", c.match, *c.req, got)
			}
		}
	}
	e := engine(t, "- {name: r, fault: {websocket: {close: 1011}}}")
	if names(e, get("/a", nil)) != "" || names(e, ws) != "r" {
		t.Error("websocket")
	}
	e = engine(t, "- {name: web, fault: {garbage: true}}\n- {name: call, fault: {grpc: ABORTED}}")
	if names(e, get("/a", nil)) != "web" || names(e, call("/a.B/C", nil)) != "call" {
		t.Error("a fault for the other protocol")
	}
	for _, fault := range []string{"reset", "empty", "goaway"} {
		e = engine(t, "- {name: both, fault: {"+fault+": true}}")
		if names(e, get("/a", nil)) != "both" || names(e, call("/a.B/C", nil)) != "both" || e.Decide(call("/a.B/C", nil)).Broken().Kind(scenario.GRPCCalls).Name != fault {
			t.Errorf("%s is not for both protocols", fault)
		}
	}
}

func TestFirstMatchWinsAndCombine(t *testing.T) {
	e := engine(t, `
- {name: a, match: {path: /x/*}, delay: 1s, combine: true}
- {name: b, match: {headers: {h: "1"}}, fault: {status: 500}, combine: true}
- {name: c, match: {path: /x/y}, fault: {status: 501}, delay: 2s}
- {name: d, delay: 4s, combine: true}
- {name: e, fault: {status: 502}}
`)
	for _, c := range []struct {
		path  string
		v     values
		want  string
		code  int
		delay time.Duration
	}{
		{"/x/y", nil, "a,c", 501, 3 * time.Second},
		{"/x/y", values{"H": {"1"}}, "a,b,c", 500, 3 * time.Second},
		{"/x/z", nil, "a,d,e", 502, 5 * time.Second},
		{"/", nil, "d,e", 502, 4 * time.Second},
	} {
		d := e.Decide(get(c.path, c.v))
		if d.Names() != c.want || d.Broken().Fault.Status != c.code || d.Delay() != c.delay {
			t.Errorf("%s: %s %+v %v", c.path, d.Names(), d.Broken(), d.Delay())
		}
	}
}

// When counts the requests within the percentage, for any number of clients.
func TestWhenCountsWithinThePercentage(t *testing.T) {
	for _, clients := range []int{1, 8} {
		e := engine(t, "- {name: half, match: {percent: 50}, when: {after: 1, first: 2}, delay: 1s}")
		var mu sync.Mutex
		var hits []uint64
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				for range 1000 / clients {
					if d := e.Decide(get("/", nil)); d != nil {
						mu.Lock()
						hits = append(hits, d.Strikes[0].N)
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
		slices.Sort(hits)
		// The second and the third request that this rule hits.
		var want []uint64
		plain := engine(t, "- {name: half, match: {percent: 50}, delay: 1s}")
		for len(want) < 3 {
			if d := plain.Decide(get("/", nil)); d != nil {
				want = append(want, d.Strikes[0].N)
			}
		}
		if diff := gocmp.Diff(want[1:], hits); diff != "" {
			t.Errorf("%d clients: %s", clients, diff)
		}
	}
}

// A rule that has removed itself stays removed unless Apply is told to start it
// over.
func TestApplyAfterTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, "- {name: r, ttl: 1m, delay: 1s}")
		s, err := scenario.Parse("f", []byte("rules: [{name: r, ttl: 1m, delay: 1s}]"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for _, anew := range []string{"", "another", "r"} {
			e.Apply(s, anew)
			if hit := names(e, get("/", nil)) != ""; hit != (anew == "r") {
				t.Errorf("anew %q: hit %v", anew, hit)
			}
		}
	})
}

// Keys with requests in flight are not evicted, as they would get new slots.
func TestKeysInFlightAreKept(t *testing.T) {
	s, err := scenario.Parse("f", []byte("rules: [{name: r, match: {per: client}, limit: {concurrency: 1}}]"))
	if err != nil {
		t.Fatal(err)
	}
	e := scenario.NewEngine(1, "pod-0", scenario.Limits{Delay: 1, Held: 1, Keys: 4})
	e.Apply(s)
	hit := func(client string) bool {
		d := e.Decide(get("/", values{"client": {client}}))
		return d != nil && len(d.Strikes) > 0
	}
	if hit("a") {
		t.Error("the first request is above the limit")
	}
	for i := range 20 {
		if d := e.Decide(get("/", values{"client": {fmt.Sprint(i)}})); d != nil {
			d.Done()
		}
	}
	if !hit("a") {
		t.Error("a second request of the same client is below the limit")
	}
}

func TestWhenByNumber(t *testing.T) {
	for when, want := range map[string]string{
		"first: 2":                             "XX..........",
		"after: 3":                             "...XXXXXXXXX",
		"every: 5":                             "....X....X..",
		"after: 3, first: 2":                   "...XX.......",
		"every: 3, first: 2":                   "..X..X......",
		"after: 1, every: 3, first: 3":         "...X..X..X..",
		"outcomes: [hit, pass, pass, hit]":     "X..X........",
		"outcomes: [hit, pass], cycle: true":   "X.X.X.X.X.X.",
		"outcomes: [pass, hit, hit], first: 2": ".X..........",
	} {
		e := engine(t, "- {name: r, when: {"+when+"}, delay: 1s}")
		got := ""
		for range len(want) {
			got += map[bool]string{true: "X", false: "."}[names(e, get("/", nil)) != ""]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
}

// A rule with conditions about time: each letter is ten seconds.
func TestWhenByTime(t *testing.T) {
	for rule, want := range map[string]string{
		"when: {for: 30s}":                                "XXX.........",
		"when: {window: {from: 20s, to: 50s}}":            "..XXX.......",
		"when: {window: {from: 20s}}":                     "..XXXXXXXXXX",
		"when: {flap: { hit: 20s, pass: 40s }}":           "XX....XX....",
		"when: {daily: {from: '00:00:20', to: '00:01'}}":  "..XXXX......", // the fake clock starts at midnight UTC
		"when: {daily: {from: '00:01', to: '00:00:20'}}":  "XX....XXXXXX",
		"when: {ramp: {from: 100, to: 0, over: 1ms}}":     "X...........",
		"when: {flap: { hit: 20s, pass: 10s }, for: 1m}":  "XX.XX.......",
		"when: {flap: { hit: 20s, pass: 10s }, first: 3}": "XX.X........", // counts only while it hits
		"ttl: 40s": "XXXX........",
		"match: {per: client}, ttl: 40s, when: {for: 20s}": "XX..........",
	} {
		synctest.Test(t, func(t *testing.T) {
			e := engine(t, "- {name: r, "+rule+", delay: 1s}")
			got := ""
			for range len(want) {
				got += map[bool]string{true: "X", false: "."}[names(e, get("/", nil)) != ""]
				time.Sleep(10 * time.Second)
			}
			if got != want {
				t.Errorf("%s: %s, want %s", rule, got, want)
			}
			if ended := e.Rules()[0].Ended; ended != strings.Contains(rule, "ttl") || ended && !e.Idle() {
				t.Errorf("%s: %v", rule, e.Rules())
			}
		})
	}
}

func TestUnready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, "- {name: slow-start, when: {for: 30s}, fault: {unready: true}}\n- {name: flaps, when: {flap: { hit: 10s, pass: 20s }}, fault: {unready: true}}")
		got := ""
		for range 7 {
			got += " " + cmp.Or(e.Unready(), "-")
			time.Sleep(10 * time.Second)
		}
		if want := " slow-start slow-start slow-start flaps - - flaps"; got != want {
			t.Error(got)
		}
	})
}

func TestReloadKeepsUnchangedRules(t *testing.T) {
	e := engine(t, "- {name: a, when: {first: 2}, delay: 1s}\n- {name: b, when: {first: 2}, delay: 1s}")
	names(e, get("/", nil))
	names(e, get("/", nil)) // a has no hits left
	apply(t, e, "- {name: a, when: {first: 2}, delay: 1s}\n- {name: b, when: {first: 3}, delay: 2s}")
	if got := names(e, get("/", nil)); got != "b" {
		t.Error(got)
	}
	apply(t, e, "- {name: a, when: {first: 3}, delay: 1s}")
	if got := names(e, get("/", nil)); got != "a" {
		t.Error(got)
	}
	apply(t, e, "[]")
	if !e.Idle() {
		t.Error("not idle")
	}
	synctest.Test(t, func(t *testing.T) { // a rule that removed itself stays removed when the file is loaded again
		e := engine(t, "- {name: a, ttl: 10s, delay: 1s}")
		time.Sleep(20 * time.Second)
		apply(t, e, "- {name: a, ttl: 10s, delay: 1s}\n- {name: b, match: {path: /b}, delay: 1s}")
		if got := names(e, get("/", nil)); got != "" {
			t.Error(got)
		}
	})
	e = engine(t, "- {name: a, delay: 1s}")
	e.Pause(true)
	if !e.Idle() || !e.Paused() || len(e.Rules()) != 1 {
		t.Error("not paused")
	}
	e.Pause(false)
	if names(e, get("/", nil)) != "a" {
		t.Error("not resumed")
	}
}

func TestKeysAreCountedApartAndBounded(t *testing.T) {
	e := engine(t, "- {name: r, match: {per: 'header:k'}, when: {first: 1}, delay: 1s}")
	key := func(i int) *scenario.Request { return get("/", values{"K": {fmt.Sprint(i)}}) }
	for i := range 50 {
		if names(e, key(i)) != "r" || names(e, key(i)) != "" {
			t.Errorf("key %d", i)
		}
	}
	for i := range 10000 {
		names(e, key(i))
	}
	s := e.Rules()[0]
	if s.Keys > 100 || s.Keys < 50 || s.Seen != 10100 {
		t.Errorf("%+v", s)
	}
	if names(e, key(9999)) != "" || names(e, key(0)) != "r" {
		t.Error("not the least recently seen keys are evicted")
	}
}

func TestLimits(t *testing.T) {
	e := engine(t, "- {name: r, limit: {concurrency: 2}}")
	a, b, c := e.Decide(get("/", nil)), e.Decide(get("/", nil)), e.Decide(get("/", nil))
	if len(a.Strikes)+len(b.Strikes) != 0 || c.Names() != "r" || c.Broken().Fault.Status != 503 || c.Broken().Retry != time.Second {
		t.Errorf("%+v %+v %+v", a, b, c)
	}
	c.Done()
	if d := e.Decide(get("/", nil)); d.Names() != "r" {
		t.Error("a request above the limit freed a slot")
	}
	a.Done()
	a.Done()
	if d := e.Decide(get("/", nil)); len(d.Strikes) != 0 {
		t.Error("Done freed no slot")
	}
	if d := e.Decide(get("/", nil)); d.Names() != "r" {
		t.Error("a second Done freed another slot")
	}
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, "- {name: r, match: {per: client}, limit: {rate: 2, burst: 4}}")
		count := func(client string, n int) (hits int) {
			for range n {
				if d := e.Decide(get("/", values{"client": {client}})); d != nil && d.Broken() != nil {
					hits++
					if f := d.Broken(); f.Fault.Status != 429 || f.Retry <= 0 || f.Retry > 500*time.Millisecond {
						t.Errorf("%+v", f)
					}
				}
			}
			return hits
		}
		got := []int{count("a", 10), count("b", 5)}
		time.Sleep(1500 * time.Millisecond)
		got = append(got, count("a", 10))
		time.Sleep(time.Hour)
		got = append(got, count("a", 10))
		if diff := gocmp.Diff([]int{6, 1, 7, 6}, got); diff != "" {
			t.Error(diff)
		}
	})
	for i := range 4 {
		if e.Hold() != (i < 2) || e.Held() != min(i+1, 2) {
			t.Errorf("%d requests are held", e.Held())
		}
	}
}

// sample returns the delays of n requests in ascending order.
func sample(t *testing.T, delay string, n int) []float64 {
	e := engine(t, "- {name: r, delay: "+delay+"}")
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(e.Decide(get("/", nil)).Delay())
	}
	slices.Sort(out)
	return out
}

// The Kolmogorov-Smirnov test at the 1 % level: the largest distance between the
// observed distribution and the expected one is below 1.628/√n. The seed is
// fixed, so the outcome is deterministic.
func TestDistributions(t *testing.T) {
	const n, ms = 20000, 1e6
	phi := func(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }
	// The 99th percentile of the standard normal distribution is 2.326348.
	sigma := math.Log(1200./80) / 2.3263478740408408
	for delay, cdf := range map[string]func(float64) float64{
		"{uniform: {min: 10ms, max: 30ms}}":     func(x float64) float64 { return (x - 10*ms) / (20 * ms) },
		"{uniform: {max: 5us}}":                 func(x float64) float64 { return x / 5e3 },
		"{normal: {mean: 100ms, stddev: 10ms}}": func(x float64) float64 { return phi((x - 100*ms) / (10 * ms)) },
		"{p50: 80ms, p99: 1200ms}":              func(x float64) float64 { return phi(math.Log(x/(80*ms)) / sigma) },
		"{lognormal: {p10: 1ms, p90: 100ms}}":   func(x float64) float64 { return phi(math.Log(x/(10*ms)) / (math.Log(10) / 1.2815515655446004)) },
		"{exponential: 50ms}":                   func(x float64) float64 { return 1 - math.Exp(-x/(50*ms)) },
		"{pareto: {min: 1ms, shape: 3}}":        func(x float64) float64 { return 1 - math.Pow(ms/x, 3) },
		"{table: {p0: 0s, p50: 10ms, p90: 20ms, p100: 120ms}}": func(x float64) float64 {
			switch {
			case x < 10*ms:
				return x / (10 * ms) * .5
			case x < 20*ms:
				return .5 + (x-10*ms)/(10*ms)*.4
			}
			return .9 + (x-20*ms)/(100*ms)*.1
		},
	} {
		worst := 0.0
		for i, x := range sample(t, delay, n) {
			share := cdf(x)
			worst = max(worst, share-float64(i)/n, float64(i+1)/n-share)
		}
		if limit := 1.628 / math.Sqrt(n); worst >= limit {
			t.Errorf("%s: distance %.4f, want below %.4f", delay, worst, limit)
		}
	}
}

func TestDelaysAreBounded(t *testing.T) {
	for delay, want := range map[string]time.Duration{
		"200ms":                            200 * time.Millisecond,
		"{normal: {mean: 0s, stddev: 1h}}": -1,
		"{pareto: {min: 1s, shape: 0.01}}": -1,
		"2h":                               time.Hour,
		"{p50: 1s, p51: 1h}":               -1,
	} {
		for _, x := range sample(t, delay, 1000) {
			if d := time.Duration(x); d < 0 || d > time.Hour || want >= 0 && d != want {
				t.Fatalf("%s: %v", delay, d)
			}
		}
	}
}

// Pearson's chi-squared test at the 1 % level, with one degree of freedom, of the
// number of hits and of the number of pairs of consecutive hits.
func TestPercent(t *testing.T) {
	const n = 20000
	for _, percent := range []float64{0.5, 5, 30, 50, 99} {
		e := engine(t, fmt.Sprintf("- {name: r, match: {percent: %v}, delay: 1s}", percent))
		hits, pairs, last := 0., 0., false
		for range n {
			hit := names(e, get("/", nil)) != ""
			if hit {
				hits++
			}
			if hit && last {
				pairs++
			}
			last = hit
		}
		p := percent / 100
		for what, c := range map[string]struct{ got, want float64 }{"hits": {hits, p * n}, "pairs": {pairs, p * p * n}} {
			if c.want < 5 {
				continue // the test needs more
			}
			// Pairs overlap, which increases their variance.
			variance := c.want * (1 - p)
			if what == "pairs" {
				variance = n * (p*p*(1-p*p) + 2*p*p*p*(1-p))
			}
			if x := (c.got - c.want) * (c.got - c.want) / variance; x >= 6.635 {
				t.Errorf("%v %%: %v %s, want about %v: chi-squared %.2f", percent, c.got, what, c.want, x)
			}
		}
	}
}

func TestRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, "- {name: ramp, when: {ramp: {from: 0, to: 50, over: 5m}}, delay: 1s}")
		for minute := range 8 {
			const n = 4000
			hits := 0.
			for range n {
				if names(e, get("/", nil)) != "" {
					hits++
				}
			}
			p := min(float64(minute)/10, .5)
			if x := (hits - p*n) * (hits - p*n) / max(p*(1-p)*n, 1e-9); x >= 6.635 {
				t.Errorf("minute %d: %v of %d, chi-squared %.2f", minute, hits, n, x)
			}
			time.Sleep(time.Minute)
		}
	})
}

// The outcome of the n-th request of a rule does not depend on its client.
func TestSeedRepeatsOutcomesForAnyNumberOfClients(t *testing.T) {
	const n = 1920
	run := func(seed uint64, clients int) []string {
		s, err := scenario.Parse("x", []byte(fmt.Sprintf(`
seed: %d
rules:
- {name: a, match: {percent: 30}, delay: {p50: 80ms, p99: 1200ms, at: both}, combine: true}
- {name: b, match: {per: "header:k", percent: 50}, when: {every: 3}, fault: {status: 500}, delay: {exponential: 1s}}
- {name: c, match: {percent: 20}, fault: {garbage: true}}
`, seed)))
		if err != nil {
			t.Fatal(err)
		}
		e := scenario.NewEngine(99, "pod-0", scenario.Limits{Delay: time.Hour, Held: 1, Keys: 1000})
		e.Apply(s)
		var mu sync.Mutex
		var out []string
		var all sync.WaitGroup
		for c := range clients {
			all.Go(func() {
				for i := c; i < n; i += clients {
					d := e.Decide(get("/", values{"K": {fmt.Sprint(i % 3)}}))
					if d == nil {
						continue
					}
					mu.Lock()
					for _, s := range d.Strikes {
						out = append(out, fmt.Sprintf("%s %d %v %v %x", s.Rule, s.N, s.Delay, s.Chunk(1), s.Garbage(4)))
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		slices.Sort(out)
		return out
	}
	want := run(7, 1)
	for _, clients := range []int{1, 8, 64} {
		if diff := gocmp.Diff(want, run(7, clients)); diff != "" {
			t.Errorf("%d clients: %s", clients, diff)
		}
	}
	if slices.Equal(want, run(8, 1)) || len(want) < n/3 {
		t.Errorf("another seed gave the same %d hits", len(want))
	}
}

func BenchmarkNoRules(b *testing.B) {
	e, req := engine(b, "[]"), get("/api/info", nil)
	for b.Loop() {
		if !e.Idle() {
			e.Decide(req)
		}
	}
}

// The rules have paths, prefixes, headers, queries and hosts, none of which
// matches the request.
func Benchmark1000RulesNoneMatches(b *testing.B) {
	e, req := engine(b, thousand()), get("/api/info", values{"X-User": {"nobody"}})
	for b.Loop() {
		if e.Decide(req) != nil {
			b.Fatal("hit")
		}
	}
}

func Benchmark1000RulesOneHits(b *testing.B) {
	e, req := engine(b, thousand()), get("/api/info", values{"X-User": {"99"}})
	for b.Loop() {
		d := e.Decide(req)
		if d.Names() != "u99" {
			b.Fatal(d)
		}
		d.Done()
	}
}

func thousand() string {
	var out strings.Builder
	for i := range 200 {
		fmt.Fprintf(&out, "- {name: p%d, match: {path: /p/%d}, delay: 1s}\n", i, i)
		fmt.Fprintf(&out, "- {name: t%d, match: {path: /t/%d/*}, delay: 1s}\n", i, i)
		fmt.Fprintf(&out, "- {name: u%d, match: {path: /api/*, headers: {x-user: '%d'}}, delay: 1s}\n", i, i)
		fmt.Fprintf(&out, "- {name: h%d, match: {host: '%d.example.com'}, delay: 1s}\n", i, i)
		fmt.Fprintf(&out, "- {name: i%d, match: {path: '/users/%d/{id}'}, fault: {reset: true}}\n", i, i)
	}
	return out.String()
}
