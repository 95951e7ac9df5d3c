package scenario_test

import (
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

func TestLint(t *testing.T) {
	const never = `f:3:12: rule "b": it never hits, as all that it matches is hit by rule "a" first`
	for _, c := range []struct {
		a, b string
		sure bool
	}{
		{"delay: 1s", "delay: 1s", true},
		{"fault: {reset: true}", "fault: {reset: true}, match: {path: /a}, when: {first: 3}, ttl: 1m", true},
		{"match: {percent: 100}, delay: 1s", "delay: 1s", true},
		{"match: {path: /a}, delay: 1s", "match: {path: /a}, delay: 1s", true},
		{"match: {path: /a/*}, delay: 1s", "match: {path: /a/b}, delay: 1s", true},
		{"match: {path: /a/*}, delay: 1s", "match: {path: '/a/{x}/*'}, delay: 1s", true},
		{"match: {path: '/a/{x}'}, delay: 1s", "match: {path: '/a/{y}'}, delay: 1s", true},
		{"match: {path: '/a/{x}'}, delay: 1s", "match: {path: '/a/b'}, delay: 1s", true},
		{"match: {path: '/a/{x}'}, delay: 1s", "match: {path: /a/b, host: h, methods: [GET]}, delay: 1s", true},
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

		{"match: {percent: 99}, delay: 1s", "delay: 1s", false},
		{"when: {every: 1}, delay: 1s", "delay: 1s", false},
		{"ttl: 1h, delay: 1s", "delay: 1s", false},
		{"limit: {rate: 1}", "delay: 1s", false},
		{"match: {per: client}, delay: 1s", "delay: 1s", false},
		{"combine: true, delay: 1s", "delay: 1s", false},
		{"combine: true, fault: {reset: true}", "delay: 1s", false},
		{"fault: {unready: true}", "delay: 1s", false},
		{"delay: 1s", "fault: {unready: true}", false},
		{"fault: {status: 500}", "delay: 1s", false}, // which calls have too
		{"fault: {grpc: ABORTED}", "fault: {status: 500}", false},
		{"match: {path: /a}, delay: 1s", "match: {path: /b}, delay: 1s", false},
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
		s, warnings, err := scenario.Lint("f", []byte("rules:\n- {name: a, "+c.a+"}\n- {name:   b, "+c.b+"}"))
		if err != nil || len(s.Rules) != 2 || (len(warnings) == 1) != c.sure || c.sure && warnings[0].Error() != never {
			t.Errorf("%s\n%s\n%v %v", c.a, c.b, warnings, err)
		}
	}
	_, warnings, _ := scenario.Lint("f", []byte(`rules: [{name: z, fault: {grpc: ABORTED}}, {name: a, fault: {status: 500}}, {name: b, delay: 1s}]`))
	if len(warnings) != 1 || warnings[0].Problem != `it never hits, as all that it matches is hit by rule "a" and "z" first` {
		t.Error(warnings)
	}
	if _, warnings, err := scenario.Lint("f", []byte("rules: [{name: a, delay: 1}]")); err == nil || warnings != nil {
		t.Error(warnings, err)
	}
	if s, _, err := scenario.Lint("f", nil); err != nil || len(s.Rules) != 0 {
		t.Error(err)
	}
}
