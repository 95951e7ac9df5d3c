package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file in testdata, or writes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is out of date: run `go test ./cmd/podcli -update` and read the difference\n%s", file, diff)
	}
}

func TestFaultCheck(t *testing.T) {
	const invalid = "testdata/mistakes.yaml"
	r := run(t, "fault", "check", invalid, "testdata/scenario.yaml", "testdata/nowhere.yaml")
	if r.code != 1 || r.out != "testdata/scenario.yaml: 8 rules\n" {
		t.Errorf("%+v", r)
	}
	golden(t, "mistakes.golden", r.err)

	if r := runWith(t, "name: a\ndelay: 1ms\n", "fault", "check", "-"); r != (ran{out: "stdin: 1 rule\n"}) {
		t.Errorf("%+v", r)
	}
	runWith(t, "delay: 1ms\n", "fault", "check", "-").expect(t, 1, "stdin:1:1: ", `missing key "name"`)
	runWith(t, "rules: [", "fault", "check", "-").expect(t, 1, "stdin:1:1: did not find expected node content")
	runWith(t, strings.Repeat("# much\n", 200_000), "fault", "check", "-").expect(t, 1, "stdin: larger than 1048576 bytes")
	r = runWith(t, "rules: [{name: \"a\\e[2Jb\", delay: 1ms}]", "fault", "check", "-")
	r.expect(t, 1, `rule "a\x1b[2Jb": name: invalid name; use at most 63 letters`)
}

func TestFaultCheckWarns(t *testing.T) {
	const shadowed = "rules:\n- {name: a, match: {path: /api/*}, delay: 1ms}\n- {name: b, match: {path: /api/info}, fault: {status: 503}}\n"
	const problem = `never hits, as rule "a" hits all matching requests first`
	r := runWith(t, shadowed, "fault", "check", "-")
	r.expect(t, 0, `stdin:3:10: rule "b": warning: `+problem)
	if r.out != "stdin: 2 rules\n" {
		t.Errorf("%+v", r)
	}
	o := runWith(t, shadowed, "fault", "check", "-", "-o=json").object(t)
	want := map[string]any{"file": "stdin", "ok": true, "rules": 2.0, "errors": []any{}, "warnings": []any{
		map[string]any{"line": 3.0, "column": 10.0, "rule": "b", "field": "", "problem": problem},
	}}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Error(diff)
	}
	r = runWith(t, "rules: [{delay: 1}]", "fault", "check", "-", "-o=json")
	o = r.object(t)
	if r.code != 1 || r.err != "" || o["ok"] != false || len(o["errors"].([]any)) != 2 || o["errors"].([]any)[1].(map[string]any)["rule"] != "#1" {
		t.Errorf("%+v", r)
	}
}

// TestFaultCheckKnowsPodinfo checks the warnings about what podinfo does with a rule
// that is valid.
func TestFaultCheckKnowsPodinfo(t *testing.T) {
	for rule, want := range map[string]string{
		"match: {path: /readyz}, fault: {status: 503}":                 `match.path: warning: "/readyz" is the path of an internal route, which only a rule with internal: true and a literal path matches`,
		"match: {path: '~/healthz|/readyz'}, delay: 1s":                `"~/healthz|/readyz" is the path of an internal route`,
		"match: {grpc: grpc.health.v1.Health/Check}, delay: 1s":        `match.grpc: warning: "grpc.health.v1.Health/Check" is a method of health or reflection`,
		"match: {path: /version}, fault: {websocket: {cut: true}}":     `fault: warning: websocket does nothing at "/version", as no route there is a WebSocket`,
		"match: {path: /chat}, fault: {websocket: {cut: true}}":        "", // of the service behind a proxy
		"match: {path: /ws/echo}, fault: {bad-chunk: true}":            `fault: warning: does nothing at "/ws/echo", which is a WebSocket`,
		"match: {path: /healthz}, delay: 1s":                           `"/healthz" is the path of an internal route`,
		"match: {path: /metrics}, delay: 1s":                           `"/metrics" is the path of an internal route`,
		"match: {path: '/debug/pprof/*'}, delay: 1s":                   `"/debug/pprof/*" is the path of an internal route`,
		"match: {path: '/readyz*'}, delay: 1s":                         `"/readyz*" is the path of an internal route`,
		"match: {path: /readyz, internal: true}, fault: {status: 503}": "",
		"match: {path: '/*'}, delay: 1s":                               "",
		"match: {path: /orders}, delay: 1s":                            "", // of the service behind a proxy
		"fault: {tls: {delay: 2m}}":                                    "fault.tls.delay: warning: a delay of 2m0s is above the server's longest, 1m0s (PODINFO_FAULTS_MAX_DELAY)",
		"fault: {websocket: {delay: 2m}}":                              "fault.websocket.delay: warning: a delay of 2m0s",
		"limit: {concurrency: 1, queue: 1, wait: 2m}":                  "limit.wait: warning: a delay of 2m0s",
	} {
		for _, command := range []string{"check", "simulate"} {
			for _, file := range []string{"rules: [{name: r, " + rule + "}]", "{name: r, " + rule + "}"} {
				r := runWith(t, file, "fault", command, "-")
				if r.code != 0 || !strings.Contains(r.err, want) || (r.err != "") != (want != "") {
					t.Errorf("%s %s: %+v", command, file, r)
				}
			}
		}
	}
}

// TestFaultSimulate checks that the same arguments always print the same.
func TestFaultSimulate(t *testing.T) {
	for name, args := range map[string][]string{
		"simulate.golden": {"-n=2000", "--rate=20"},
		"request.golden":  {"-n=1000", "--path=/api/info", "--method=POST", "--header=X-User: beta", "--query=debug=1", "--host=shop.example.com", "--seed=7", "--start=21:59:55"},
		"call.golden":     {"-n=100", "--grpc=echo.EchoService/Echo", "--header=x-user: beta"},
		"simulate.json":   {"-n=500", "-o=json"},
	} {
		args = append([]string{"fault", "simulate", "testdata/scenario.yaml"}, args...)
		r := run(t, args...)
		if r.code != 0 || r.err != "" {
			t.Errorf("%s: %+v", name, r)
		}
		if again := run(t, args...); again != r {
			t.Errorf("%s: the second run differs", name)
		}
		golden(t, name, r.out)
	}
}

// TestFaultSimulateFlags checks each flag with a rule whose hits depend on it.
func TestFaultSimulateFlags(t *testing.T) {
	for _, c := range []struct {
		rule string
		args []string
		hits float64
	}{
		{"limit: {concurrency: 5}", []string{"--rate=1000", "--took=10ms"}, 500},
		{"limit: {concurrency: 5}", []string{"--rate=1000", "--took=5ms"}, 0},
		{"limit: {rate: 10, burst: 10}", []string{"--rate=100"}, 891}, // a burst of 10 and 9.99 s at 10 per second let 109 requests pass
		{"match: {per: client}\nwhen: {first: 2}\ndelay: 1ms", []string{"--keys=7"}, 14},
		{"match: {per: 'header:x'}\nwhen: {first: 1}\ndelay: 1ms", nil, 10},
		{"match: {per: 'header:x'}\nwhen: {first: 1}\ndelay: 1ms", []string{"--path=/"}, 0},
		{"match: {per: 'header:x'}\nwhen: {first: 1}\ndelay: 1ms", []string{"--header=x: y"}, 1},
		{"match: {path: /healthz, internal: true}\ndelay: 1ms", []string{"--path=/healthz", "--internal"}, 1000},
		{"match: {path: /healthz}\ndelay: 1ms", []string{"--path=/healthz", "--internal"}, 0},
		{"match: {server: pod-1}\ndelay: 1ms", []string{"--pod=pod-2"}, 0},
		{"match: {server: pod-*}\ndelay: 1ms", nil, 1000},
		{"fault: {websocket: {close: 1011}}", []string{"--path=/ws/echo"}, 0},
		{"fault: {websocket: {close: 1011}}", []string{"--websocket"}, 1000},
		{"when: {daily: {from: '23:00', to: '23:00:05'}}\ndelay: 1ms", []string{"--start=22:59:58"}, 500},
		{"ttl: 2s\ndelay: 1ms", nil, 200},
		{"match: {path: '~/v[1-3]/(items|orders)/\\d+', headers: {x-user: '~b.*'}}\ndelay: 1ms", nil, 1000},
		{"match: {path: '~/v[1-3]/.*'}\ndelay: 1ms", []string{"--path=/v4/x"}, 0},
		{"match: {cookie: {session: a*}, claim: {sub: ann, $.roles.kind: '*'}, json: {$.user.id: '7'}}\ndelay: 1ms", nil, 1000},
		{"match: {claim: {sub: ann}}\ndelay: 1ms", []string{"--claim=sub=bob"}, 0},
		{"match: {claim: {sub: ann}}\ndelay: 1ms", []string{"--claim=sub=ann"}, 1000},
		{"match: {json: {'$.items[0].sku': A*}}\ndelay: 1ms", []string{"--json=$.items[0].sku=AB"}, 1000},
		{"match: {cookie: {session: b}}\ndelay: 1ms", []string{"--header=Cookie: a=b; session=b"}, 1000},
		{"match: {path: /a*, not: {path: /ab}}\ndelay: 1ms", []string{"--path=/ab"}, 0},
		{"match: {path: /a*, not: {path: /ab}}\ndelay: 1ms", []string{"--path=/ac"}, 1000},
		{"match: {per: 'header:x', sticky: 30}\ndelay: 1ms", nil, 306}, // of 1000 keys
		{"match: {per: client, sticky: 5}\ndelay: 1ms", []string{"--keys=10"}, 0},
		{"choose: [{percent: 100, fault: {websocket: {cut: true}}}]", nil, 1000},
		{"choose: [{percent: 100, fault: {grpc: ABORTED}}]", nil, 1000},
		{"choose: [{percent: 100, fault: {tls: {stall: true}}}]", nil, 1000},
		{"choose: [{percent: 100, fault: {connection: {refuse: true}}}]", nil, 1000},
		{"match: {tcp: db}\nchoose: [{percent: 100, fault: {close: 1s}}]", nil, 1000},
		{"match: {grpc: grpc.health.v1.Health/Check}\ndelay: 1ms", nil, 0},
		{"match: {grpc: grpc.health.v1.Health/Check, internal: true}\ndelay: 1ms", nil, 1000},
		{"delay: 1ms", []string{"--grpc=grpc.health.v1.Health/Check"}, 0},
		{"match: {per: 'cookie:c'}\nwhen: {first: 2}\ndelay: 1ms", nil, 20},
		{"match: {per: 'claim:sub'}\nwhen: {first: 2}\ndelay: 1ms", nil, 20},
		{"match: {per: 'json:$.id'}\nwhen: {first: 2}\nshared: true\ndelay: 1ms", nil, 20},
		{"match: {instance: {name: pod-*, version: 6.*, labels: {track: canary}, zone: '~eu-.*'}}\ndelay: 1ms", nil, 1000},
		{"match: {instance: {version: 6.*}}\ndelay: 1ms", []string{"--server-version=7.0.0"}, 0},
		{"match: {instance: {labels: {track: canary}}}\ndelay: 1ms", []string{"--label=track=stable"}, 0},
		{"match: {instance: {zone: a}}\ndelay: 1ms", []string{"--zone=b"}, 0},
		{"when: {burst: {enter: 1%, leave: 20%}}\ndelay: 1ms", nil, 82}, // one in 21 on average
		{"when: {cron: '0 9 * * 1-5', for: 5s, zone: Europe/Berlin}\ndelay: 1ms", []string{"--start=2026-07-06 06:59:58"}, 500},
		{"when: {cron: '0 9 * * 1-5', for: 5s, zone: Europe/Berlin}\ndelay: 1ms", []string{"--start=2026-07-05 06:59:58"}, 0}, // a Sunday
		{"when: {weekdays: [mon, tue]}\ndelay: 1ms", nil, 1000},
		{"when: {weekdays: [tue]}\ndelay: 1ms", []string{"--start=23:59:58"}, 800},
		{"limit: {concurrency: 1, queue: 100, wait: 1s}", []string{"--rate=100", "--took=10ms"}, 0},
		{"limit: {concurrency: 1, queue: 3, wait: 1s}", []string{"--rate=200", "--took=10ms"}, 497}, // half of them, less the three that wait at the end
		{"limit: {concurrency: 1, queue: 100, wait: 25ms}", []string{"--rate=200", "--took=10ms"}, 497},
		{"when: {flap: {hit: 1s, pass: 3s}}\nfault: {unready: true}", nil, 300},
	} {
		r := runWith(t, "name: r\n"+c.rule, append([]string{"fault", "simulate", "-", "-n=1000", "-o=json"}, c.args...)...)
		if r.code != 0 {
			t.Fatalf("%s %s: %+v", c.rule, c.args, r)
		}
		if rule := r.object(t)["rules"].([]any)[0].(map[string]any); rule["hits"] != c.hits {
			t.Errorf("%s %s: %v hits, want %v", c.rule, c.args, rule["hits"], c.hits)
		}
	}
	for keys, want := range map[string]string{
		"--keys=10":  "\nr: no request has a key that is among its 5 %; simulate more with --keys\n",
		"--keys=0":   "\nKeys      1000 clients, and values of each key that rules count by\n",
		"--keys=500": "  keys        25\n",
	} {
		if r := runWith(t, "name: r\nfault: {status: 503}\nmatch: {per: client, sticky: 5}", "fault", "simulate", "-", keys); !strings.Contains(r.out, want) {
			t.Errorf("%s: want %q in\n%s", keys, want, r.out)
		}
	}
	described := runWith(t, "name: r\nfault: {status: 503}\nmatch: {per: 'header:x', sticky: 5}", "fault", "simulate", "-", "--path=/")
	if want := "\nr: flags describe the request, so that it has only their values of header:x; without them each request gets a key\n"; !strings.Contains(described.out, want) {
		t.Errorf("--path: want %q in\n%s", want, described.out)
	}
	r := runWith(t, "name: r\ndelay: 1h", "fault", "simulate", "-", "-n=10", "-o=json", "--max-delay=3s").object(t)
	if got := r["delay"].(map[string]any)["max"]; got != 3.0 {
		t.Errorf("max-delay: %v", got)
	}
}

// TestFaultSimulateExamples checks that every rule of the examples gets requests that
// it matches.
func TestFaultSimulateExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/scenarios/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	if r := run(t, append([]string{"fault", "check"}, files...)...); r.code != 0 || r.err != "" {
		t.Errorf("%+v", r)
	}
	for _, file := range append(files, "testdata/scenario.yaml") {
		touched := map[string]bool{}
		for _, start := range []string{"12:00", "01:30", "02:00", "23:00"} { // some rules apply only at night
			r := run(t, "fault", "simulate", file, "-o=json", "-n=2000", "--rate=10", "--keys=100", "--start", start)
			var o struct {
				Requests, Hit, Passed int
				Rules                 []struct {
					Name    string
					Matched int
					Faults  map[string]int
				}
			}
			if err := json.Unmarshal([]byte(r.out), &o); err != nil || o.Requests != 2000 || o.Hit+o.Passed != o.Requests {
				t.Fatalf("%s: %v %+v", file, err, r)
			}
			for _, rule := range o.Rules {
				touched[rule.Name] = touched[rule.Name] || rule.Matched > 0 || rule.Faults["unready"] > 0
			}
		}
		for name, done := range touched {
			if !done {
				t.Errorf("%s: no request of %s", file, name)
			}
		}
	}
}

func TestBucketsHoldAll(t *testing.T) {
	var sorted = mustDurations("0s 1us 2us 3us 5us 6us 10us 11us 1s 1m 59m")
	var sum int64
	out := bucketsOf(slices.Clone(sorted))
	for i, b := range out {
		sum += b.Count
		if i > 0 && b.Le <= out[i-1].Le {
			t.Errorf("%v", out)
		}
	}
	if sum != int64(len(sorted)) || out[0].Count != 2 || out[1].Count != 1 || out[2].Count != 2 || out[3].Count != 2 || out[len(out)-1].Le < sorted[len(sorted)-1] {
		t.Errorf("%v", out)
	}
}

func mustDurations(text string) (out []time.Duration) {
	for word := range strings.FieldsSeq(text) {
		d, err := time.ParseDuration(word)
		if err != nil {
			panic(err)
		}
		out = append(out, d)
	}
	return out
}
