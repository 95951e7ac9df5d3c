package scenario

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plain is the values of a request, by "kind:name". It lists its names if names is
// true.
type plain map[string][]string

func (p plain) Header(name string) []string { return p["h:"+strings.ToLower(name)] }
func (p plain) Query(name string) []string  { return p["q:"+name] }
func (p plain) Client() string              { return "192.0.2.1" }
func (p plain) Claims(bool) []byte          { return []byte(first(p["claims"])) }
func (p plain) Body() ([]byte, bool)        { return []byte(first(p["body"])), true }

// listed is plain that lists its names.
type listed struct{ plain }

func (p listed) Names(query bool) map[string][]string {
	out, prefix := map[string][]string{}, "h:"
	if query {
		prefix = "q:"
	}
	for name, values := range p.plain {
		if short, ok := strings.CutPrefix(name, prefix); ok {
			out[short] = values
			if !query {
				out[strings.ToUpper(short[:1])+short[1:]] = values
			}
		}
	}
	return out
}

// randomMatch returns the match of a rule, in YAML.
func randomMatch(r *rand.Rand) string {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	path := func() string {
		return pick("/a", "/a/b", "/a/*", "/*b", "'*/b'", "'*'", "'/{x}'", "'/{x}/b'", "'/a/{rest...}'", "'~/[ab](/.*)?'", "/c*a", "/b/c", "'~(?i)/A'")
	}
	text := func() string { return pick("a", "b", "''", "a*", "'*b'", "'*'", "'*ab*'", "'~a|b.*'", "ab", "'~.*c'") }
	name := func() string { return fmt.Sprintf("n%d", r.IntN(12)) }
	parts := func() (out []string) {
		if r.IntN(6) == 0 {
			out = append(out, "grpc: "+pick("'*'", "a.B/C", "'a.*/C'", "'*/C'", `'~a\..*'`))
		} else {
			if r.IntN(2) == 0 {
				out = append(out, "path: "+path())
			}
			if r.IntN(4) == 0 {
				out = append(out, "methods: "+pick("[GET]", "[PUT, GET]", "[POST]"))
			}
			if r.IntN(5) == 0 {
				out = append(out, "host: "+pick("X.com", "'*.com'", "'~[xy].com'", "y.org"))
			}
			if r.IntN(5) == 0 {
				out = append(out, fmt.Sprintf("query: {%s: %s}", name(), text()))
			}
			if r.IntN(4) == 0 {
				out = append(out, fmt.Sprintf("json: {%s: %s}", pick("$.a", "'$.a[*]'", "$.b"), text()))
			}
			if r.IntN(8) == 0 {
				out = append(out, "body: "+pick("a", "'*abc*'", `'*"a"*'`, "'~.*bc.*'"))
			}
		}
		if r.IntN(3) == 0 {
			out = append(out, fmt.Sprintf("headers: {%s: %s}", name(), text()))
		}
		if r.IntN(6) == 0 {
			out = append(out, fmt.Sprintf("cookie: {%s: %s}", name(), text()))
		}
		if r.IntN(8) == 0 {
			out = append(out, fmt.Sprintf("claim: {sub: %s}", text()))
		}
		return out
	}
	out := parts()
	if r.IntN(4) == 0 {
		out = append(out, pick("per: client", "per: 'header:n1'", "per: 'query:n1'", "per: 'cookie:n1'", "per: route, sticky: 50", "per: 'header:n2', sticky: 40"))
	}
	if not := parts(); r.IntN(5) == 0 && len(not) > 0 {
		out = append(out, "not: {"+strings.Join(not, ", ")+"}")
	}
	return strings.Join(out, ", ")
}

func randomRequest(r *rand.Rand) *Request {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	values := plain{}
	for range r.IntN(5) {
		name := fmt.Sprintf("n%d", r.IntN(12))
		for range 1 + r.IntN(2) {
			for _, kind := range []string{"h:", "q:"} {
				values[kind+name] = append(values[kind+name], pick("a", "b", "", "ab", "cabc", "c"))
			}
			values["h:cookie"] = append(values["h:cookie"], name+"="+pick("a", "b", "ab", `"b"`)+"; x=y")
		}
	}
	if r.IntN(2) == 0 {
		values["claims"], values["body"] = []string{`{"sub":"` + pick("a", "bc", "") + `"}`}, []string{`{"a":["` + pick("a", "abc") + `",1]}`}
	}
	req := &Request{
		Method: pick("GET", "PUT", "POST"), Path: pick("/a", "/a/b", "/b/c", "/A", "/a/x/b", "/b", "/cca", "/"), Host: pick("x.com", "X.COM", "y.org", "z"),
		Route: pick("/a", "/b"), Values: values,
	}
	if r.IntN(3) == 0 {
		req.Values = listed{values}
	}
	if r.IntN(4) == 0 {
		req = &Request{RPC: pick("/a.B/C", "/a.X/C", "/b.B/D"), Values: req.Values}
	}
	return req
}

// The index finds every rule that a plain loop over the rules finds.
func FuzzIndex(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := "rules:\n"
		for i := range 1 + r.IntN(60) {
			text += fmt.Sprintf("- {name: r%d, match: {%s}, fault: {reset: true}}\n", i, randomMatch(r))
		}
		s, err := Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		e := NewEngine(1, "pod-0", Limits{Keys: 10})
		e.Apply(s)
		set := e.set.Load()
		for range 50 {
			req := randomRequest(r)
			var want, got []string
			for _, l := range set.rules {
				if l.matches(req) && (l.perSource == "" || l.keyOf(req) != "") {
					want = append(want, l.Name)
				}
			}
			index := &set.web
			if req.RPC != "" {
				index = &set.calls
			}
			lists := index.find(req, nil)
			if req.RPC == "" {
				lists = set.bodies.find(req, lists)
			}
			for at := nextIndex(lists, -1); at >= 0; at = nextIndex(lists, at) {
				if l := set.rules[at]; l.matches(req) && (l.perSource == "" || l.keyOf(req) != "") {
					got = append(got, l.Name)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%+v\n%s%s", req, text, diff)
			}
		}
	})
}

// reader is plain that counts how often its body is read.
type reader struct {
	plain
	n *int
}

func (r reader) Body() ([]byte, bool) { *r.n++; return r.plain.Body() }

// The body of a request is read only if no rule has hit before one that looks into it,
// and only if the request meets the other conditions of such a rule.
func TestBodiesAreReadLast(t *testing.T) {
	const rules = "rules:\n- {name: first, match: {path: /first}, fault: {status: 503}}\n- {name: json, match: {path: /json, json: {$.a: x}}, fault: {status: 503}}\n" +
		"- {name: any, match: {methods: [PUT], body: '*x*'}, fault: {status: 503}}\n- {name: last, match: {path: /last}, fault: {status: 503}}\n" +
		"- {name: within, match: {path: /healthz, internal: true, json: {$.a: x}}, fault: {status: 503}}\n"
	s, err := Parse("f", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	e := NewEngine(1, "pod-0", Limits{Keys: 10})
	e.Apply(s)
	for _, c := range []struct {
		method, path string
		internal     bool
		hit          string
		read         bool
	}{
		{"PUT", "/first", false, "first", false},
		{"POST", "/json", false, "json", true},
		{"PUT", "/json", false, "json", true},
		{"POST", "/last", false, "last", false},
		{"PUT", "/last", false, "any", true},
		{"POST", "/other", false, "", false},
		{"POST", "/healthz", true, "within", true},
		{"PUT", "/readyz", true, "", false},
	} {
		n, hit := 0, ""
		if d := e.Decide(&Request{Method: c.method, Path: c.path, Internal: c.internal, Values: reader{plain{"body": {`{"a":"x"}`}}, &n}}); d != nil {
			hit = d.Names()
		}
		if hit != c.hit || n > 0 != c.read {
			t.Errorf("%s %s: %q, the body was read %d times", c.method, c.path, hit, n)
		}
	}
}

func TestJSONValues(t *testing.T) {
	const doc = `{"user":{"id":7,"tags":["a","b",{"x":1},["c"]],"none":null,"ok":true},"items":[{"sku":"A"},{"sku":"B"}],"a.b":1.50,"user":{"id":"second"}}`
	for path, want := range map[string][]string{
		"$.user.id":      {"7", "second"},
		"$.user.tags":    {"a", "b"},
		"$.user.tags[1]": {"b"},
		"$.user":         nil,
		"$.user.none":    nil,
		"$.user.ok":      {"true"},
		"$.items[*].sku": {"A", "B"},
		"$.items[1].sku": {"B"},
		"$.*.id":         {"7", "second"},
		"$.items.sku":    nil,
		"a.b":            {"1.50"},
		"$.x.y":          nil,
	} {
		if diff := cmp.Diff(want, jsonValues([]byte(doc), PathNames(path), nil)); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	for _, doc := range []string{"", "{", `{"a"`, `{"a":{"a":"x"}`, `{"a":{"a":"x"},}`, `{"a":{"a":"x"}} more`, `{"a":{"a":"x"}}{}`, `{"a":{"a":"x"},"b":01}`, "[[[", `{"a":{"b":`, "x", strings.Repeat("[", 60000), strings.Repeat(`{"a":`, 10000)} {
		if got := jsonValues([]byte(doc), PathNames("$.a.a"), nil); len(got) > 0 {
			t.Errorf("%.20s: %v", doc, got)
		}
	}
	for _, text := range []string{"$", "a", "$.", "$.a.", "$.a[", "$a", "$.a[x]", "$..a", ""} {
		if isJSONPath(text) {
			t.Errorf("accepted %q", text)
		}
	}
	if !slices.Equal(PathNames("$.a[0].b[*]"), []string{"a", "0", "b", "*"}) {
		t.Error(PathNames("$.a[0].b[*]"))
	}
}
