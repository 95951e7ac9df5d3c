package glob

import (
	"cmp"
	"slices"
	"strings"
)

// Set finds which of many patterns match a text. It looks for one literal part
// of each pattern with an Aho-Corasick automaton, in one pass over the text, and
// compares only the patterns whose part occurs.
type Set struct {
	patterns []Pattern
	loose    []int32    // patterns without a literal part
	parts    []string   // sorted
	ids      [][]int32  // patterns, by part
	label    []byte     // by state: the byte that leads to it
	first    []int32    // by state: its first child; children are consecutive, in the order of states
	fail     []int32    // by state: that of the longest suffix
	ends     []int32    // by state: the part that ends there, -1 for none
	next     []int32    // by state: the nearest state with an end among its suffixes, 0 for none
	root     [256]int32 // children of the first state
}

// NewSet returns a set of patterns.
func NewSet(patterns []Pattern) *Set {
	s := &Set{patterns: patterns}
	literals, shared := make([][]string, len(patterns)), map[string]int{}
	for i, p := range patterns {
		literals[i] = p.Literals()
		for _, l := range literals[i] {
			shared[l]++
		}
	}
	byPart := map[string][]int32{}
	for i, all := range literals {
		if len(all) == 0 {
			s.loose = append(s.loose, int32(i))
			continue
		}
		// The part that the fewest patterns have, and of those the longest.
		part := slices.MinFunc(all, func(a, b string) int {
			return cmp.Or(cmp.Compare(shared[a], shared[b]), cmp.Compare(len(b), len(a)))
		})
		byPart[part] = append(byPart[part], int32(i))
	}
	for part := range byPart {
		s.parts = append(s.parts, part)
	}
	slices.Sort(s.parts)
	for _, part := range s.parts {
		s.ids = append(s.ids, byPart[part])
	}
	s.build()
	return s
}

// build makes the states in the order of their depth.
func (s *Set) build() {
	type span struct{ from, to, depth int } // parts that share the first bytes
	states := []span{{0, len(s.parts), 0}}
	parent := []int32{0}
	s.label = []byte{0}
	for at := 0; at < len(states); at++ {
		st := states[at]
		s.first = append(s.first, int32(len(states)))
		s.ends = append(s.ends, -1)
		if st.from < st.to && len(s.parts[st.from]) == st.depth {
			s.ends[at] = int32(st.from)
			st.from++
		}
		for from := st.from; from < st.to; {
			c, to := s.parts[from][st.depth], from+1
			for to < st.to && s.parts[to][st.depth] == c {
				to++
			}
			if at == 0 {
				s.root[c] = int32(len(states))
			}
			states, parent, s.label = append(states, span{from, to, st.depth + 1}), append(parent, int32(at)), append(s.label, c)
			from = to
		}
	}
	s.first = append(s.first, int32(len(states)))
	s.fail, s.next = make([]int32, len(states)), make([]int32, len(states))
	for at := 1; at < len(states); at++ {
		if states[at].depth > 1 {
			s.fail[at] = s.step(s.fail[parent[at]], s.label[at])
		}
		if f := s.fail[at]; s.ends[f] >= 0 {
			s.next[at] = f
		} else {
			s.next[at] = s.next[f]
		}
	}
}

// step returns the state after another one and a byte.
func (s *Set) step(state int32, c byte) int32 {
	for state != 0 {
		from, to := s.first[state], s.first[state+1]
		for i := from; i < to; i++ {
			if s.label[i] == c {
				return i
			}
		}
		state = s.fail[state]
	}
	return s.root[c]
}

// Matches appends the numbers of the patterns that match text, each once, in no
// order.
func (s *Set) Matches(text string, out []int32) []int32 {
	for _, i := range s.loose {
		if s.patterns[i].Match(text) {
			out = append(out, i)
		}
	}
	if len(s.parts) == 0 {
		return out
	}
	state := int32(0)
	for at := range len(text) {
		state = s.step(state, text[at])
		end := state
		if s.ends[end] < 0 {
			end = s.next[end]
		}
		for ; end != 0; end = s.next[end] {
			part := s.parts[s.ends[end]]
			if strings.Index(text, part)+len(part) != at+1 {
				continue // it occurred before
			}
			for _, i := range s.ids[s.ends[end]] {
				if s.patterns[i].Match(text) {
					out = append(out, i)
				}
			}
		}
	}
	return out
}
