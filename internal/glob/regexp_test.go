package glob_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
)

func TestRegexp(t *testing.T) {
	for _, c := range []struct {
		before, expr, text string
		want               bool
	}{
		{"", `/v[0-9]+/x`, "/v12/x", true},
		{"", `/v[0-9]+/x`, "/v12/xy", false}, // the whole text
		{"", `/v[0-9]+/x`, "a/v12/x", false},
		{"", `a|bc`, "bc", true},
		{"", `a|bc`, "ac", false},
		{"", `(?i)ABC`, "abc", true},
		{"", `^abc$`, "abc", true},
		{"/", `a\.B/.*`, "/a.B/C", true},
		{"/", `a|b`, "b", false},
		{"", ``, "", true},
	} {
		p, err := glob.Regexp(c.before, c.expr)
		if err != nil || p.Match(c.text) != c.want || p.Literal() {
			t.Errorf("%q %q %q: %v %v", c.before, c.expr, c.text, p.Match(c.text), err)
		}
	}
	for expr, want := range map[string]error{
		strings.Repeat("a", 513):    glob.ErrLong,
		"(?:(?:ab){30}){30}":        glob.ErrLarge,
		strings.Repeat("a{200}", 6): glob.ErrLarge,
	} {
		if _, err := glob.Regexp("", expr); !errors.Is(err, want) {
			t.Errorf("%q: %v", expr, err)
		}
	}
	if _, err := glob.Regexp("", "a("); err == nil {
		t.Error("accepted a(")
	}
}

func TestRegexpCovers(t *testing.T) {
	re := func(expr string) glob.Pattern { p, _ := glob.Regexp("", expr); return p }
	for _, c := range []struct {
		p, q glob.Pattern
		want bool
	}{
		{glob.Text("*"), re("a.*"), true},
		{re("a.*"), re("a.*"), true},
		{re("a.*"), glob.Text("ab"), true},
		{re("a.*"), glob.Text("b"), false},
		{re("a.*"), glob.Text("a*"), false},
		{glob.Text("a*"), re("a.*"), false},
		{glob.Text(""), re("a*"), false},
	} {
		if got := c.p.Covers(c.q); got != c.want {
			t.Errorf("%v covers %v: %v", c.p, c.q, got)
		}
	}
}

// Every match contains the literals.
func TestLiterals(t *testing.T) {
	path := func(text string) glob.Pattern { p, _ := glob.Parse(text); return p }
	re := func(expr string) glob.Pattern { p, _ := glob.Regexp("", expr); return p }
	for _, c := range []struct {
		p    glob.Pattern
		want []string
	}{
		{path("/a/{id}/b*c"), []string{"/a/", "/b", "c"}},
		{path("*"), nil},
		{glob.Text("abc"), []string{"abc"}},
		{re("/v[0-9]/x(?:y|z)(ab)+c?"), []string{"/v", "/x", "ab"}},
		{re("(?i)abc"), nil},
		{re("a|b"), nil},
	} {
		if diff := cmp.Diff(c.want, c.p.Literals()); diff != "" {
			t.Errorf("%v: %s", c.p, diff)
		}
	}
}
