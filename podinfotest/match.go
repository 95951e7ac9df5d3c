package podinfotest

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// MatchHeader limits a script to the requests with a header, or to the calls with a
// value in their metadata. value is a pattern in which * is any text, a regular
// expression after ~, or empty for requests without the header.
//
// The conditions of a script may stand anywhere among its steps and are not
// attempts. All of them must hold.
func MatchHeader(name, value string) Step {
	return condition("MatchHeader", scenario.Match{Headers: map[string]string{name: value}})
}

// MatchQuery limits a script to the requests with a query parameter. value is like
// that of [MatchHeader].
func MatchQuery(name, value string) Step {
	return condition("MatchQuery", scenario.Match{Query: map[string]string{name: value}})
}

// MatchCookie limits a script to the requests with a cookie. value is like that of
// [MatchHeader].
func MatchCookie(name, value string) Step {
	return condition("MatchCookie", scenario.Match{Cookie: map[string]string{name: value}})
}

// MatchBody limits a script to the requests with a body of at most 64 KiB that
// matches a text in which * is any text, or a regular expression after ~.
func MatchBody(text string) Step {
	s := condition("MatchBody", scenario.Match{Body: text})
	if text == "" {
		s.wrong = `MatchBody without a text: use a pattern such as *"sku":*`
	}
	return s
}

// MatchJSON limits a script to the requests with a value in their JSON body of at
// most 64 KiB, by a path such as $.user.id or $.items[*].sku. value is like that of
// [MatchHeader].
func MatchJSON(path, value string) Step {
	return condition("MatchJSON", scenario.Match{JSON: map[string]string{path: value}})
}

func condition(name string, m scenario.Match) Step { return Step{name: name, match: &m} }

// conditionsOf merges the conditions among the steps of a script.
func conditionsOf(steps []Step, call bool) (m scenario.Match, err error) {
	for i, s := range steps {
		if s.match == nil || s.wrong != "" {
			continue
		}
		if call && s.name != "MatchHeader" {
			return m, fmt.Errorf("step %d: %s does not apply to calls: use MatchHeader, which matches their metadata", i+1, s.name)
		}
		for _, x := range []struct {
			to   *map[string]string
			from map[string]string
		}{{&m.Headers, s.match.Headers}, {&m.Query, s.match.Query}, {&m.Cookie, s.match.Cookie}, {&m.JSON, s.match.JSON}} {
			for name, value := range x.from {
				if old, ok := (*x.to)[name]; ok && old != value {
					return m, fmt.Errorf("step %d: two %s of %s, %q and %q, and both cannot hold: use one pattern, such as ~a|b", i+1, s.name, name, old, value)
				}
				*x.to = with(*x.to, name, value)
			}
		}
		if m.Body != "" && s.match.Body != "" {
			return m, fmt.Errorf("step %d: two MatchBody: use one pattern, such as *a*b*", i+1)
		}
		m.Body += s.match.Body
	}
	return m, nil
}

// texts returns the conditions of a script in words, in a fixed order.
func texts(m *scenario.Match) (out []string) {
	for _, x := range []struct {
		what   string
		values map[string]string
	}{{"header", m.Headers}, {"query", m.Query}, {"cookie", m.Cookie}, {"json", m.JSON}} {
		for _, name := range slices.Sorted(maps.Keys(x.values)) {
			out = append(out, fmt.Sprintf("%s %s=%s", x.what, name, x.values[name]))
		}
	}
	if m.Body != "" {
		out = append(out, "body "+m.Body)
	}
	return out
}

// arrived is a recorded request as the engine's conditions see it. It implements
// scenario.Values and scenario.Payloads.
type arrived struct{ *Request }

var _ scenario.Payloads = arrived{}

func (a arrived) Header(name string) []string {
	return a.Request.Header[http.CanonicalHeaderKey(name)]
}

func (a arrived) Query(name string) []string {
	values, _ := url.ParseQuery(a.Request.Query) // what can be parsed
	return values[name]
}

func (a arrived) Client() string       { return "" }
func (a arrived) Claims(bool) []byte   { return nil }
func (a arrived) Body() ([]byte, bool) { return a.Request.Body, true }

// selects reports whether a matcher selects a request that has arrived.
func selects(m *scenario.Matcher, r *Request) bool {
	req := &scenario.Request{Method: r.Method, Path: r.Path, Host: r.Host, Internal: r.internal, Values: arrived{r}}
	if r.RPC {
		req.RPC = r.Path
	}
	return m.Matches(req)
}

// mismatches returns the conditions of a script that a request for its path does
// not meet.
func (sc *script) mismatches(r *Request) (out []string) {
	for _, c := range sc.single {
		if !selects(scenario.NewMatcher(c), r) {
			out = append(out, "not "+strings.Join(texts(&c), ""))
		}
	}
	return out
}

// singles splits conditions into matches with one condition each.
func singles(m scenario.Match) (out []scenario.Match) {
	for name, value := range m.Headers {
		out = append(out, scenario.Match{Headers: with(nil, name, value)})
	}
	for name, value := range m.Query {
		out = append(out, scenario.Match{Query: with(nil, name, value)})
	}
	for name, value := range m.Cookie {
		out = append(out, scenario.Match{Cookie: with(nil, name, value)})
	}
	for name, value := range m.JSON {
		out = append(out, scenario.Match{JSON: with(nil, name, value)})
	}
	if m.Body != "" {
		out = append(out, scenario.Match{Body: m.Body})
	}
	slices.SortFunc(out, func(a, b scenario.Match) int { return strings.Compare(fmt.Sprint(texts(&a)), fmt.Sprint(texts(&b))) })
	return out
}
