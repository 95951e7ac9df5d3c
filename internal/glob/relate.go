package glob

import (
	"fmt"
	"slices"
	"strings"
)

// end follows the last op of a pattern and matches no byte.
const end op = other + 1

func (p Pattern) at(i int) op {
	if i == len(p.ops) {
		return end
	}
	return p.ops[i]
}

// Meets reports whether some text matches both patterns. It assumes so of regular
// expressions that take too long to compare.
func (p Pattern) Meets(q Pattern) bool {
	switch {
	case p.re == nil && q.re == nil:
	case p.Literal():
		return q.Match(p.text)
	case q.Literal():
		return p.Match(q.text)
	default:
		return p.startsLike(q) && meet(newProgram(p), newProgram(q))
	}
	// here[j] tells whether some text matches the first i ops of p and the first j
	// of q; next is the same for i+1.
	here, next := make([]bool, len(q.ops)+1), make([]bool, len(q.ops)+1)
	here[0] = true
	for i := 0; ; i++ {
		for j := range here {
			if !here[j] {
				continue
			}
			a, b := p.at(i), q.at(j)
			share := a != end && b != end && (a.takes(b) || b.takes(a))
			if b.loops() || share && a.loops() {
				here[j+1] = true
			}
			if a.loops() || share && b.loops() {
				next[j] = true
			}
			if share {
				next[j+1] = true
			}
		}
		if i == len(p.ops) {
			return here[len(q.ops)]
		}
		here, next = next, here
		clear(next)
	}
}

// startsLike reports whether texts of both patterns may begin alike.
func (p Pattern) startsLike(q Pattern) bool {
	return strings.HasPrefix(p.start(), q.start()) || strings.HasPrefix(q.start(), p.start())
}

// start returns literal text that every match of p begins with.
func (p Pattern) start() string {
	if p.re == nil {
		return p.prefix
	}
	text, _ := p.re.LiteralPrefix()
	return text
}

// Covers reports whether p matches every text that q matches. It is false for regular
// expressions that take too long to compare.
func (p Pattern) Covers(q Pattern) bool {
	switch {
	case q.Literal():
		return p.Match(q.text)
	case p.text == "*" && p.re == nil || p.text == q.text && p.re != nil && q.re != nil:
		return true
	case p.re != nil || q.re != nil:
		return p.startsLike(q) && cover(newProgram(p), newProgram(q))
	case p.Literal() || !strings.HasPrefix(q.prefix, p.prefix):
		return false
	case !p.Match(q.spell("\x00", "\x00", "\x00")): // one of q's texts, mostly enough
		return false
	}
	return p.follows(q, 0, p.enter(nil, 0), map[string]bool{})
}

// follows reports whether every text that matches q from op j on matches p from
// one of places on. seen holds the questions that were asked before.
//
// Of the many bytes that a wildcard of q matches, one that p does not contain
// leaves p the fewest places. If p follows there, it follows for all others except
// the slash, so these two are enough.
func (p Pattern) follows(q Pattern, j int, places []int, seen map[string]bool) bool {
	for ; len(places) > 0; j++ {
		o := q.at(j)
		switch {
		case o == end:
			return slices.Contains(places, len(p.ops))
		case o == one:
			places = p.step(places, other)
		case !o.loops():
			places = p.step(places, o)
		default:
			key := fmt.Sprint(j, places)
			if seen[key] {
				return true
			}
			seen[key] = true
			if !p.follows(q, j, p.step(places, other), seen) || o != more && !p.follows(q, j, p.step(places, '/'), seen) {
				return false
			}
		}
	}
	return false
}

// step returns the places in p after the byte c.
func (p Pattern) step(places []int, c op) (out []int) {
	for _, i := range places {
		switch o := p.at(i); {
		case o == end || !o.takes(c):
		case o.loops():
			out = p.enter(out, i)
		default:
			out = p.enter(out, i+1)
		}
	}
	return out
}

// enter adds op i to places, and the ops after it as long as those before may match
// nothing. A star or rest replaces the places before it, because it leads to all that
// they lead to. This keeps places few.
func (p Pattern) enter(places []int, i int) []int {
	for ; ; i++ {
		o := p.at(i)
		if o == star || o == rest {
			places = places[:0]
		}
		if at, found := slices.BinarySearch(places, i); !found {
			places = slices.Insert(places, at, i)
		}
		if !o.loops() {
			return places
		}
	}
}
