// Package glob matches paths and other texts against patterns. Guards, fault
// rules and test scripts share its grammar, and the path of a route is a pattern
// too.
//
//	{name}     one segment of a path, not empty
//	{name...}  any text, as at the end of a route
//	*          any text: nothing, a part of a segment, or several segments
//
// A name in braces is a whole segment, as in [net/http.ServeMux]. Which name it
// is makes no difference. Everything else matches itself, byte by byte; there is
// no escape.
package glob

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// A Pattern is a compiled pattern. The zero value matches only the empty text.
// A Pattern never changes, so it may be used concurrently. The pattern of a
// regular expression has no Prefix, Shape and Stars.
type Pattern struct {
	text   string
	prefix string // of text, before the first wildcard
	ops    []op
	re     *regexp.Regexp // takes the place of ops
}

// An op is one element of a pattern: a byte that matches itself, or a wildcard.
type op int16

const (
	star op = -iota - 1 // * matches any bytes
	rest                // {name...} matches any bytes
	one                 // {name} is one, which matches a byte other than a slash,
	more                // and more, which matches any number of them
)

// other stands for a byte that no pattern contains. It is not a slash.
const other op = 256

// ErrBraces reports braces that are not the wildcard {name} or {name...}.
var ErrBraces = errors.New("{name} must be a whole segment")

// Parse compiles a pattern for paths. The only error is ErrBraces.
func Parse(text string) (Pattern, error) {
	p := Pattern{text: text}
	for i, seg := range strings.Split(text, "/") {
		if i > 0 {
			p.ops = append(p.ops, '/')
		}
		inner := strings.TrimSuffix(strings.TrimPrefix(seg, "{"), "}")
		switch name, tail := strings.CutSuffix(inner, "..."); {
		case len(inner) == len(seg) && !strings.ContainsAny(seg, "{}"):
			p.addText(seg)
		case len(inner) != len(seg)-2 || name == "" || strings.ContainsAny(name, "{}*"):
			return Pattern{}, ErrBraces
		case tail:
			p.ops = append(p.ops, rest)
		default:
			p.ops = append(p.ops, one, more)
		}
	}
	return p.compiled(), nil
}

// Text compiles a pattern in which only * is a wildcard, for host names, header
// values and the like.
func Text(text string) Pattern {
	p := Pattern{text: text}
	p.addText(text)
	return p.compiled()
}

func (p *Pattern) addText(text string) {
	for i := range len(text) {
		switch c := text[i]; {
		case c != '*':
			p.ops = append(p.ops, op(c))
		case i == 0 || text[i-1] != '*': // ** is *
			p.ops = append(p.ops, star)
		}
	}
}

func (p Pattern) compiled() Pattern {
	fixed := slices.IndexFunc(p.ops, op.wild)
	if fixed < 0 {
		fixed = len(p.ops)
	}
	p.prefix = p.text[:fixed]
	return p
}

// AllowEmpty returns a copy of p whose {name} also matches an empty segment.
// Routers differ on those, so a guard that must not miss a path includes them.
func (p Pattern) AllowEmpty() Pattern {
	p.ops = slices.DeleteFunc(slices.Clone(p.ops), func(o op) bool { return o == one })
	return p
}

// String returns the text that p was compiled from.
func (p Pattern) String() string { return p.text }

// Literal reports whether p has no wildcard. It then matches only its own text.
func (p Pattern) Literal() bool { return len(p.prefix) == len(p.ops) && p.re == nil }

// IsRegexp reports whether p is a regular expression.
func (p Pattern) IsRegexp() bool { return p.re != nil }

// Prefix returns the text before the first wildcard, with which every match
// begins.
func (p Pattern) Prefix() string { return p.prefix }

// Shape returns the text of p without the names of its wildcards. Patterns that
// differ only in those names, such as /cache/{key} and /cache/{id}, have the same
// shape.
func (p Pattern) Shape() string { return p.spell("*", "{}", "{...}") }

// Stars returns the text of p with every wildcard replaced by *.
func (p Pattern) Stars() string { return p.spell("*", "*", "*") }

// spell returns the text of p with other texts for its wildcards.
func (p Pattern) spell(anything, segment, tail string) string {
	var b strings.Builder
	for _, o := range p.ops {
		switch {
		case o == star:
			b.WriteString(anything)
		case o == rest:
			b.WriteString(tail)
		case o == more:
			b.WriteString(segment)
		case o != one:
			b.WriteByte(byte(o))
		}
	}
	return b.String()
}

func (o op) wild() bool { return o < 0 }

// loops reports whether o matches any number of bytes.
func (o op) loops() bool { return o == star || o == rest || o == more }

// takes reports whether o matches the byte c.
func (o op) takes(c op) bool { return o == c || o == star || o == rest || o < 0 && c != '/' }

// Match reports whether p matches all of s. It does not allocate, and its time is
// at most proportional to the product of both lengths.
func (p Pattern) Match(s string) bool {
	if p.re != nil {
		return p.re.MatchString(s)
	}
	if !strings.HasPrefix(s, p.prefix) {
		return false
	}
	i, at := len(p.prefix), len(p.prefix)
	last, from := -1, 0 // the last star or rest, and where the search for the op after it stands
	for {
		switch {
		case i == len(p.ops):
			if at == len(s) {
				return true
			}
		case p.ops[i] == star || p.ops[i] == rest:
			if i+1 == len(p.ops) {
				return true
			}
			last, from = i, at-1
		case p.ops[i] == more: // only a slash or the end can follow
			for at < len(s) && s[at] != '/' {
				at++
			}
			i++
			continue
		case at < len(s) && p.ops[i].takes(op(s[at])):
			i, at = i+1, at+1
			continue
		}
		if last < 0 {
			return false
		}
		skip := strings.IndexByte(s[from+1:], byte(p.ops[last+1])) // no wildcard can follow
		if skip < 0 {
			return false
		}
		from += 1 + skip
		i, at = last+2, from+1
	}
}
