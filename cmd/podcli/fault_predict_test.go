package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/clitest"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// schemaKey is a key of the schema of scenarios.
type schemaKey struct {
	Type       any
	Properties map[string]*schemaKey
	Items      *schemaKey
	AnyOf      []*schemaKey
	Enum       []any
	Examples   []any
}

// keys calls f for each key below k other than those of the fault, with a value.
func (k *schemaKey) keys(path []string, f func(path []string, example any)) {
	for _, in := range append(slices.Clone(k.AnyOf), k.Items) {
		if in != nil {
			in.keys(path, f)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.Properties)) {
		p, at := k.Properties[name], append(slices.Clone(path), name)
		if name == "fault" || name == "choose" && len(path) > 0 {
			continue
		}
		switch {
		case len(p.Examples) > 0:
			f(at, p.Examples[0])
		case len(p.Enum) > 0:
			f(at, p.Enum[len(p.Enum)-1])
		case p.Type == "boolean":
			f(at, true)
		case p.Items != nil && len(p.Items.Enum) > 0:
			f(at, p.Items.Enum[:1])
		}
		p.keys(at, f)
	}
}

// contexts are what a key needs besides itself, by its path: the rest of the rule,
// and flags. A key without an entry needs nothing.
var contexts = map[string]struct {
	rule string
	args []string
}{
	"at":             {"fault: {status: 503}", nil},
	"combine":        {"delay: 1ms", nil},
	"sync":           {"match: {percent: 50}", []string{"--pod=a"}},
	"ttl":            {"", []string{"--rate=0.1"}},
	"shared":         {"when: {first: 2}", nil},
	"match.internal": {"match: {path: /healthz}", nil},
	"match.methods":  {"", []string{"--method=PUT"}},
	"match.sticky":   {"match: {per: client}", []string{"--keys=100"}},
	"match.per":      {"when: {first: 1}", nil},

	"match.instance.version": {"", []string{"--server-version=7.0"}},
	"match.instance.labels":  {"", []string{"--label=track=stable"}},
	"match.instance.zone":    {"", []string{"--zone=us-east-1a"}},

	// A rule with reply is asked after the one below it, which hits every request.
	"match.reply.status":  {"", []string{"--reply-status=503"}},
	"match.reply.headers": {"", []string{"--reply-header=Location: /orders/7"}},
	"match.reply.code":    {"", []string{"--grpc=echo.EchoService/Echo", "--reply-code=UNAVAILABLE"}},

	"match.not.path":             {"", []string{"--path=/api/x"}},
	"match.not.methods":          {"", []string{"--method=POST"}},
	"match.not.host":             {"", []string{"--host=a.example.com"}},
	"match.not.headers":          {"", []string{"--header=x-user: beta-1"}},
	"match.not.query":            {"", []string{"--query=debug=1"}},
	"match.not.cookie":           {"", []string{"--header=Cookie: session=a"}},
	"match.not.claim":            {"", []string{"--claim=sub=ann"}},
	"match.not.json":             {"", []string{"--json=$.user.id=7"}},
	"match.not.body":             {"", []string{"--json=$.e=error"}},
	"match.not.grpc":             {"", []string{"--grpc=echo.EchoService/Echo"}},
	"match.not.server":           {"", []string{"--pod=podinfo-1"}},
	"match.not.instance.name":    {"", []string{"--pod=podinfo-0"}},
	"match.not.instance.version": {"", []string{"--server-version=6.1"}},
	"match.not.instance.labels":  {"", []string{"--label=track=canary"}},
	"match.not.instance.zone":    {"", []string{"--zone=eu-west-1a"}},

	"match.unverified":    {"match: {claim: {sub: ann}}", nil},
	"when.cycle":          {"when: {outcomes: [hit, pass]}", nil},
	"when.cron":           {"when: {for: 1m}", nil},
	"when.zone":           {"when: {daily: {from: '00:00', to: '12:00'}}", []string{"--start=11:30", "--rate=0.1"}},
	"when.for":            {"", []string{"--rate=0.1"}},
	"when.from":           {"", []string{"--start=2026-03-01 09:29", "--rate=1"}},
	"when.until":          {"", []string{"--start=2026-03-01 10:29", "--rate=1"}},
	"when.weekdays":       {"", []string{"--start=2026-03-01 23:59", "--rate=1"}},
	"when.window.from":    {"", []string{"--rate=0.1"}},
	"when.window.to":      {"", []string{"--rate=0.1"}},
	"when.daily.from":     {"when: {daily: {to: '23:59'}}", []string{"--start=22:25", "--rate=0.1"}},
	"when.daily.to":       {"when: {daily: {from: '00:00'}}", []string{"--start=05:55", "--rate=0.1"}},
	"when.flap.hit":       {"when: {flap: {pass: 5s}}", []string{"--rate=1"}},
	"when.flap.pass":      {"when: {flap: {hit: 5s}}", []string{"--rate=1"}},
	"when.ramp.from":      {"when: {ramp: {to: 100, over: 10m}}", nil},
	"when.ramp.to":        {"when: {ramp: {from: 100, over: 10m}}", []string{"--rate=1"}},
	"when.ramp.over":      {"when: {ramp: {from: 0, to: 100}}", []string{"--rate=1"}},
	"when.burst.enter":    {"when: {burst: {leave: 20%}}", nil},
	"when.burst.leave":    {"when: {burst: {enter: 1%}}", nil},
	"limit.queue":         {"limit: {concurrency: 1}", []string{"--rate=1000"}},
	"limit.wait":          {"limit: {concurrency: 1, queue: 100}", []string{"--rate=200", "--took=100ms"}},
	"limit.burst":         {"limit: {rate: 1}", nil},
	"limit.concurrency":   {"", []string{"--rate=10000", "--took=20ms"}},
	"delay.at":            {"delay: {fixed: 1ms}", nil},
	"delay.uniform.min":   {"delay: {uniform: {max: 1s}}", nil},
	"delay.normal.mean":   {"delay: {normal: {stddev: 1ms}}", nil},
	"delay.normal.stddev": {"delay: {normal: {mean: 1s}}", nil},
	"delay.pareto.min":    {"delay: {pareto: {shape: 1}}", nil},
	"delay.pareto.shape":  {"delay: {pareto: {min: 1s}}", nil},
}

// simulated returns what the simulation says about a rule and one below it, and
// false if the rule is incomplete.
func simulated(t *testing.T, rule map[string]any, args []string) (result string, ok bool) {
	t.Helper()
	file, err := json.Marshal(map[string]any{"rules": []any{rule, map[string]any{"name": "below", "delay": "1ms"}}})
	if err != nil {
		t.Fatal(err)
	}
	r := runWith(t, string(file), append([]string{"fault", "simulate", "-", "-n=600", "-o=json"}, args...)...)
	return r.out, r.code == 0
}

// merge adds a value at a path to a rule.
func merge(rule map[string]any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		inner, ok := rule[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			rule[name] = inner
		}
		rule = inner
	}
	rule[path[len(path)-1]] = value
}

// ruleWith returns a rule that does something, with a value at a path, or with such
// an alternative.
func ruleWith(t *testing.T, text string, path []string, value any, choice bool) map[string]any {
	t.Helper()
	rule := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &rule); err != nil {
		t.Fatal(err)
	}
	if path != nil {
		merge(rule, path, value)
	}
	if rule["fault"] == nil && rule["delay"] == nil && rule["limit"] == nil {
		rule["fault"] = map[string]any{"status": 500, "grpc": "ABORTED"}
		if path != nil && path[len(path)-1] == "tcp" {
			rule["fault"] = map[string]any{"reset": true}
		}
	}
	if choice {
		if rule["percent"] == nil {
			rule["percent"] = 50
		}
		rule = map[string]any{"choose": []any{rule}}
	}
	rule["name"] = "r"
	return rule
}

// TestSimulateKnowsEveryKey checks that each key of a rule, other than the details
// of a fault, changes the simulation's result, or that the result names it as one
// that cannot be predicted. A new key fails until it does.
func TestSimulateKnowsEveryKey(t *testing.T) {
	var root schemaKey
	if err := json.Unmarshal(scenario.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	checked := map[string]bool{}
	root.Properties["rules"].keys(nil, func(path []string, example any) {
		key := strings.Join(path, ".")
		checked[key] = true
		if key == "name" {
			return
		}
		in, choice := contexts[key], path[0] == "choose"
		if choice {
			in = contexts[strings.TrimPrefix(key, "choose.")]
			path = path[1:]
		}
		with, without := ruleWith(t, in.rule, path, example, choice), ruleWith(t, in.rule, nil, nil, choice)
		got, ok := simulated(t, with, in.args)
		if !ok {
			t.Errorf("%s: the simulation of %v failed: add what it needs to contexts", key, with)
			return
		}
		before, ok := simulated(t, without, in.args)
		if strings.Contains(got, `"`+key+": ") { // named as unpredictable
			return
		}
		if ok && got == before {
			t.Errorf("%s: %v and %v give the same: let simulate honour the key, or give it the tag unpredictable", key, with, without)
		}
		if strings.HasPrefix(key, "match.") && len(in.args) == 0 {
			var o struct{ Rules []struct{ Hits int } }
			if err := json.Unmarshal([]byte(got), &o); err != nil || o.Rules[0].Hits == 0 {
				t.Errorf("%s: simulate sends no request that %v matches (%v)", key, with, err)
			}
		}
	})
	for key := range contexts {
		if !checked[key] {
			t.Errorf("contexts has %q, which is no key", key)
		}
	}
	if len(checked) < 60 {
		t.Errorf("only %d keys", len(checked))
	}
}

// TestSimulateIsTrue checks that a server does what the simulation says, rule by rule.
func TestSimulateIsTrue(t *testing.T) {
	p := servePodinfo(t, "PODINFO_INSTANCE=pod-3", "PODINFO_FAULTS_MAX_DELAY=5s")
	now := time.Now().UTC()
	hour := func(n int) string { return now.Add(time.Duration(n) * time.Hour).Format(time.RFC3339) }
	day := func(n int) string { return strings.ToLower(now.AddDate(0, 0, n).Format("Mon")) }
	for i, c := range []struct {
		rules, path string
		key         string // header with key-0 to key-9 in turn
		n           int
		parallel    bool
		args        []string
	}{
		{rules: "- {name: r, match: {percent: 30}, fault: {status: 500}}\n- {name: s, when: {every: 3, after: 4}, fault: {status: 503}}", n: 200},
		{rules: "- {name: r, at: after, match: {percent: 40}, fault: {status: 504}}", n: 100},
		{rules: "- {name: r, at: after, when: {every: 2}, fault: {reset: true}}", n: 20},
		{rules: "- {name: r, match: {percent: 25}, fault: {reply: {status: 202, append: more}}}", n: 100},
		{rules: "- {name: r, choose: [{percent: 20, fault: {status: 500}}, {percent: 30, fault: {status: 503}}, {percent: 10, delay: 1ms}]}", n: 200},
		{rules: "- {name: r, match: {per: 'header:x-user', sticky: 40}, fault: {status: 503}}", n: 100, key: "x-user"},
		{rules: "- {name: r, match: {per: 'header:x-user'}, when: {first: 2}, fault: {status: 503}}", n: 100, key: "x-user"},
		{rules: "- {name: r, match: {per: 'header:x-user', percent: 50}, fault: {status: 503}}", n: 100, key: "x-user"},
		{rules: "- {name: r, match: {path: '/v*', not: {methods: [POST]}}, fault: {status: 503}}", n: 10},
		{rules: "- {name: r, match: {path: '/*', not: {path: /version}}, fault: {status: 503}}", n: 10},
		{rules: "- {name: r, when: {burst: {enter: 5%, leave: 20%}}, fault: {status: 503}}", n: 300},
		{rules: "- {name: r, sync: fleet, match: {percent: 50}, fault: {status: 503}}", n: 100},
		{rules: "- {name: r, when: {cron: '* * * * *', for: 1m}, fault: {status: 503}}", n: 10},
		{rules: "- {name: r, when: {cron: '0 0 29 2 *', for: 1m}, fault: {status: 503}}", n: 10},
		{rules: "- {name: r, when: {weekdays: [" + day(0) + "]}, fault: {status: 503}}", n: 10},
		{rules: "- {name: r, when: {weekdays: [" + day(2) + ", " + day(-2) + "]}, fault: {status: 503}}", n: 10},
		{rules: "- {name: r, when: {from: '" + hour(-1) + "', until: '" + hour(1) + "', every: 2}, fault: {status: 503}}", n: 10},
		{rules: "- {name: r, when: {from: '" + hour(1) + "'}, fault: {status: 503}}", n: 10},
		{rules: "- {name: r, when: {until: '" + hour(-1) + "'}, fault: {status: 503}}", n: 10},
		{rules: "- {name: r, match: {path: '/delay/*'}, limit: {concurrency: 1, queue: 2}}", path: "/delay/1", n: 6, parallel: true, args: []string{"--rate=1000", "--took=1s", "--max-delay=5s"}},
		{rules: "- {name: r, match: {path: /readyz}, fault: {status: 503}}", path: "/readyz", n: 5},
		{rules: "- {name: r, match: {path: /readyz, internal: true}, fault: {status: 503}}", path: "/readyz", n: 5},
		{rules: "- {name: r, combine: true, match: {percent: 50}, delay: 1ms}\n- {name: s, match: {percent: 50}, fault: {status: 503}}", n: 100},
		{rules: "- {name: r, match: {not: {methods: [GET], path: /version}}, fault: {status: 503}}", n: 5},
	} {
		if c.path == "" {
			c.path = "/version"
		}
		file := fmt.Sprintf("seed: %d\nrules:\n%s\n", 100+i, c.rules)
		if r := runWith(t, file, "fault", "apply", "-", "--server", p.admin, "--token", clitest.AdminToken); r.code != 0 {
			t.Fatalf("%s: %+v", c.rules, r)
		}
		send := func(i int) {
			req, err := http.NewRequest("GET", p.url+c.path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if c.key != "" {
				req.Header.Set(c.key, fmt.Sprintf("key-%d", i%10))
			}
			req.Close = true // a connection that is reset is not tried again
			if res, err := http.DefaultClient.Do(req); err == nil {
				res.Body.Close()
			}
		}
		var all sync.WaitGroup
		for i := range c.n {
			if c.parallel {
				all.Go(func() { send(i) })
			} else {
				send(i)
			}
		}
		all.Wait()
		args := append([]string{"fault", "simulate", "-", "--pod=pod-3", "-o=json", fmt.Sprint("-n=", c.n), "--start=" + now.Format(time.DateTime)}, c.args...)
		if c.key == "" { // otherwise simulate sends the keys that the server gets
			args = append(args, "--path="+c.path)
		} else {
			args = append(args, "--keys=10")
		}
		simulation := runWith(t, file, args...).object(t)["rules"].([]any)
		list := run(t, "fault", "list", "-o=json", "--server", p.admin, "--token", clitest.AdminToken).object(t)["rules"].([]any)
		type counts struct{ Seen, Hits any }
		got, want := map[string]counts{}, map[string]counts{}
		for _, x := range list {
			o := x.(map[string]any)
			got[o["rule"].(map[string]any)["name"].(string)] = counts{o["seen"], o["hits"]}
		}
		for _, x := range simulation {
			o := x.(map[string]any)
			if name := o["name"].(string); !strings.Contains(name, ".") { // alternatives count with their rule
				want[name] = counts{o["matched"], o["hits"]}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the simulation (-) and the server (+) differ:\n%s", c.rules, diff)
		}
	}
}
