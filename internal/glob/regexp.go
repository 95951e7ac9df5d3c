package glob

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a regular expression. Matching takes time in proportion to the
// length of the text and to the number of instructions.
const (
	MaxRegexp       = 512  // bytes
	maxInstructions = 1000 // of the compiled program
)

// Errors of Regexp.
var (
	ErrLong  = errors.New("longer than 512 bytes")
	ErrLarge = errors.New("too many repetitions or alternatives")
)

// RegexpSize returns the number of instructions of a regular expression, or why it
// is not accepted.
func RegexpSize(expr string) (int, error) {
	if len(expr) > MaxRegexp {
		return 0, ErrLong
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0, err
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err == nil && len(prog.Inst) > maxInstructions {
		err = ErrLarge
	}
	if err != nil {
		return 0, err
	}
	return len(prog.Inst), nil
}

// Regexp compiles a regular expression (RE2) that must match a whole text, after
// the literal text before. A dot also matches a line break, as * does.
func Regexp(before, expr string) (Pattern, error) {
	if _, err := RegexpSize(expr); err != nil {
		return Pattern{}, err
	}
	re, err := regexp.Compile(`\A` + regexp.QuoteMeta(before) + `(?s:` + expr + `)\z`)
	if err != nil {
		return Pattern{}, err
	}
	return Pattern{text: "~" + before + expr, re: re}, nil
}

// Literals returns texts that every match of p contains, in order.
func (p Pattern) Literals() (out []string) {
	if p.re != nil {
		parsed, err := syntax.Parse(p.re.String(), syntax.Perl)
		if err != nil {
			return nil
		}
		return literals(parsed.Simplify(), nil)
	}
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			out = append(out, b.String())
			b.Reset()
		}
	}
	for _, o := range p.ops {
		if o.wild() {
			flush()
		} else {
			b.WriteByte(byte(o))
		}
	}
	flush()
	return out
}

// literals appends the texts that every match of a regular expression contains.
func literals(re *syntax.Regexp, out []string) []string {
	switch re.Op {
	case syntax.OpLiteral:
		// Bytes that are not UTF-8 match U+FFFD.
		if re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, utf8.RuneError) {
			out = append(out, string(re.Rune))
		}
	case syntax.OpConcat, syntax.OpCapture, syntax.OpPlus:
		for _, sub := range re.Sub {
			out = literals(sub, out)
		}
	}
	return out
}
