package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
)

// Self describes the server for match.instance.
type Self struct {
	Version string
	Labels  map[string]string
	Zone    string
}

// SetSelf describes the server. Call it before Apply.
func (e *Engine) SetSelf(s Self) { e.self = s }

// on reports whether the conditions about the server hold.
func (m *Match) on(e *Engine) bool {
	if len(m.Server) > 0 && !slices.ContainsFunc(m.Server, func(name string) bool { return parseText("", name).Match(e.instance) }) {
		return false
	}
	x := m.Instance
	if x == nil {
		return true
	}
	for _, p := range [][2]string{{x.Name, e.instance}, {x.Version, e.self.Version}, {x.Zone, e.self.Zone}} {
		if p[0] != "" && !parseText("", p[0]).Match(p[1]) {
			return false
		}
	}
	for name, pattern := range x.Labels {
		if value := e.self.Labels[name]; pattern == "" && value != "" || !parseText("", pattern).Match(value) {
			return false
		}
	}
	return true
}

// settle drops the conditions of Not where the server alone decides that they do
// not hold.
func (l *live) settle(e *Engine) {
	if l.not != nil && !l.not.Match.on(e) {
		l.not = nil
	}
}

// maxInstructions bounds the regular expressions of a scenario together. One
// instruction takes about 100 bytes.
const maxInstructions = 200_000

// maxCompared bounds the expressions that are compared with the values that occur, so
// that a scenario of many large ones is read in a moment.
const maxCompared = 200 // instructions

// checkExpressions checks the regular expressions of a match.
func (d *decoder) checkExpressions(m *Match) {
	fields := map[string]string{"path": m.Path, "host": m.Host, "grpc": m.GRPC, "body": m.Body}
	add := func(field string, texts map[string]string) {
		for name, text := range texts {
			fields[field+"."+name] = text
		}
	}
	for i, name := range m.Server {
		fields[fmt.Sprintf("server[%d]", i)] = name
	}
	add("headers", m.Headers)
	add("query", m.Query)
	add("cookie", m.Cookie)
	add("claim", m.Claim)
	add("json", m.JSON)
	if m.Reply != nil {
		add("reply.headers", m.Reply.Headers)
	}
	if x := m.Instance; x != nil {
		fields["instance.name"], fields["instance.version"], fields["instance.zone"] = x.Name, x.Version, x.Zone
		add("instance.labels", x.Labels)
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		expr, ok := strings.CutPrefix(fields[field], "~")
		if !ok {
			continue
		}
		size, err := glob.RegexpSize(expr)
		if d.instructions += size; err == nil && d.instructions > maxInstructions {
			err = errors.New("the scenario's expressions are too large together")
		}
		if err != nil {
			d.wrong("match."+field, "invalid regular expression: %v", err)
			continue
		}
		if size > maxCompared {
			continue
		}
		p, _ := glob.Regexp("", expr)
		for _, x := range valuesThatOccur {
			if all, _ := glob.Regexp("", x.expr); x.field == field && !p.Meets(all) {
				d.wrong("match."+field, "%q: %s", fields[field], x.otherwise)
				break
			}
		}
	}
}

// valuesThatOccur says what values of fields look like, by regular expressions, and
// what is wrong with an expression that none of them matches.
var valuesThatOccur = []struct{ field, expr, otherwise string }{
	{"path", `/.*`, "an expression is for the whole path; begin it with / or .*"},
	{"path", `[^?#]*`, "a path has no query; use match.query"},
	{"host", `[^:]*|[0-9A-Fa-f:.]+(%[^:]*)?`, "the host is compared without its port; remove the port"}, // the second is IPv6
	{"grpc", `[^/]+/[^/]+`, "an expression is for the whole service/method; use one such as echo\\.EchoService/.*"},
}

// checkMore checks the conditions about cookies, claims, bodies, keys and Not.
func (d *decoder) checkMore(m *Match) {
	for name := range m.Cookie {
		d.checkName("match.cookie", name)
		if !token().MatchString(name) {
			d.wrong("match.cookie", "%q is not the name of a cookie", name)
		}
	}
	for path := range m.JSON {
		if !isJSONPath(path) {
			d.wrong("match.json", "%q is not a path; use one such as $.user.id or $.items[*].sku", path)
		}
	}
	for path := range m.Claim {
		if path == "" || path[0] == '$' && !isJSONPath(path) {
			d.wrong("match.claim", "%q is not a claim; use a name such as sub, or a path such as $.realm_access.roles[*]", path)
		} else if path[0] != '$' {
			d.checkName("match.claim", path)
		}
	}
	if m.Instance != nil {
		for name := range m.Instance.Labels {
			d.checkName("match.instance.labels", name)
		}
	}
	if m.Unverified && len(m.Claim) == 0 && !strings.HasPrefix(m.Per, "claim:") && (m.Not == nil || len(m.Not.Claim) == 0) {
		d.wrong("match.unverified", "no effect without claim; add it or remove unverified")
	}
	if m.Sticky != nil && m.Per == "" {
		d.wrong("match.sticky", "needs per, which says what the keys are; add it, such as per: header:x-user")
	}
	if n := m.Not; n != nil {
		if n.Percent != nil || n.Per != "" || n.Sticky != nil || n.Internal || n.Not != nil || n.Unverified || n.TCP != "" || n.Reply != nil {
			d.wrong("match.not", "percent, per, sticky, internal, unverified, tcp, reply and not are not allowed here; remove them")
			return
		}
		if !n.web() && n.empty() && len(n.Server) == 0 && n.Instance == nil {
			d.wrong("match.not", "matches everything, so the rule never matches; add conditions")
		}
		inner := *d
		inner.errs = nil
		inner.checkMatch(n)
		d.instructions = inner.instructions
		for _, err := range inner.errs {
			e := err.(*Error)
			e.Field = strings.Replace(e.Field, "match.", "match.not.", 1)
			d.errs = append(d.errs, e)
		}
	}
}

// cookies appends the values of a cookie (RFC 6265, 5.4).
func cookies(req *Request, name string, out []string) []string {
	header := "Cookie"
	if req.RPC != "" {
		header = "cookie"
	}
	for _, line := range req.Header(header) {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			if key, value, ok := strings.Cut(strings.Trim(pair, " \t"), "="); ok && key == name {
				if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
					value = value[1 : n-1]
				}
				out = append(out, value)
			}
		}
	}
	return out
}

// anyName is an element of a path that stands for every name or number.
const anyName = "*"

// PathNames returns the names that lead to the value at a path such as
// $.items[0].sku. The name of an element of a list is its number, or *. A text that
// does not begin with $ is one name.
func PathNames(text string) []string {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return []string{text}
	}
	rest = strings.NewReplacer("[", ".", "]", "").Replace(rest)
	return strings.Split(strings.TrimPrefix(rest, "."), ".")
}

var jsonPathText = lazyregexp.New(`^\$(\.[^.\[\]*]+|\.\*|\[\d{1,9}\]|\[\*\])+$`)

func isJSONPath(text string) bool { return jsonPathText().MatchString(text) }

// jsonValues appends the values at a path of a JSON document: texts, numbers as
// they are written, true and false. Of a list at the end of the path it appends
// the elements. Of a name that an object has twice it appends both values. It appends
// nothing of a document that is not valid JSON.
func jsonValues(doc []byte, path []string, out []string) []string {
	if json.Valid(doc) {
		d := json.NewDecoder(bytes.NewReader(doc))
		d.UseNumber()
		out, _ = jsonWalk(d, path, false, out)
	}
	return out
}

// jsonWalk reads the next value and appends the values at the path below it.
// element is true for the elements of a list that the path led to.
func jsonWalk(d *json.Decoder, path []string, element bool, out []string) ([]string, error) {
	t, err := d.Token()
	if err != nil {
		return out, err
	}
	delim, nested := t.(json.Delim)
	if !nested {
		if len(path) == 0 && t != nil {
			out = append(out, fmt.Sprint(t))
		}
		return out, nil
	}
	if len(path) == 0 && (delim == '{' || element) {
		return out, skipJSON(d, 1)
	}
	for i := 0; d.More() && err == nil; i++ {
		name := strconv.Itoa(i)
		if delim == '{' {
			if t, err = d.Token(); err != nil {
				return out, err
			}
			name = t.(string)
		}
		switch {
		case len(path) == 0:
			out, err = jsonWalk(d, nil, true, out)
		case path[0] == name || path[0] == anyName:
			out, err = jsonWalk(d, path[1:], false, out)
		default:
			err = skipJSON(d, 0)
		}
	}
	if err == nil {
		_, err = d.Token() // the end of the list or object
	}
	return out, err
}

// skipJSON reads the next value, or up to the end of depth lists or objects that
// have begun.
func skipJSON(d *json.Decoder, depth int) error {
	for {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
