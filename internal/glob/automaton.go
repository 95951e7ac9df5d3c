package glob

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSteps bounds a comparison with regular expressions: about 10 ms of work.
const maxSteps = 300_000

// program is patterns as instructions of package syntax, which match the texts that
// any of the patterns matches.
type program struct {
	inst    []syntax.Inst
	starts  []int
	context bool // there are assertions about words or lines
}

// newProgram compiles patterns. It returns nil if one of them is not UTF-8: texts
// are compared by rune.
func newProgram(patterns ...Pattern) *program {
	p := new(program)
	for _, pattern := range patterns {
		expr := pattern.expression()
		if !utf8.ValidString(pattern.text) || strings.ContainsRune(pattern.text, utf8.RuneError) {
			return nil
		}
		parsed, err := syntax.Parse(expr, syntax.Perl)
		if err != nil {
			return nil
		}
		prog, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			return nil
		}
		first := uint32(len(p.inst))
		p.starts = append(p.starts, int(first)+prog.Start)
		for _, in := range prog.Inst {
			switch in.Op {
			case syntax.InstAlt, syntax.InstAltMatch:
				in.Arg += first
			case syntax.InstEmptyWidth:
				p.context = p.context || syntax.EmptyOp(in.Arg)&^(syntax.EmptyBeginText|syntax.EmptyEndText) != 0
			}
			in.Out += first
			p.inst = append(p.inst, in)
		}
	}
	return p
}

// expression returns a regular expression for p.
func (p Pattern) expression() string {
	if p.re != nil {
		return p.re.String()
	}
	expr, literal := `\A`, ""
	for _, o := range append(slices.Clone(p.ops), end) {
		if o >= 0 && o < other {
			literal += string([]byte{byte(o)})
			continue
		}
		expr, literal = expr+quoted(literal), ""
		switch o {
		case star, rest:
			expr += `(?s:.*)`
		case one:
			expr += `[^/]`
		case more:
			expr += `[^/]*`
		}
	}
	return expr + `\z`
}

// quoted is regexp.QuoteMeta for a text that may end within a rune.
func quoted(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// expand adds to places the instructions that they lead to without a rune, if the
// assertions hold that are in context. It returns those that match a rune, and
// whether the text may end.
func (p *program) expand(places []int, context syntax.EmptyOp) (runes []int, matched bool) {
	seen := map[int]bool{}
	for stack := slices.Clone(places); len(stack) > 0; {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		switch in := &p.inst[at]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, int(in.Out), int(in.Arg))
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, int(in.Out))
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^context == 0 {
				stack = append(stack, int(in.Out))
			}
		case syntax.InstMatch:
			matched = true
		case syntax.InstFail:
		default:
			runes = append(runes, at)
		}
	}
	return runes, matched
}

// step returns the places after a rune, in order.
func (p *program) step(places []int, context syntax.EmptyOp, r rune) (out []int) {
	runes, _ := p.expand(places, context)
	for _, at := range runes {
		if in := &p.inst[at]; in.MatchRune(r) {
			out = append(out, int(in.Out))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// bounds adds the first runes of the classes that the instructions distinguish.
func (p *program) bounds(places []int, out map[rune]bool) {
	const everything = ^syntax.EmptyOp(0)
	add := func(from, to rune) { out[from], out[to+1] = true, true }
	runes, _ := p.expand(places, everything)
	for _, at := range runes {
		in := &p.inst[at]
		switch {
		case in.Op == syntax.InstRuneAnyNotNL:
			add('\n', '\n')
		case len(in.Rune) == 1:
			add(in.Rune[0], in.Rune[0])
			for r := unicode.SimpleFold(in.Rune[0]); r != in.Rune[0]; r = unicode.SimpleFold(r) {
				add(r, r)
			}
		default:
			for i := 0; i+1 < len(in.Rune); i += 2 {
				add(in.Rune[i], in.Rune[i+1])
			}
		}
	}
	if p.context {
		for _, class := range []string{"\n\n", "09", "AZ", "__", "az"} {
			add(rune(class[0]), rune(class[1]))
		}
	}
}

// state is where two programs are in a text.
type state struct {
	p, q []int
	last rune // a rune of the class of the last one, -1 before the first
}

// key identifies a state, whose last rune counts only for assertions.
func (s *state) key() string {
	var b strings.Builder
	for _, places := range [][]int{s.p, {-1}, s.q, {-1, int(s.last)}} {
		for _, at := range places {
			b.WriteRune(rune(at + 2))
		}
	}
	return b.String()
}

// kindOf returns a rune of the same kind for assertions.
func kindOf(r rune) rune {
	switch {
	case r == '\n':
		return r
	case syntax.IsWordChar(r):
		return 'a'
	}
	return ' '
}

// find reports whether there is a text for which want is true of whether p and q
// match it. It goes on only while alive is true of the numbers of places left. sure is
// false if that would take too long.
func find(p, q *program, want func(p, q bool) bool, alive func(p, q int) bool) (found, sure bool) {
	if p == nil || q == nil {
		return false, false
	}
	queue := []state{{p.starts, q.starts, -1}}
	seen := map[string]bool{queue[0].key(): true}
	for steps := 0; len(queue) > 0; {
		s := queue[0]
		queue = queue[1:]
		atEnd := syntax.EmptyOpContext(s.last, -1)
		_, endP := p.expand(s.p, atEnd)
		_, endQ := q.expand(s.q, atEnd)
		if want(endP, endQ) {
			return true, true
		}
		runes := map[rune]bool{0: true}
		p.bounds(s.p, runes)
		q.bounds(s.q, runes)
		for r := range runes {
			if steps += 1 + len(s.p) + len(s.q); steps > maxSteps {
				return false, false
			}
			if r > unicode.MaxRune {
				continue
			}
			context := syntax.EmptyOpContext(s.last, r)
			next := state{p.step(s.p, context, r), q.step(s.q, context, r), kindOf(r)}
			if key := next.key(); alive(len(next.p), len(next.q)) && !seen[key] {
				seen[key] = true
				queue = append(queue, next)
			}
		}
	}
	return false, true
}

// meet is Meets for regular expressions.
func meet(p, q *program) bool {
	found, sure := find(p, q, func(p, q bool) bool { return p && q }, func(p, q int) bool { return p > 0 && q > 0 })
	return found || !sure
}

// cover is Covers for regular expressions.
func cover(p, q *program) bool {
	found, sure := find(p, q, func(p, q bool) bool { return q && !p }, func(_, q int) bool { return q > 0 })
	return sure && !found
}

// CoverTogether reports whether every text that q matches also matches one of the
// patterns. It is false if that cannot be told.
func CoverTogether(patterns []Pattern, q Pattern) bool {
	return slices.ContainsFunc(patterns, func(p Pattern) bool { return p.Covers(q) }) ||
		len(patterns) > 1 && !q.Literal() && cover(newProgram(patterns...), newProgram(q))
}
