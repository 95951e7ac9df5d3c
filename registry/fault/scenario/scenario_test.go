package scenario_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// everything is a scenario that uses every field.
const everything = `
seed: 42
rules:
- name: checkout-is-slow
  match: { path: /api/*, methods: [POST], host: "*.example.com", headers: { x-user: beta }, query: { a: "1" }, percent: 30, per: client }
  delay: { p50: 80ms, p99: 1200ms, at: both }
- { name: internal, match: { path: /healthz, internal: true }, when: { for: 1m, window: { from: 10s, to: 20s }, daily: { from: "22:30", to: "06:00:30" } }, fault: { status: 503, headers: { Retry-After: 1 }, body: x } }
- { name: calls, match: { grpc: echo.EchoService/*, headers: { x: "*" } }, when: { every: 10, after: 5, first: 2 }, fault: { grpc: UNAVAILABLE }, ttl: 10m }
- { name: mid-stream, match: { grpc: "*", per: "header:x" }, fault: { grpc: { code: data_loss, message: gone, after: 3 } } }
- { name: told, fault: { grpc: { code: ABORTED, details: { retry-info: 2s, error-info: { reason: R, domain: d, metadata: { k: v } }, bad-request: { f: x }, quota-failure: { s: x }, help: { docs: "https://example.com" }, localized-message: { en: x }, debug-info: x } } } }
- { name: told-shortly, fault: { grpc: { code: ABORTED, details: { retry-info: { delay: 1s }, error-info: R } } } }
- { name: both, fault: { status: 503, grpc: { code: Unavailable } }, combine: true }
- { name: f1, match: { server: "*-0" }, fault: { reset: true, truncate: 0 } }
- { name: f2, fault: { empty: true }, delay: 50µs }
- { name: f3, fault: { bad-chunk: true }, delay: { fixed: 1s } }
- { name: f4, fault: { garbage: true }, delay: { uniform: { min: 1ms, max: 2ms } } }
- { name: f5, fault: { stall: 1s }, delay: { normal: { mean: 10ms, stddev: 1ms } } }
- { name: f6, fault: { stall: { after: 10, for: 1s } }, delay: { exponential: 10ms } }
- { name: f7, fault: { bandwidth: 1024 }, delay: { exponential: { mean: 10ms } } }
- { name: f8, fault: { goaway: true }, delay: { pareto: { min: 1ms, shape: 1.5 } } }
- { name: f9, fault: { websocket: { close: 1011, reason: x, after: 2, drop: 10, delay: 10ms } }, delay: { table: { p0: 0s, p99.9: 10ms, p100: 1s }, at: chunks } }
- { name: f9in, fault: { websocket: { drop: 10, direction: in } } }
- { name: f10, when: { flap: { hit: 1s, pass: 2s } }, fault: { unready: true } }
- { name: shed, limit: { concurrency: 10 } }
- { name: elsewhere, match: { server: [pod-1, "web-*"], methods: GET }, when: { from: 2026-01-01T00:00:00+01:00, until: 2036-01-01T00:00:00Z }, sync: fleet, fault: { status: 503, grpc: 14 } }
- { name: mix, choose: [ { percent: 5, fault: { status: 500 } }, { name: slow, percent: 3.5, delay: 1s } ] }
- { name: bucket, match: { per: "query:a" }, limit: { rate: 2.5, burst: 10 }, when: { ramp: { from: 0, to: 50, over: 5m }, outcomes: [hit, pass], cycle: true } }
- { name: some, match: { path: "~/v[0-9]+/.*", cookie: { a: b }, claim: { sub: x, "$.roles[*]": admin }, unverified: true, json: { $.user.id: "7" }, per: "claim:sub", sticky: 5, instance: { name: a, version: 6.*, labels: { track: canary }, zone: z }, not: { path: /v1/health, headers: { x: "~a|b" } } }, delay: 1ms }
- { name: sometimes, when: { burst: { enter: 1%, leave: 20 }, cron: "0 9 * * 1-5", for: 30m, weekdays: [mon, tue], zone: Europe/Berlin }, fault: { status: 503, retry-after: { after: 10s, as: date } } }
- { name: queued, limit: { concurrency: 2, queue: 10, wait: 3s }, fault: { status: 503, retry-after: { as: date } } }
- { name: fleet, match: { per: "cookie:id" }, when: { first: 2 }, shared: true, fault: { status: 503, retry-after: 10s } }
- { name: per.route, match: { path: "/a/{name}/b", per: route }, delay: { lognormal: { p10: 1ms, p90: 2ms } } }
`

// Scenarios and rules survive JSON.
func TestRoundTrip(t *testing.T) {
	s, err := scenario.Parse("x", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := scenario.Parse("x", b)
	if diff := cmp.Diff(s, again); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, r := range s.Rules {
		same, err := scenario.ParseRule("x", "y", r.JSON())
		if diff := cmp.Diff(r, same); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
}

// aliases returns rules with aliases of another rule's outcomes.
func aliases(n int) (out string) {
	for i := range n {
		out += fmt.Sprintf("- {name: b%d, delay: 1s, when: {outcomes: *o}}\n", i)
	}
	return out
}

func TestMistakes(t *testing.T) {
	rule := func(s string) string { return "rules:\n- name: r\n  " + s }
	const fault = "fault: {reset: true}\n  "
	for _, c := range []struct{ in, want string }{
		{"rules: [", "f.yaml:1:1: did not find expected node content"},
		{"rules: 1", `f.yaml:1:8: rules: "1" is not a list`},
		{"[]", "f.yaml:1:1: a list is not a map; use the keys seed, rules"},
		{"seed: -1\nrules: []", `f.yaml:1:7: seed: "-1" is not a whole number of at least 0`},
		{"seed:", "f.yaml:1:6: seed: no value; add one or remove the key"},
		{"", "f.yaml: empty, as while it is being written; use rules: [] for no rules"},
		{"# nothing", "f.yaml: empty"},
		{"---\n", "f.yaml: empty"},
		{"null", "f.yaml: empty"},
		{"{}", `f.yaml:1:1: missing key "rules"`},
		{"rules:", "f.yaml:1:7: rules: no value; add one, or [] for none"},
		{"rules: []\nrules: []", "f.yaml:2:1: rules: duplicate key; remove one"},
		{"rules: [{fault: {reset: true}}]", `f.yaml:1:9: rule #1: missing key "name" (name of the rule`},
		{rule("faults: {}"), `f.yaml:3:3: rule "r": unknown key "faults" (did you mean "fault"?)`},
		{rule("fault: {x: 500}"), `fault: unknown key "x"; use one of status, headers, body`},
		{rule("fault: {grpc: '77'}"), `"77" is not a gRPC status code; use one such as UNAVAILABLE`},
		{rule("fault: {statsu: 500}"), `f.yaml:3:11: rule "r": fault: unknown key "statsu" (did you mean "status"?)`},
		{rule("delay: {p50: 80ms, p99: fast}"), `f.yaml:3:27: rule "r": delay.p99: "fast" is not a duration`},
		{rule("delay: 100"), `f.yaml:3:10: rule "r": delay: "100" is not a duration; use one such as 50µs, 200ms or 1.5s`},
		{rule("delay: -1s"), `is not a duration`},
		{rule("delay: {p50: 80ms}"), `f.yaml:3:10: rule "r": delay: give two percentiles`},
		{rule("delay: {p50: 80ms, p99: 10ms}"), `give two percentiles`},
		{rule("delay: {p50: 80ms, p101: 1s}"), `give two percentiles`},
		{rule("delay: {p50: 80ms, fixed: 1s}"), `delay: give one of fixed`},
		{rule("delay: {}"), `delay: give one of fixed`},
		{rule("delay: {uniform: {min: 2s, max: 1s}}"), `f.yaml:3:20: rule "r": delay.uniform: min is above max`},
		{rule("delay: {normal: {mean: 1s}}"), `delay.normal: missing key "stddev" (standard deviation)`},
		{rule("delay: {pareto: {min: 0s, shape: 1}}"), `delay.pareto.min: must be above zero`},
		{rule("delay: {pareto: {min: 1s, shape: 0}}"), `delay.pareto.shape: 0 is out of range; use a number of at least 0.01`},
		{rule("delay: {table: {p0: 1s, p50: 500ms, p100: 2s}}"), `delay.table: give percentiles from p0 to p100`},
		{rule("delay: {table: {p10: 1s, p100: 2s}}"), `delay.table: give percentiles from p0 to p100`},
		{rule("delay: {fixed: 1s, at: after}"), `delay.at: "after" is not one of before, chunks, both`},
		{rule("fault: {status: 200}"), `f.yaml:3:19: rule "r": fault.status: 200 is out of range; use a number from 400 to 599`},
		{rule("fault: {status: 5xx}"), `"5xx" is not a whole number`},
		{rule("fault: {grpc: OK}"), `fault.grpc: OK is not an error; use another status code`},
		{rule("fault: {grpc: UNAVAILABEL}"), `"UNAVAILABEL" is not a gRPC status code (did you mean "UNAVAILABLE"?)`},
		{rule("fault: {reset: yes please}"), `fault.reset: "yes please" is not true or false`},
		{rule("fault: {reset: true, empty: true}"), `fault: empty and reset cannot be combined; keep one of them`},
		{rule("fault: {truncate: 1, reset: true, stall: 1s}"), `fault: truncate and stall cannot be combined`},
		{rule("fault: {}"), `fault: no fault; add one of `},
		{rule("fault: {body: x, reset: true}"), `fault.body: no effect without status; add it or remove body`},
		{rule("fault: {headers: {a: b}, grpc: ABORTED}"), `fault.headers: no effect without status; add it or remove headers`},
		{rule("fault: {status: 500, headers: {a b: c}}"), `fault.headers: "a b": invalid header`},
		{rule(`fault: {status: 500, headers: {a: "b\r\nc: d"}}`), `fault.headers: "a": invalid header`},
		{rule("fault: {truncate: 2000000}"), `use a number from 0 to 1048576`},
		{rule("fault: {stall: 0s}"), `fault.stall: the pause must be above zero`},
		{rule("fault: {stall: {for: 1s, hang: true}}"), `fault.stall: give either for or hang`},
		{rule("fault: {stall: 1s}\n  at: after"), `f.yaml:4:7: rule "r": at: stall does not act after the handler: it acts on the handler's response anyway; remove at`},
		{rule("fault: {unready: true}\n  at: after"), `at: unready does not act after the handler: it matches no requests; remove at`},
		{rule("delay: {fixed: 1s, at: chunks}\n  at: after"), `delay.at: chunks delays the handler while it writes; remove it, or at: after from the rule`},
		{rule("delay: 1s\n  at: later"), `at: "later" is not one of before, after`},
		{rule("fault: {upload: {after: 5}}"), `fault.upload: no effect; add bandwidth or for`},
		{rule("fault: {upload: {bandwidth: 5, after: 5}}"), `fault.upload.after: no effect without for`},
		{rule("fault: {http2: {rst: CALM}}"), `fault.http2.rst: "CALM" is not one of NO_ERROR, PROTOCOL_ERROR`},
		{rule("fault: {http2: {rst: CANCEL, close: true}}"), `fault.http2: give one of rst, goaway and close`},
		{rule("fault: {http2: {}}"), `fault.http2: give one of rst, goaway and close`},
		{rule("fault: {reply: {}}"), `fault.reply: no effect; add at least one of status, headers, body`},
		{rule("fault: {reply: {headers: {}}}"), `fault.reply.headers: no effect; add set or remove`},
		{rule("fault: {reply: {headers: {set: {a b: c}}}}"), `fault.reply.headers.set: "a b": invalid header`},
		{rule("fault: {reply: {headers: {remove: [Content-Length]}}}"), `the server sets Content-Length itself; use content-length to break it`},
		{rule("fault: {reply: {headers: {set: {Content-Length: '3'}}}}"), `the server sets Content-Length itself; use content-length to break it`},
		{rule("fault: {reply: {headers: {remove: ['a:']}}}"), `fault.reply.headers.remove: "a:" is not a header name`},
		{rule("fault: {reply: {status: 99}}"), `use a number from 100 to 599`},
		{rule("fault: {reply: {status: 204, append: x}}"), `fault.reply.status: a response with the status 204 has no body; remove the changes of the body`},
		{rule("fault: {reply: {interim: [103, 101]}}"), `fault.reply.interim: 101 is not an interim status`},
		{rule("fault: {reply: {redirect-loop: true, status: 200}}"), `fault.reply.status: 200 is not a redirect`},
		{rule("fault: {reply: {encoding: g zip}}"), `fault.reply.encoding: "g zip" is not a content coding`},
		{rule("fault: {reply: {corrupt: {bytes: 1, bits: 1}}}"), `fault.reply.corrupt: give either bytes or bits`},
		{rule("fault: {reply: {body: x}, reset: true}"), `fault: reset and reply cannot be combined`},
		{rule("fault: {websocket: {close: 1006}}"), `fault.websocket.close: 1006 is reserved`},
		{rule("fault: {websocket: {drop: 1, direction: inn}}"), `fault.websocket.direction: "inn" is not one of out, in, both (did you mean "in"?)`},
		{rule("fault: {websocket: {after: 1}}"), `fault.websocket: no effect; add close, cut, drop,`},
		{rule("fault: {websocket: {close: 1000, cut: true}}"), `fault.websocket.cut: give either close or cut`},
		{rule("fault: {websocket: {cut: true, after: 1, after-time: 1s}}"), `fault.websocket.after-time: give either after or after-time`},
		{rule("fault: {grpc: {code: ABORTED, after: 1, after-time: 1s}}"), `fault.grpc.after-time: give either after or after-time`},
		{rule("fault: {grpc: {code: ABORTED, after-time: 1s}}\n  at: after"), `fault.grpc.after-time: `},
		{rule("fault: {connection: {refuse: true, idle: 1s}}"), `fault.connection: give one of refuse, silent and idle`},
		{rule("fault: {connection: {}}"), `fault.connection: give one of`},
		{rule("fault: {connection: {refuse: true}}\n  match: {path: /a}"), `match: connection acts on connections, which have no request yet; use only percent,`},
		{rule("fault: {tls: {delay: 1s}}\n  match: {grpc: a/b}"), `match: tls acts on connections`},
		{rule("fault: {tls: {delay: 1s}}\n  match: {per: route, percent: 1}"), `match: tls acts on connections`},
		{rule("fault: {connection: {idle: 1s}}\n  limit: {concurrency: 1}"), `limit.concurrency: a limit of connections has a rate`},
		{rule("fault: {connection: {idle: 1s}}\n  delay: 1s"), `delay: no effect on connections`},
		{rule("fault: {connection: {idle: 1s}}\n  at: after"), `at: connection does not act after the handler: a connection has no handler`},
		{rule("fault: {tls: {}}"), `fault.tls: no effect; add at least one of delay, certificate, stall, break, client-certificate`},
		{rule("fault: {tls: {stall: true, certificate: expired}}"), `fault.tls: stall and break end the handshake before there is a certificate; keep one of them`},
		{rule("fault: {http2: {rst: CANCEL, unprocessed: true}}"), `fault.http2.unprocessed: no effect without goaway`},
		{rule("fault: {tls: {certificate: old}}"), `fault.tls.certificate: "old" is not one of expired, not-yet-valid, wrong-host, self-signed, unknown-authority`},
		{rule("fault: {unready: true}\n  match: {path: /a}"), `fault.unready: combines only with match.server`},
		{rule("fault: {unready: true}\n  when: {first: 3}"), `fault.unready: combines only with match.server`},
		{rule("match: {path: /a}"), `rule "r": the rule does nothing; add a delay, a fault, a limit or choose`},
		{rule(fault + "match: {path: a}"), `f.yaml:4:17: rule "r": match.path: "a" does not begin with /`},
		{rule(fault + "match: {path: '/a{b}'}"), `{name} must be a whole segment`},
		{rule(fault + "match: {path: '/{}'}"), `{name} must be a whole segment`},
		{rule(fault + "match: {grpc: echo}"), `match.grpc: "echo" is not service/method`},
		{rule("fault: {garbage: true}\n  match: {grpc: a/b}"), `fault: garbage does nothing to gRPC calls, which match.grpc matches; use one of `},
		{rule("fault: {grpc: {code: ABORTED, details: {}}}"), `f.yaml:3:42: rule "r": fault.grpc.details: empty; add at least one of retry-info, error-info`},
		{rule("fault: {grpc: {code: ABORTED, details: {retry-info: soon}}}"), `fault.grpc.details.retry-info: "soon" is not a duration`},
		{rule("fault: {grpc: {code: ABORTED, details: {error-info: {domain: x}}}}"), `fault.grpc.details.error-info: missing key "reason"`},
		{rule("fault: {grpc: {code: ABORTED, details: {retryinfo: 1s}}}"), `unknown key "retryinfo" (did you mean "retry-info"?)`},
		{rule("fault: {grpc: ABORTED}\n  match: {grpc: a/b, path: /a}"), `match.grpc: path, methods, host, query, json and body match only HTTP requests`},
		{rule("fault: {grpc: ABORTED}\n  match: {path: /a}"), `fault: grpc does nothing to HTTP requests, which path, methods, host and query match; use one of `},
		{rule(fault + "match: {percent: 101}"), `match.percent: 101 is out of range; use a number from 0 to 100`},
		{rule(fault + "match: {per: ip}"), `match.per: "ip" is not a key; use header:NAME`},
		{rule(fault + "match: {path: /healthz*, internal: true}"), `match.internal: needs a path`},
		{rule(fault + "match: {path: '/a?b=c'}"), `"/a?b=c": a path has no query; use match.query`},
		{rule(fault + "match: {methods: '*'}"), `match.methods: "*": methods have no patterns; list them, such as [GET, POST], or remove methods to match all`},
		{rule(fault + "match: {methods: 'G*'}"), `match.methods: "G*": methods have no patterns`},
		{rule(fault + "match: {methods: '~GET|PUT'}"), `match.methods: "~GET|PUT": methods have no patterns`},
		{rule(fault + "match: {not: {methods: ['P*']}}"), `match.not.methods: "P*": methods have no patterns`},
		{rule(fault + "match: {host: 'https://a.b'}"), `match.host: "https://a.b": a host has no scheme and no path; use one such as example.com`},
		{rule(fault + "match: {methods: []}"), `match.methods: an empty list; add a value or remove the key`},
		{rule(fault + "match: {server: []}"), `match.server: an empty list; add a value or remove the key`},
		{rule(fault + "match: {server: ['']}"), `match.server: an empty name matches no server; remove it`},
		{rule(fault + "match: {reply: {status: []}}"), `match.reply.status: an empty list; add a value or remove the key`},
		{rule(fault + "when: {weekdays: []}"), `when.weekdays: an empty list; add a value or remove the key`},
		{rule(fault + "when: {outcomes: []}"), `when.outcomes: an empty list`},
		{rule("choose: []"), `choose: an empty list`},
		{rule(fault + "match: {path: ''}"), `match.path: empty, which is not a condition; add a value or remove the key`},
		{rule(fault + "match: {per: ''}"), `match.per: empty, which is not a condition`},
		{rule(fault + "match: {instance: {zone: ''}}"), `match.instance.zone: empty, which is not a condition`},
		{rule(fault + "when: {cron: ''}"), `when.cron: empty, which is not a condition`},
		{rule(fault + `match: {path: '~/x\?a=b'}`), `match.path: "~/x\\?a=b": a path has no query; use match.query`},
		{rule(fault + `match: {path: '~/x[?]a=b|/y#z'}`), `a path has no query; use match.query`},
		{rule(fault + `match: {not: {path: '~/x\?a'}}`), `match.not.path: "~/x\\?a": a path has no query`},
		{rule(fault + `match: {path: '~api/v[0-9]'}`), `match.path: "~api/v[0-9]": an expression is for the whole path; begin it with / or .*`},
		{rule(fault + `match: {host: '~.+\.example\.com:9898'}`), `the host is compared without its port; remove the port`},
		{rule(fault + `match: {grpc: '~/echo\.EchoService/.*'}`), `match.grpc: "~/echo\\.EchoService/.*": an expression is for the whole service/method; use one such as echo\.EchoService/.*`},
		{rule(fault + `match: {grpc: '~Echo'}`), `an expression is for the whole service/method`},
		{rule(fault + "match: {headers: {'~x-.*': b}}"), `match.headers: "~x-.*": only values can contain * or begin with ~; write the name in full`},
		{rule(fault + "match: {claim: {'realm*': b}}"), `match.claim: "realm*": only values can contain * or begin with ~; write the name in full`},
		{rule(fault + "match: {not: {claim: {'*': b}}}"), `match.not.claim: "*": only values can contain *`},
		{rule(fault + "match: {instance: {labels: {'team*': b}}}"), `match.instance.labels: "team*": only values can contain *`},
		{rule(fault + "match: {reply: {headers: {'x-*': b}}}"), `match.reply.headers: "x-*": only values can contain *`},
		{rule(fault + "match: {host: 'a:80'}"), `match.host: "a:80": the host is compared without its port; remove :80`},
		{rule(fault + "match: {headers: {'x-*': b}}"), `match.headers: "x-*": only values can contain *`},
		{rule(fault + "match: {query: {'*': b}}"), `match.query: "*": only values can contain *`},
		{rule(fault + "match: {per: 'header:x-*'}"), `write its name in full`},
		{rule(fault + "until: 2026-01-01T00:00:00Z"), `unknown key "until"; it belongs under when`},
		{rule(fault + "when: {until: tomorrow}"), `when.until: "tomorrow" is not a point in time; use one such as 2026-03-01T09:30:00Z`},
		{rule(fault + "when: {from: 2026-01-02T00:00:00Z, until: 2026-01-02T00:00:00Z}"), `when.until: must be after when.from`},
		{rule(fault + "sync: all"), `sync: "all" is not one of fleet`},
		{rule(fault + "sync: fleet\n  match: {per: client}"), `sync: no effect with match.per`},
		{rule(fault + "choose: [{percent: 5, delay: 1s}]"), `choose: give delay and fault in the alternatives`},
		{rule("choose: [{percent: 60, delay: 1s}, {percent: 50, fault: {reset: true}}]"), `choose: the percentages add up to 110`},
		{rule("choose: [{percent: 60}]"), `f.yaml:3:22: rule "r": choose[0].percent: the alternative does nothing`},
		{rule("choose: [{delay: 1s}]"), `choose[0]: missing key "percent"`},
		{rule("choose: [{percent: 1, name: r, delay: 1s}]"), `choose[0].name: another rule has this name`},
		{rule("choose: [{percent: 1, fault: {unready: true}}]"), `choose[0].fault: readiness has no requests`},
		{rule("choose: [{percent: 1, fault: {reset: true, empty: true}}]"), `f.yaml:3:32: rule "r": choose[0].fault: empty and reset cannot be combined`},
		{rule("match: {path: /a}\n  choose: [{percent: 1, fault: {grpc: ABORTED}}]"), `choose[0].fault: grpc does nothing to HTTP requests`},
		{rule(fault + "match: {methods: [a b]}"), `match.methods: "a b" is not an HTTP method`},
		{rule(fault + "match: {headers: {'a:': b}}"), `match.headers: "a:" is not a header name`},
		{rule(fault + "when: {every: 0}"), `when.every: 0 is out of range; use a number of at least 1`},
		{rule(fault + "when: {outcomes: [fail]}"), `when.outcomes[0]: "fail" is not one of hit, pass`},
		{rule(fault + "when: {cycle: true}"), `when.cycle: no effect without outcomes`},
		{rule(fault + "when: {window: {from: 2s, to: 1s}}"), `when.window: from must be before to`},
		{rule(fault + "when: {daily: {from: '25:00', to: '06:00'}}"), `"25:00" is not a time of day; use one such as 22:30`},
		{rule(fault + "when: {flap: { hit: 1s, pass: 0s }}"), `when.flap: hit and pass must be above zero`},
		{rule(fault + "when: {ramp: {from: 0, to: 200, over: 1s}}"), `when.ramp.to: 200 is out of range`},
		{rule(fault + "limit: {}"), `limit: give either concurrency or rate`},
		{rule(fault + "limit: {concurrency: 1, burst: 2}"), `limit.burst: no effect without rate`},
		{rule(fault + "limit: {concurrency: 1, wait: 2s}"), `limit.wait: no effect without queue`},
		{rule(fault + "limit: {rate: 1, queue: 2}"), `limit.queue: no effect without concurrency`},
		{rule(fault + "match: {path: '~/a('}"), `match.path: invalid regular expression: error parsing regexp: missing closing ): `},
		{rule(fault + "match: {headers: {x: '~a{1000}{1000}'}}"), `match.headers.x: invalid regular expression: `},
		{rule(fault + "match: {host: '~" + strings.Repeat("a", 513) + "'}"), `match.host: invalid regular expression: longer than 512 bytes`},
		{rule(fault + "match: {query: {q: '~" + strings.Repeat("a{99}", 11) + "'}}"), `too many repetitions or alternatives`},
		{"rules:" + strings.Repeat("\n- {name: r, delay: 1s, match: {path: '~/(?:abc){250}'}}", 300), `match.path: invalid regular expression: the scenario's expressions are too large together`},
		{rule(fault + "match: {path: '~/healthz', internal: true}"), `match.internal: needs a path`},
		{rule(fault + "match: {cookie: {'a b': c}}"), `match.cookie: "a b" is not the name of a cookie`},
		{rule(fault + "match: {cookie: {'a*': c}}"), `match.cookie: "a*": only values can contain * or begin with ~; write the name in full`},
		{rule(fault + "match: {claim: {$sub: c}}"), `match.claim: "$sub" is not a claim; use a name such as sub, or a path`},
		{rule(fault + "match: {json: {user: c}}"), `match.json: "user" is not a path; use one such as $.user.id`},
		{rule(fault + "match: {unverified: true}"), `match.unverified: no effect without claim`},
		{rule(fault + "match: {sticky: 5}"), `match.sticky: needs per`},
		{rule(fault + "match: {not: {}}"), `match.not: matches everything`},
		{rule(fault + "match: {not: {percent: 5}}"), `match.not: percent, per, sticky, internal, unverified, tcp, reply and not are not allowed here`},
		{rule(fault + "match: {not: {tcp: db}}"), `match.not: percent, per, sticky, internal, unverified, tcp, reply and not are not allowed here`},
		{rule(fault + "match: {not: {path: a}}"), `match.not.path: "a" does not begin with /`},
		{rule(fault + "match: {instance: {labels: {a: '~('}}}"), `match.instance.labels.a: invalid regular expression`},
		{rule(fault + "when: {burst: {enter: 101%, leave: 1%}}"), `when.burst.enter: "101%" is not a percentage; use one from 0% to 100%`},
		{rule(fault + "when: {burst: {enter: 1%, leave: 0}}"), `when.burst: enter and leave must be above zero`},
		{rule(fault + "when: {burst: {enter: 1%}}"), `when.burst: missing key "leave"`},
		{rule(fault + "when: {cron: '0 9 * *', for: 1m}"), `when.cron: "0 9 * *" is not a cron expression (expected exactly 5 fields`},
		{rule(fault + "when: {cron: '@every 1s', for: 1m}"), `(use five fields and when.zone)`},
		{rule(fault + "when: {cron: '0 0 30 2 *', for: 1m}"), `(never occurs)`},
		{rule(fault + "when: {cron: '0 9 * * *'}"), `when.cron: needs for`},
		{rule(fault + "when: {weekdays: [monday]}"), `when.weekdays[0]: "monday" is not one of sun, mon`},
		{rule(fault + "when: {weekdays: [mon], zone: Berlin}"), `when.zone: "Berlin" is not a time zone; use a name such as Europe/Berlin`},
		{rule(fault + "when: {weekdays: [mon], zone: Local}"), `is not a time zone`},
		{rule(fault + "when: {zone: UTC}"), `when.zone: no effect without cron, daily or weekdays`},
		{rule(fault + "shared: true"), `shared: no effect without after, every, first or outcomes`},
		{rule(fault + "shared: true\n  when: {first: 1}\n  limit: {rate: 1}"), `shared: each replica has its own limit`},
		{rule("fault: {status: 503, retry-after: {as: date}}"), `fault.retry-after: needs after, as the rule has no limit`},
		{rule("fault: {reset: true, retry-after: 1s}"), `fault.retry-after: no effect without status`},
		{rule(fault + "\n- name: r\n  delay: 1s"), `rule "r": name: another rule has this name`},
		{"rules: [{name: a b, delay: 1s}]", `rule "a b": name: invalid name; use at most 63 letters, digits, -, _ and .`},
		{rule(fault + "match: {methods: [get]}"), `match.methods: "get": methods are case-sensitive; use GET`},
		{rule(fault + "match: {headers: {host: b}}"), `match.headers: Host is not among the headers; use match.host`},
		{rule("fault: {status: 500, headers: {content-length: '3'}}"), `fault.headers: the server sets content-length itself`},
		{"rules: []\n---\nrules: [{name: r, delay: 1s}]", `f.yaml:2:1: more than one YAML document`},
		{"rules: []\n---\n[", `more than one YAML document`},
		{"rules:\n- {name: a, delay: 1s, when: {outcomes: &o [" + strings.Repeat("hit,", 20000) + "]}}\n" + aliases(10), `rule "b4": when.outcomes[19995]: more than 100000 values through YAML aliases`},
		{strings.Repeat("#", scenario.MaxBytes+1), "larger than"},
	} {
		_, err := scenario.Parse("f.yaml", []byte(c.in))
		if err == nil || !strings.HasPrefix(err.Error(), "f.yaml:") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.200s\n got %v\nwant %s", c.in, err, c.want)
		}
	}
	_, err := scenario.Parse("f", []byte("rules:\n- {name: a, delay: 1}\n- {name: b, fault: {grpc: NO, x: 1}}\n- {delya: 1s}"))
	if n := len(strings.Split(fmt.Sprint(err), "\n")); n != 5 {
		t.Errorf("%d mistakes: %v", n, err)
	}
	// Rules without mistakes of their own are checked when others have some.
	_, err = scenario.Parse("f", []byte("rules:\n- {delya: 1s}\n- {delay: 1}\n- {name: b, fault: {}}\n- {name: b, delay: 1}"))
	for _, want := range []string{`#1: missing key "name"`, `unknown key "delya"`, `#2: delay: "1" is not`, `"b": fault: no fault`, `"b": name: another`, `"b": delay: "1"`} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
	if n := len(strings.Split(fmt.Sprint(err), "\n")); n != 7 {
		t.Errorf("%d mistakes: %v", n, err)
	}
	for _, empty := range []string{"rules: []", "rules: []\n---", "rules: []\n---\n# nothing"} {
		if s, err := scenario.Parse("f", []byte(empty)); err != nil || len(s.Rules) != 0 {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(everything)
	f.Add("rules: [{name: &a x, delay: *a}]")
	f.Add("rules: [{name: x, match: {path: '/{a}'}, delay: {table: {p0: 1s, p100.0: 2s}}}]")
	f.Fuzz(func(t *testing.T, in string) {
		s, err := scenario.Parse("f", []byte(in))
		if err != nil {
			return
		}
		e := scenario.NewEngine(1, "pod-0", scenario.Limits{Delay: 1, Held: 1, Keys: 2})
		e.Apply(s)
		for _, req := range []scenario.Request{{Method: "GET", Path: "/api/x", Host: "a", Values: values{}}, {RPC: "/a.B/C", Values: values{}}} {
			if d := e.Decide(&req); d != nil {
				d.Delay()
				d.Chunk(1)
				d.Done()
			}
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := scenario.Parse("f", b); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	})
}

// values implements scenario.Values with headers, canonical or in lower case,
// and with query values by "?name".
type values map[string][]string

func (v values) Header(name string) []string { return v[name] }
func (v values) Query(name string) []string  { return v["?"+name] }
func (v values) Body() ([]byte, bool)        { return []byte(strings.Join(v["body"], "")), v["long"] == nil }
func (v values) Claims(unverified bool) []byte {
	if c := v["claims"]; c != nil || !unverified {
		return []byte(strings.Join(c, ""))
	}
	return []byte(strings.Join(v["unverified"], ""))
}
func (v values) Client() string {
	if c := v["client"]; c != nil {
		return c[0]
	}
	return "192.0.2.1"
}
