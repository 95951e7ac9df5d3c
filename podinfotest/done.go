package podinfotest

import (
	"fmt"
	"strings"
	"testing"
)

// WantDone fails the test unless every step of every script was used: each as often as
// it says, and the last step that stays at least once. With [Per] the attempts of all
// keys count together. Scripts that another one has replaced do not count. The script
// of connections must have been used up to its last step.
func (s *Server) WantDone(t testing.TB) {
	t.Helper()
	if used, of := s.links.used(); used < of {
		t.Errorf("the script of connections is not done: %d of %d connections were made", used, of)
	}
	if s.faults == nil {
		return
	}
	hits := map[string]uint64{}
	for _, state := range s.faults.Rules() {
		hits[state.Rule.Name] = state.Hits
	}
	s.mu.Lock()
	scripts := append([]script(nil), s.scripts...)
	s.mu.Unlock()
	for i := range scripts {
		sc := &scripts[i]
		var left []string
		for _, r := range sc.rules {
			if used, times := hits[r.Name], sc.steps[r.Name].times; used < uint64(times) {
				left = append(left, fmt.Sprintf("%s %d of %d", strings.TrimPrefix(r.Name, sc.name+"."), used, times))
			}
		}
		if len(left) > 0 {
			t.Errorf("script of %s is not done: steps used: %s%s\n%s", sc, strings.Join(left, ", "), s.misses(sc), s.record.search(sc.path))
		}
	}
}

// misses says which requests resemble those that a script waits for: other paths, or
// the script's path without its conditions.
func (s *Server) misses(sc *script) string {
	var out []string
	for _, r := range s.record.find(sc.path) {
		if why := sc.mismatches(&r); len(why) > 0 && len(out) < nearMisses {
			out = append(out, fmt.Sprintf("%s → %s (%s)", spell(r.Method, r.Path), r.result(), strings.Join(why, ", ")))
		}
	}
	if out == nil {
		out = (&search{sc.path, s.record}).near()
	}
	if out == nil {
		return ""
	}
	return "; near misses: " + strings.Join(out, ", ")
}

// WantNoOthers fails the test if there were requests or calls that no script matches.
// Probes and metrics do not count.
func (s *Server) WantNoOthers(t testing.TB) {
	t.Helper()
	var others Requests
	for _, r := range s.record.search(everything) {
		if !r.Done {
			s.record.mu.Lock()
			s.record.settleScripts(&r)
			s.record.mu.Unlock()
		}
		if !r.scripted && !r.internal {
			others = append(others, r)
		}
	}
	if len(others) == 0 {
		return
	}
	var have []string
	s.mu.Lock()
	for i := range s.scripts {
		have = append(have, s.scripts[i].String())
	}
	s.mu.Unlock()
	t.Errorf("%d requests that no script matches; the scripts are of: %s\n%s", len(others), strings.Join(have, ", "), others.around(0))
}
