package glob_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
)

// A set matches as its patterns do one after the other.
func FuzzSet(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		word := func(pieces string, most int) (out string) {
			for range r.IntN(most + 1) {
				out += string(pieces[r.IntN(len(pieces))])
			}
			return out
		}
		var patterns []glob.Pattern
		for range r.IntN(20) {
			p := glob.Text(word("ab/*", 6))
			if r.IntN(3) == 0 {
				p, _ = glob.Regexp("", word("ab.", 3)+"(?:a|b*)"+word("ab+", 1))
			} else if r.IntN(3) == 0 {
				p, _ = glob.Parse("/" + word("ab", 2) + "/{x}/" + word("ab*", 3))
			}
			patterns = append(patterns, p)
		}
		set := glob.NewSet(patterns)
		for range 20 {
			text := word("ab/c", 8)
			want := []int32{}
			for i, p := range patterns {
				if p.Match(text) {
					want = append(want, int32(i))
				}
			}
			got := set.Matches(text, []int32{})
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%v on %q: %s", patterns, text, diff)
			}
		}
	})
}

// A text with many occurrences of a part costs little, and nothing is allocated.
func TestSetAllocatesNothing(t *testing.T) {
	var patterns []glob.Pattern
	for i := range 1000 {
		patterns = append(patterns, glob.Text(fmt.Sprintf("*/a%d/*x", i)))
	}
	set := glob.NewSet(patterns)
	var room [8]int32
	if n := testing.AllocsPerRun(100, func() { set.Matches("/a1/a2/a3/a1/a2/a3/nothing", room[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
