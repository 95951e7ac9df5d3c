package podinfotest

import (
	"errors"
	"fmt"
	"net/url"
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

var method = regexp.MustCompile(`^[A-Z][A-Z-]*$`)

// parsePattern is newPattern for a text that a test wrote. What no request could
// match is an error that says what could.
func parsePattern(text string) (pattern, error) {
	if text == "" {
		return pattern{}, errors.New(`no path: "*" is all`)
	}
	p := newPattern(text)
	escaped, err := url.PathUnescape(p.path)
	host, below, absolute := strings.Cut(p.path, "://")
	file, _, query := strings.Cut(p.path, "?")
	want, problem := p.path, ""
	switch {
	case p.method == "" && method.MatchString(p.path):
		return p, fmt.Errorf("%q is a method without a path, want one as in %q", text, text+" /path")
	case p.method != strings.ToUpper(p.method):
		p.method, problem = strings.ToUpper(p.method), "the method is not in capital letters"
	case p.method != "" && !method.MatchString(p.method):
		return p, fmt.Errorf("%q is no method", p.method)
	case absolute && method.MatchString(strings.ToUpper(host)):
		_, path, _ := strings.Cut(below, "/")
		want, problem = "/"+path, "the host is not part of a path"
	case query:
		want, problem = file, "the query is not part of a path"
	case err == nil && escaped != p.path:
		want, problem = escaped, "paths are written without escapes"
	case !strings.HasPrefix(p.path, "/") && p.path != "*":
		want, problem = "/"+p.path, fmt.Sprintf("path %q is not clean and absolute", p.path)
	}
	if problem != "" {
		return p, fmt.Errorf("%s: want %q", problem, spell(p.method, want))
	}
	return p, nil
}

// pattern is parsePattern for this server, of which it ends the test.
func (s *Server) pattern(text string) pattern {
	s.t.Helper()
	p, err := parsePattern(text)
	if err == nil && p.method != "" && s.isRPC(pattern{path: p.path, re: p.re}) {
		err = fmt.Errorf("an RPC has no method: want %q", p.path)
	}
	if err != nil {
		s.t.Fatalf("podinfotest: %q: %v", text, err)
	}
	return p
}

func spell(method, path string) string { return strings.TrimSpace(method + " " + path) }

func newPattern(text string) pattern {
	p := pattern{path: text}
	if method, path, ok := strings.Cut(text, " "); ok && !strings.HasPrefix(text, "/") {
		p.method, p.path = method, strings.TrimSpace(path)
	}
	p.text = spell(p.method, p.path)
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
