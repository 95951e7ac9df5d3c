package scenario_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Replicas count together, and go on alone from the last number when they cannot.
func TestShared(t *testing.T) {
	counts, down := map[string]uint64{}, false
	add := func(key string, n uint64) (uint64, bool) {
		if down {
			return 0, false
		}
		counts[key] += n
		return counts[key], true
	}
	var engines []*scenario.Engine
	for i := range 3 {
		e := scenario.NewEngine(uint64(i), fmt.Sprint("pod-", i), scenario.Limits{Delay: time.Hour, Keys: 100})
		e.SetShared(add)
		apply(t, e, "- {name: r, match: {per: 'header:id'}, when: {first: 2}, shared: true, delay: 1ms}")
		engines = append(engines, e)
	}
	next := 0
	hit := func(id string) string {
		e := engines[next%3]
		next++
		return names(e, get("/", values{"Id": {id}}))
	}
	for id := range 50 {
		for attempt := range 5 {
			if got := hit(fmt.Sprint(id)) == "r"; got != (attempt < 2) {
				t.Errorf("id %d, attempt %d: %v", id, attempt, got)
			}
		}
	}
	if len(counts) != 50 {
		t.Errorf("%d keys", len(counts))
	}
	next = 0
	hit("x") // replica 0
	down = true
	got := ""
	for range 6 { // replica 1 and 2 know nothing, replica 0 continues
		got += hit("x") + ","
	}
	down = false
	for range 3 {
		got += hit("x") + ","
	}
	if got != "r,r,r,r,r,,,,," || counts[keyOf(counts, 8)] != 10 {
		t.Errorf("%s %v", got, counts)
	}
	// A changed rule starts over, on new keys.
	for _, e := range engines {
		apply(t, e, "- {name: r, match: {per: 'header:id'}, when: {first: 1}, shared: true, delay: 1ms}")
	}
	if hit("x") != "r" || hit("x") != "" || hit("x") != "" {
		t.Error("the changed rule")
	}
}

// keyOf returns the key with a count of at least n.
func keyOf(counts map[string]uint64, n uint64) string {
	for key, count := range counts {
		if count >= n {
			return key
		}
	}
	return ""
}
