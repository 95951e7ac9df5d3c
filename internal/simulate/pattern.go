package simulate

import (
	"regexp/syntax"
	"strings"
)

// fill returns a text that a pattern matches.
func fill(pattern string) string { return strings.ReplaceAll(fillKeyed(pattern), "*", "any") }

// fillKeyed returns a text that a pattern matches, with its wildcards. That of a
// regular expression has none.
func fillKeyed(pattern string) string {
	expr, ok := strings.CutPrefix(pattern, "~")
	if !ok {
		return pattern
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		panic(err) // impossible: the rule was checked
	}
	return sample(parsed.Simplify())
}

// sample returns a text that a regular expression matches. It ignores conditions
// about the boundaries of words.
func sample(re *syntax.Regexp) (out string) {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 { // a letter or digit if there is one
			for _, c := range "a0A" {
				if re.Rune[i] <= c && c <= re.Rune[i+1] {
					return string(c)
				}
			}
		}
		if len(re.Rune) > 0 {
			return string(re.Rune[0])
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "a"
	case syntax.OpCapture, syntax.OpPlus, syntax.OpAlternate:
		return sample(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			out += sample(sub)
		}
	}
	return out
}

// fillPath is fill for paths; {name} becomes name.
func fillPath(pattern string) string {
	if strings.HasPrefix(pattern, "~") {
		return fill(pattern)
	}
	if rest, ok := strings.CutPrefix(pattern, "*"); ok {
		pattern = "/*" + rest
	}
	return strings.NewReplacer("{", "", "}", "").Replace(fill(pattern))
}
