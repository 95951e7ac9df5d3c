package podinfotest

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/internal/httpmethod"
	"github.com/seed-4591fe7d/podinfo/internal/suggest"
)

// A pattern selects requests and calls: "/api/pay", "POST /api/pay",
// "/orders/{id}", "/api/*" or "/echo.EchoService/Echo".
type pattern struct {
	method string // "" for any
	path   glob.Pattern
}

// everything selects every request and call.
var everything = pattern{path: glob.Text("*")}

var method = regexp.MustCompile(`^[A-Z][A-Z-]*$`)

// parsePattern reads a pattern from a test. It returns an error for a text that no
// request can match, with a suggestion where there is one.
func parsePattern(text string) (pattern, error) {
	if text == "" {
		return pattern{}, errors.New(`no path: use "*" for all`)
	}
	verb, path := "", text
	if before, after, ok := strings.Cut(text, " "); ok && !strings.HasPrefix(text, "/") {
		verb, path = before, strings.TrimSpace(after)
	}
	unescaped, escapeErr := url.PathUnescape(path)
	scheme, address, absolute := strings.Cut(path, "://")
	withoutQuery, _, query := strings.Cut(path, "?")
	want, problem := path, ""
	switch {
	case verb == "" && method.MatchString(path):
		return pattern{}, fmt.Errorf("%q is a method without a path: want %q", text, text+" /path")
	case verb != strings.ToUpper(verb):
		verb, problem = strings.ToUpper(verb), "the method is not in capital letters"
	case verb != "" && !method.MatchString(verb):
		return pattern{}, fmt.Errorf("%q is not a method", verb)
	case verb != "" && misspelt(verb) != "":
		return pattern{}, fmt.Errorf("%q is not a method of HTTP%s", verb, misspelt(verb))
	case absolute && method.MatchString(strings.ToUpper(scheme)):
		_, below, _ := strings.Cut(address, "/")
		want, problem = "/"+below, "the host is not part of a path"
	case query:
		want, problem = withoutQuery, "the query is not part of a path"
	case escapeErr == nil && unescaped != path:
		want, problem = unescaped, "paths are written without escapes"
	case !strings.HasPrefix(path, "/") && path != "*":
		want, problem = "/"+path, fmt.Sprintf("path %q is not clean and absolute", path)
	}
	if problem != "" {
		return pattern{}, fmt.Errorf("%s: want %q", problem, spell(verb, want))
	}
	compiled, err := glob.Parse(path)
	return pattern{verb, compiled}, err
}

// pattern is parsePattern for a method of the server. It ends the test on an error.
func (s *Server) pattern(text string) pattern {
	s.t.Helper()
	p, err := parsePattern(text)
	if err == nil && p.method != "" && s.isRPC(pattern{path: p.path}) {
		err = fmt.Errorf("an RPC has no method: want %q", p.path)
	}
	if err != nil {
		s.t.Fatalf("podinfotest: %q: %v", text, err)
	}
	return p
}

// misspelt suggests the method that was meant by one that HTTP does not define: two
// of its letters are swapped, or one is wrong, missing or too many. It returns "" for
// a method that resembles none, such as PURGE.
func misspelt(verb string) string {
	letters := func(word string) string { return string(slices.Sorted(slices.Values([]byte(word)))) }
	for _, known := range httpmethod.Standard {
		if verb == known || verb == httpmethod.Query {
			return ""
		}
	}
	for _, known := range httpmethod.Standard {
		if letters(verb) == letters(known) || suggest.Distance(verb, known) == 1 {
			return fmt.Sprintf(" (did you mean %q?)", known)
		}
	}
	return ""
}

// spell returns the text of a pattern.
func spell(method, path string) string { return strings.TrimSpace(method + " " + path) }

// String returns the text of the pattern, with one space behind the method.
func (p pattern) String() string { return spell(p.method, p.path.String()) }

// matches reports whether the pattern selects a request with the method and path.
func (p pattern) matches(method, path string) bool {
	return (p.method == "" || p.method == method) && p.path.Match(path)
}

// wildcard returns the number of the segment that is {name}, or {name...} if rest is
// true.
func (p pattern) wildcard(name string) (i int, rest bool, err error) {
	for i, seg := range strings.Split(p.path.String(), "/") {
		switch {
		case strings.Contains(seg, "*"):
			return 0, false, fmt.Errorf("the path %s has * before {%s}: use {name} throughout", p, name)
		case seg == "{"+name+"}", seg == "{"+name+"...}":
			return i, strings.HasSuffix(seg, "...}"), nil
		}
	}
	return 0, false, fmt.Errorf("the path %s has no {%s}", p, name)
}

// many reports whether the pattern may select the paths of several routes.
func (p pattern) many() bool {
	text := p.path.String()
	return strings.Contains(text, "*") || strings.HasSuffix(text, "...}")
}
