package podinfotest

import (
	"regexp"
	"strings"
)

// pattern is which requests a test is about: "/api/pay", "POST /api/pay",
// "/orders/{id}", "/api/*" or "/echo.EchoService/Echo".
type pattern struct {
	text   string
	method string // "" for any
	path   string
	re     *regexp.Regexp
}

var everything = newPattern("*")

// wildcard is *, {name} or {name...}.
var wildcard = regexp.MustCompile(`\*|\{[^{}/]*\}`)

func newPattern(text string) pattern {
	p := pattern{text: text, path: text}
	if method, path, ok := strings.Cut(text, " "); ok {
		p.method, p.path = method, strings.TrimSpace(path)
	}
	var re strings.Builder
	rest := p.path
	for {
		at := wildcard.FindStringIndex(rest)
		if at == nil {
			break
		}
		re.WriteString(regexp.QuoteMeta(rest[:at[0]]))
		if w := rest[at[0]:at[1]]; w == "*" || strings.HasSuffix(w, "...}") {
			re.WriteString(`.*`)
		} else {
			re.WriteString(`[^/]+`)
		}
		rest = rest[at[1]:]
	}
	p.re = regexp.MustCompile(`(?s)^` + re.String() + regexp.QuoteMeta(rest) + `$`)
	return p
}

func (p pattern) matches(method, path string) bool {
	return (p.method == "" || p.method == method) && p.re.MatchString(path)
}

// literal reports that there is one path that matches.
func (p pattern) literal() bool { return !wildcard.MatchString(p.path) }

// rule is the path as rules write it.
func (p pattern) rule() string {
	return wildcard.ReplaceAllStringFunc(p.path, func(w string) string {
		if strings.HasSuffix(w, "...}") {
			return "*"
		}
		return w
	})
}
