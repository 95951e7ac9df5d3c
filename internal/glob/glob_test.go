package glob_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
)

func parse(t testing.TB, text string) glob.Pattern {
	t.Helper()
	p, err := glob.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, yes, no string // texts, separated by spaces
	}{
		{"/a", "/a", "/ /A /a/ /ab"},
		{"/api/*", "/api/ /api/info /api/a/b", "/api /apis/"},
		{"/api*", "/api /apixyz /api/a", "/ap /x/api"},
		{"*", "/ /a/b x", ""},
		{"**", "/ /a/b x", ""},
		{"*/b", "/b /a/x/b /b/b", "/a/x/c /b/ b"},
		{"/a*b*c", "/abc /aXbYbZc /a/b/c", "/aXbYbZ /acb"},
		{"/*a", "/a /aa /bab/a", "/ab"},
		{"/{id}", "/a /ab", "/ /a/b /a/ //"},
		{"{id}", "a", "/a a/"},
		{"/x/{id}/y", "/x/1/y", "/x//y /x/1/2/y /x/1/ /x/1/yy"},
		{"/x/{id}/y/*", "/x/1/y/z /x/1/y/", "/x/1/y /x//y/z"},
		{"/x/{a}/{b}", "/x/1/2", "/x/1 /x/1/ /x/1/2/3"},
		{"/*/{b}/z", "/1/2/z /1/2/3/z //2/z", "/1/z /1//z /1/2/z/"},
		{"*/{b}", "/a /1/2/3", "a /a/ /"},
		{"/{a}/*b", "/x/b /x/y/bb", "//b /x/"},
		{"/echo/{rest...}", "/echo/ /echo/a /echo/a/b", "/echo /ech"},
		{"/{a...}/z", "//z /1/2/z", "/z /1/2"},
		{"/ä/*", "/ä/x /ä/", "/a/x"},
	} {
		p := parse(t, c.pattern)
		for _, s := range strings.Fields(c.yes) {
			if !p.Match(s) {
				t.Errorf("%s does not match %s", p, s)
			}
		}
		for _, s := range strings.Fields(c.no) {
			if p.Match(s) {
				t.Errorf("%s matches %s", p, s)
			}
		}
	}
	if p := parse(t, ""); !p.Match("") || p.Match("/") || !(glob.Pattern{}).Match("") {
		t.Error("the empty pattern is not the empty text")
	}
	if p := glob.Text("{a}*\xff"); !p.Match("{a}\xff") || !p.Match("{a}/\xff") || p.Match("a\xff") {
		t.Error("in a text, only * is special")
	}
}

func TestParseRefusesBraces(t *testing.T) {
	for _, text := range []string{"/{}", "/{...}", "/a{b}", "/{b}a", "/{a}{b}", "/{a", "/a}", "/{", "/}", "/{{a}}", "/{a*}", "/*{a}", "/{a}*", "{/}", "/{a/b}"} {
		if p, err := glob.Parse(text); err != glob.ErrBraces || p.String() != "" {
			t.Errorf("%s: %v %v", text, p, err)
		}
	}
}

func TestParts(t *testing.T) {
	type parts struct {
		Prefix, Shape, Stars string
		Literal              bool
	}
	for text, want := range map[string]parts{
		"":                 {"", "", "", true},
		"/a/b":             {"/a/b", "/a/b", "/a/b", true},
		"/a*b/**":          {"/a", "/a*b/*", "/a*b/*", false},
		"/a/{key}/b":       {"/a/", "/a/{}/b", "/a/*/b", false},
		"/a/{key}/{r...}":  {"/a/", "/a/{}/{...}", "/a/*/*", false},
		"{a}/*":            {"", "{}/*", "*/*", false},
		"/{any text}/\xff": {"/", "/{}/\xff", "/*/\xff", false},
	} {
		p := parse(t, text)
		if diff := cmp.Diff(want, parts{p.Prefix(), p.Shape(), p.Stars(), p.Literal()}); diff != "" || p.String() != text {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestAllowEmpty(t *testing.T) {
	p := parse(t, "/x/{a}/{b}")
	for _, s := range []string{"/x/1/2", "/x/1/", "/x//2", "/x//"} {
		if !p.AllowEmpty().Match(s) || p.Match(s) != (s == "/x/1/2") {
			t.Error(s)
		}
	}
	if p.AllowEmpty().Match("/x/1") || p.AllowEmpty().Match("/x/1/2/3") || !p.AllowEmpty().Covers(p) || p.Covers(p.AllowEmpty()) {
		t.Error("it allows more than an empty segment")
	}
	if p.AllowEmpty().Shape() != p.Shape() {
		t.Error("it has another shape")
	}
}

// TestRelations has examples. TestRelationsAreExact compares all small patterns.
func TestRelations(t *testing.T) {
	for _, c := range []struct {
		p, q          string
		covers, meets bool
	}{
		{"/a", "/a", true, true},
		{"/a", "/b", false, false},
		{"/a", "/*", false, true},
		{"/*", "/a", true, true},
		{"/*", "a", false, false},
		{"*", "/a/{b}/{c...}", true, true},
		{"/a/*", "/a/{x}/*", true, true},
		{"/{x}", "/*", false, true},
		{"/{x}", "/{y}", true, true},
		{"/{x}", "/", false, false},
		{"/{x}/b", "*/b", false, true},
		{"/{x}/b", "/a*/b", false, true},
		{"/{x}/*", "/a*/b", true, true},
		{"*/{x}/*", "/a*/", true, true}, // whatever segments a* spans
		{"*/{x}/*/b", "/a*/b", false, true},
		{"/echo/*", "/echo/{rest...}", true, true},
		{"/echo/{rest...}", "/echo/{id}", true, true},
		{"/echo/{id}", "/echo/{rest...}", false, true},
		{"/box/{id}", "/box/new", true, true},
		{"/box/new", "/box/{id}", false, true},
		{"/status/", "/status/{code}", false, false},
		{"/orders/*/admin", "/orders/{id}", false, false},
		{"/orders/*/admin", "/orders/{id}/{rest...}", false, true},
		{"/*a/x", "/{k}/x", false, true},
		{"*a*", "*a", true, true},
		{"*ab*", "*a*b*", false, true},
		{"*a*b*", "*ab*", true, true},
	} {
		p, q := parse(t, c.p), parse(t, c.q)
		if p.Covers(q) != c.covers || p.Meets(q) != c.meets || q.Meets(p) != c.meets {
			t.Errorf("%s, %s: covers %v, meets %v %v", p, q, p.Covers(q), p.Meets(q), q.Meets(p))
		}
	}
}

// reference matches by a regular expression.
func reference(text string) *regexp.Regexp {
	s := regexp.MustCompile(`\{[^/]*\.\.\.\}|\{[^/]*\}|\*|[^*{]+`).ReplaceAllStringFunc(text, func(s string) string {
		switch {
		case s == "*", strings.HasSuffix(s, "...}"):
			return ".*"
		case s[0] == '{':
			return "[^/]+"
		}
		return regexp.QuoteMeta(s)
	})
	return regexp.MustCompile("(?s)^(?:" + s + ")$")
}

// words returns all texts of at most n symbols.
func words(n int, symbols ...string) []string {
	out, last := []string{""}, []string{""}
	for range n {
		var next []string
		for _, w := range last {
			for _, s := range symbols {
				next = append(next, w+s)
			}
		}
		out, last = append(out, next...), next
	}
	return out
}

// TestRelationsAreExact compares the relations of every pair of small patterns with
// their matches among all small texts. b is the byte that no pattern contains.
func TestRelationsAreExact(t *testing.T) {
	texts := words(9, "a", "b", "/")
	type pattern struct {
		glob.Pattern
		matches []uint64 // a bit for each text
	}
	var all []pattern
	for _, w := range words(4, "a", "/", "*", "/{x}") {
		p, err := glob.Parse(w)
		if err != nil || strings.Contains(w, "**") || strings.Count(w, "{") > 2 {
			continue
		}
		re, matches := reference(w), make([]uint64, len(texts)/64+1)
		for i, s := range texts {
			got := p.Match(s)
			if len(s) < 6 && got != re.MatchString(s) { // the expressions are slow
				t.Fatalf("%s matches %s: %v", w, s, got)
			}
			if got {
				matches[i/64] |= 1 << (i % 64)
			}
		}
		all = append(all, pattern{p, matches})
	}
	for _, p := range all {
		for _, q := range all {
			covers, meets := true, false
			for i, bits := range q.matches {
				covers, meets = covers && bits&^p.matches[i] == 0, meets || bits&p.matches[i] != 0
			}
			if p.Covers(q.Pattern) != covers || p.Meets(q.Pattern) != meets {
				t.Errorf("%s, %s: covers %v, want %v; meets %v, want %v", p, q, p.Covers(q.Pattern), covers, p.Meets(q.Pattern), meets)
			}
		}
	}
	if len(all) < 150 {
		t.Errorf("only %d patterns", len(all))
	}
}

func FuzzPatterns(f *testing.F) {
	f.Add("/api/*", "/api/{id}", "/api/1")
	f.Add("*/{a}/b*", "/{r...}", "/x//y/b")
	f.Add("/a*b/{x}", "/*", "/ab/\xff")
	f.Fuzz(func(t *testing.T, a, b, s string) {
		if len(a) > 64 || len(b) > 64 {
			return
		}
		p, err := glob.Parse(a)
		if err != nil {
			return
		}
		if utf8.ValidString(a) && p.Match(s) != reference(a).MatchString(s) { // regexp takes no other
			t.Fatalf("%q matches %q: %v", a, s, p.Match(s))
		}
		q, err := glob.Parse(b)
		if err != nil {
			return
		}
		covers, meets, both := p.Covers(q), p.Meets(q), p.Match(s) && q.Match(s)
		switch {
		case covers && q.Match(s) && !p.Match(s):
			t.Fatalf("%q covers %q, but for %q", a, b, s)
		case both && !meets:
			t.Fatalf("%q does not meet %q, but for %q", a, b, s)
		case meets != q.Meets(p), covers && !meets, !p.Covers(p), !p.AllowEmpty().Covers(p), p.Match(s) && !p.AllowEmpty().Match(s):
			t.Fatalf("%q, %q: covers %v, meets %v %v", a, b, covers, meets, q.Meets(p))
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, c := range []struct{ what, pattern, text string }{
		{"literal", "/api/info", "/api/info"},
		{"prefix", "/api/*", "/api/info/of/some/length"},
		{"segments", "/users/{id}/orders/{order}", "/users/1234/orders/5678"},
		{"suffix", "*/healthz", "/some/longer/prefix/healthz"},
		{"miss", "/users/{id}/orders/*", "/orders/1234/users"},
		{"late miss", "/users/{id}/orders/*x", "/users/1234/orders/5678/items/9"},
		{"hostile", "*a*/{x}/b", strings.Repeat("/aaaaaaa", 32)},
	} {
		p := parse(b, c.pattern)
		b.Run(c.what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Match(c.text)
			}
		})
	}
}

func BenchmarkCovers(b *testing.B) {
	for _, c := range []struct{ what, p, q string }{
		{"literal", "/users/{id}/*", "/users/1/orders"},
		{"elsewhere", "/users/{id}/*", "/orders/{id}"},
		{"route", "/users/{id}/*", "/users/{id}/orders/{order}"},
		{"hostile", strings.Repeat("*a/{x}/", 8) + "*", strings.Repeat("*a/{x}/b/", 8)},
	} {
		p, q := parse(b, c.p), parse(b, c.q)
		b.Run(c.what, func(b *testing.B) {
			for b.Loop() {
				p.Covers(q)
			}
		})
	}
}

func BenchmarkMeets(b *testing.B) {
	p, q := parse(b, "/users/*/orders"), parse(b, "/users/{id}/{rest...}")
	for b.Loop() {
		p.Meets(q)
	}
}
