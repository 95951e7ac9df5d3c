package scenario_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// header is the values of a request that also lists them.
type header struct{ values }

func (h header) Names(query bool) map[string][]string {
	if query {
		return nil
	}
	return h.values
}

// BenchmarkHit is the time of a request that a rule matches, without the fault.
func BenchmarkHit(b *testing.B) {
	for _, match := range []string{"path: /api/info", "path: /api/*, methods: [GET]", "path: '/api/{name}', headers: {x-user: '*9'}"} {
		b.Run(match, func(b *testing.B) {
			e, req := engine(b, "- {name: r, match: {"+match+"}, fault: {status: 503}}"), get("/api/info", values{"X-User": {"99"}})
			for b.Loop() {
				d := e.Decide(req)
				if d == nil {
					b.Fatal("no hit")
				}
				d.Done()
			}
		})
	}
}

// BenchmarkMiss is the time of a request that none of many rules matches, by what
// the rules match.
func BenchmarkMiss(b *testing.B) {
	web := &scenario.Request{Method: "GET", Path: "/api/v1/orders/4711/items", Host: "example.com", Values: header{values{
		"X-User": {"nobody-in-particular"}, "Accept": {"*/*"}, "User-Agent": {"curl/8"}, "X-Request-Id": {"0123456789abcdef"}, "Cookie": {"a=b; session=none"},
	}}}
	post := &scenario.Request{Method: "POST", Path: "/orders", Host: "example.com", Values: header{values{"body": {`{"user":{"id":"nobody"},"items":[{"sku":"A-1"},{"sku":"B-2"}],"note":"` + strings.Repeat("nothing to see ", 60) + `"}`}}}}
	call := &scenario.Request{RPC: "/echo.EchoService/Echo", Values: header{values{"x-user": {"nobody"}, "user-agent": {"grpc-go"}}}}
	for _, c := range []struct {
		name, match string // %d is the number of the rule
		rules       int
		req         *scenario.Request
	}{
		{"Exact", "path: /p/%d", 10000, web},
		{"Prefix", "path: /api/v1/x%d*", 10000, web},
		{"Segments", "path: '/api/{version}/orders/{id}/x%d'", 10000, web},
		{"Suffix", "path: '*/s%d'", 10000, web},
		{"Contains", "path: '*s%ds*'", 10000, web},
		{"SameGlob", "path: /api/*, methods: [PUT], headers: {x-user: u%d}", 10000, web},
		{"SameGlobMethod", "path: /api/*, methods: [PUT]", 10000, web},
		{"Method", "methods: [PATCH]", 10000, web},
		{"Methods", "methods: [M%d]", 10000, web},
		{"MethodPer", "methods: [PATCH], per: 'header:x-user'", 10000, web},
		{"Header", "headers: {x-user: u%d}", 10000, web},
		{"HeaderNames", "headers: {x-%d: u}", 10000, web},
		{"HeaderGlob", "headers: {x-user: 'u%d-*'}", 10000, web},
		{"HeaderGlob1000", "headers: {x-user: '*n%do*'}", 1000, web},
		{"PathAndHeaderGlob", "path: /api/*, headers: {x-user: 'u%d*', user-agent: 'curl*'}", 10000, web},
		{"Query", "query: {q: 'u%d'}", 10000, web},
		{"HostGlob", "host: '*.h%d.example.com'", 10000, web},
		{"Per", "per: 'header:x-%d'", 10000, web},
		{"PathPer", "path: '/api/{v}/x%d', per: 'header:x-user'", 10000, web},
		{"JSON", "json: {$.user.id: 'u%d'}", 10000, post},
		{"JSONGlob", "json: {'$.items[*].sku': 'u%d-*'}", 10000, post},
		{"Body", "body: 'text %d'", 10000, post},
		{"BodyContains", "body: '*needle %d*'", 10000, post},
		{"GRPCGlob", "grpc: '*.Service%d/*'", 10000, call},
		{"GRPCHeaderGlob", "grpc: '*', headers: {x-user: 'u%d*'}", 10000, call},
	} {
		b.Run(c.name, func(b *testing.B) {
			var rules strings.Builder
			for i := range c.rules {
				fmt.Fprintf(&rules, "- {name: r%d, match: {%s}, delay: 1s}\n", i, strings.ReplaceAll(c.match, "%d", fmt.Sprint(i)))
			}
			e := engine(b, rules.String())
			b.ReportAllocs()
			for b.Loop() {
				if e.Decide(c.req) != nil {
					b.Fatal("hit")
				}
			}
		})
	}
}

// BenchmarkMissOfReplies is the same for rules that match the response.
func BenchmarkMissOfReplies(b *testing.B) {
	req := &scenario.Request{Method: "GET", Path: "/orders", Host: "example.com", Values: header{values{"Accept": {"*/*"}}}}
	res := scenario.Response{Status: 201, Header: http.Header{"Location": {"/orders/none"}}.Values}
	for name, match := range map[string]string{"Header": "headers: {location: /orders/%d}", "HeaderGlob": "headers: {location: '/*/%d/*'}"} {
		b.Run(name, func(b *testing.B) {
			var rules strings.Builder
			for i := range 10000 {
				fmt.Fprintf(&rules, "- {name: r%d, match: {reply: {%s}}, delay: 1s}\n", i, fmt.Sprintf(match, i))
			}
			e := engine(b, rules.String())
			b.ReportAllocs()
			for b.Loop() {
				if e.Await(req, nil).Decide(&res) != nil {
					b.Fatal("hit")
				}
			}
		})
	}
}

// A request that no rule matches costs no allocation, whatever the rules match.
func TestMissAllocatesNothing(t *testing.T) {
	text := ""
	for i, match := range []string{"path: /a%d", "path: '/p/*/%d'", "methods: [PUT]", "headers: {x: '%d*'}", "headers: {x%d: y}", "query: {q: '%d*'}", "host: '*.%d.com'", "per: 'header:k%d'", "cookie: {c: '%d*'}", "path: '~/q/.*%d'"} {
		for j := range 20 {
			text += fmt.Sprintf("- {name: r%d-%d, match: {%s}, delay: 1s}\n", i, j, strings.ReplaceAll(match, "%d", fmt.Sprint(j)))
		}
	}
	e := engine(t, text)
	req := &scenario.Request{Method: "GET", Path: "/p/x/none", Host: "example.com", Values: values{"X": {"none"}, "Cookie": {"c=none; d=1"}, "?q": {"none"}}}
	if n := testing.AllocsPerRun(100, func() {
		if e.Decide(req) != nil {
			t.Fatal("hit")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
