package scenarios_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// run is a server with a scenario, and what its clients do and see. A scenario
// that differs from server to server has several.
type run struct {
	on       func(t *testing.T, file string, env []string) *client // nil for inMemory
	loopback bool                                                  // on real connections and the real clock
	env      []string
	steps    []step
}

// step is what a client does once or several times, and what it sees.
type step struct {
	wait     time.Duration // before the step
	do       action        // nil only waits
	times    int           // 1 by default, one after the other
	together bool          // at the same time, and the outcomes in sorted order
	want     string        // outcomes in order, such as "2×503, 200"
	counts   counts        // in place of want
	took     took          // mean time of an outcome
}

// action is what a client does. It returns what the client sees, one text for each
// response or message.
type action interface {
	act(c *client) []string
}

// counts bounds how often each outcome is seen. An outcome that is not in it is an
// error. The bounds of random counts are those of the binomial distribution at 1 %.
type counts map[string][2]int

// took bounds a mean time. It is not checked when it is zero.
type took struct{ least, most time.Duration }

func exactly(d time.Duration) took { return took{d, d} }

// atOnce is the time of what does not take any in a bubble.
var atOnce = took{-1, 0}

// run does the step. It returns what is wrong with what clients saw.
func (s step) run(c *client) string {
	time.Sleep(s.wait)
	if s.do == nil {
		return ""
	}
	seen, mean := s.outcomes(c)
	if s.took != (took{}) && (mean < s.took.least || mean > s.took.most) {
		return fmt.Sprintf("took %v on average, want %v to %v", mean, s.took.least, s.took.most)
	}
	if s.counts != nil {
		return s.counts.check(seen)
	}
	if got := runLengths(seen); got != s.want {
		return fmt.Sprintf("clients saw %q, want %q", got, s.want)
	}
	return ""
}

// outcomes does the action and returns what clients saw, and the mean time.
func (s step) outcomes(c *client) (seen []string, mean time.Duration) {
	n := max(s.times, 1)
	type result struct {
		seen []string
		took time.Duration
	}
	results := make(chan result, n)
	once := func() {
		began := time.Now()
		seen := s.do.act(c)
		results <- result{seen, time.Since(began)}
	}
	for range n {
		if s.together {
			go once()
		} else {
			once()
		}
	}
	sum := time.Duration(0)
	for range n {
		r := <-results
		seen, sum = append(seen, r.seen...), sum+r.took
	}
	if s.together {
		slices.Sort(seen)
	}
	return seen, sum / time.Duration(n)
}

// runLengths writes outcomes with the repeated ones as "2×503".
func runLengths(seen []string) string {
	var out []string
	for i := 0; i < len(seen); {
		n := 1
		for i+n < len(seen) && seen[i+n] == seen[i] {
			n++
		}
		if text := seen[i]; n > 1 {
			out = append(out, fmt.Sprintf("%d×%s", n, text))
		} else {
			out = append(out, text)
		}
		i += n
	}
	return strings.Join(out, ", ")
}

// check returns which outcomes were seen too seldom or too often.
func (want counts) check(seen []string) string {
	got := map[string]int{}
	for _, s := range seen {
		got[s]++
	}
	for s, n := range got {
		if b := want[s]; n < b[0] || n > b[1] {
			return fmt.Sprintf("clients saw %d×%q, want %d to %d of %v", n, s, b[0], b[1], got)
		}
	}
	for s, b := range want {
		if got[s] < b[0] {
			return fmt.Sprintf("clients saw %d×%q, want %d to %d of %v", got[s], s, b[0], b[1], got)
		}
	}
	return ""
}
