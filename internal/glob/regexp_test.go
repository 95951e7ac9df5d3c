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

func TestRegexpRelations(t *testing.T) {
	pattern := func(text string) glob.Pattern {
		if expr, ok := strings.CutPrefix(text, "~"); ok {
			p, err := glob.Regexp("", expr)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		return parse(t, text)
	}
	for _, c := range []struct {
		p, q          string
		covers, meets bool
	}{
		{"*", "~a.*", true, true},
		{"~a.*", "~a.*", true, true},
		{"~a.*", "ab", true, true},
		{"~a.*", "b", false, false},
		{"~a.*", "a*", true, true}, // also over line breaks
		{"a*", "~a.*", true, true},
		{"a*", "~(?i)a.*", false, true},
		{"", "~a*", false, true},
		{"~a.*", "~ab|ac", true, true},
		{"~ab|ac", "~a.", false, true},
		{"~a[bc]", "~ab|ac", true, true},
		{"~a", "~[^\\s\\S]", true, false}, // which matches nothing
		{"/{x}", "~/[a-z]+", true, true},
		{"/{x}", "~/[a-z]*", false, true},
		{"~/[a-z]+", "/{x}", false, true},
		{"~/[^/]+", "/{x}", true, true},
		{"/api/echo/{rest...}", "~/healthz|/readyz", false, false},
		{"~/v[12]/.*", "~/v[23]/.*", false, true},
		{"~/v[12]/.*", "~/v[34]/.*", false, false},
		{"~[^?#]*", "~/x\\?a=b", false, false},
		{"~[^?#]*", "~/x(\\?a=b)?", false, true},
		{"~(?i)/api", "~/[aA]pi", true, true},
		{"~a\\b.*", "~ab.*", false, false},
		{"~a\\b.*", "~a-.*", true, true},
		{"~(?m)a$.*", "~a\n.*", true, true},
		{"~.*a.{3}", "~.*b.{3}", false, false},
		{"~.*a.{20}", "~.*b.{21}", false, true},
		{"~ä.*", "/ä", false, false},
		{"~/ä.*", "/ä/*", true, true},
	} {
		p, q := pattern(c.p), pattern(c.q)
		if p.Covers(q) != c.covers || p.Meets(q) != c.meets || q.Meets(p) != c.meets {
			t.Errorf("%s, %s: covers %v, meets %v %v", c.p, c.q, p.Covers(q), p.Meets(q), q.Meets(p))
		}
	}
	if all := []glob.Pattern{pattern("/healthz"), pattern("/debug/{rest...}")}; !glob.CoverTogether(all, pattern("~/healthz|/debug/.+")) || glob.CoverTogether(all, pattern("~/healthz|/debug")) {
		t.Error("CoverTogether")
	}
}

// TestRegexpRelationsAreExact compares the relations of expressions with those of the
// patterns that they were made from.
func TestRegexpRelationsAreExact(t *testing.T) {
	type pair struct{ glob, re glob.Pattern }
	var all []pair
	for _, w := range words(3, "a", "/", "*", "/{x}") {
		p, err := glob.Parse(w)
		if err != nil || strings.Contains(w, "**") {
			continue
		}
		re, err := glob.Regexp("", reference(w).String())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pair{p, re})
	}
	for _, p := range all {
		for _, q := range all {
			covers, meets := p.glob.Covers(q.glob), p.glob.Meets(q.glob)
			for _, pair := range [][2]glob.Pattern{{p.re, q.re}, {p.re, q.glob}, {p.glob, q.re}} {
				if pair[0].Covers(pair[1]) != covers || pair[0].Meets(pair[1]) != meets {
					t.Errorf("%s, %s: covers %v, meets %v", pair[0], pair[1], !covers, !meets)
				}
			}
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
