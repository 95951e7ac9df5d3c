package scenario

import "strings"

// pattern is a text with * for any text and, in paths, {name} for one segment.
type pattern struct {
	text    string // {name} is the byte segment
	literal bool
}

const segment = 0

func newPattern(s string, path bool) pattern {
	for path {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			break
		}
		end := open + strings.IndexByte(s[open:], '}')
		s = s[:open] + string(rune(segment)) + s[end+1:]
	}
	return pattern{s, !strings.ContainsAny(s, "*\x00")}
}

// prefix is what comes before the first wildcard, up to its last slash.
func (p pattern) prefix() string {
	fixed := p.text
	if i := strings.IndexAny(fixed, "*\x00"); i >= 0 {
		fixed = fixed[:i]
	}
	return fixed[:strings.LastIndexByte(fixed, '/')+1]
}

// match goes on from the last * when it is stuck, with one byte more of the
// text behind that *. So it takes no longer than the product of the lengths.
func (p pattern) match(s string) bool {
	if p.literal {
		return p.text == s
	}
	star, retry := -1, 0
	i, at := 0, 0
	for at < len(s) || i < len(p.text) {
		if i < len(p.text) {
			switch c := p.text[i]; {
			case c == '*':
				star, retry = i, at
				i++
				continue
			case c == segment:
				if n := segmentLen(s[at:]); n > 0 {
					i, at = i+1, at+n
					continue
				}
			case at < len(s) && c == s[at]:
				i, at = i+1, at+1
				continue
			}
		}
		if star < 0 || retry >= len(s) {
			return false
		}
		retry++
		i, at = star+1, retry
	}
	return true
}

func segmentLen(s string) int {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return i
	}
	return len(s)
}
