package scenario_test

import (
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Everything that depends on time uses the clock that was set.
func TestSetClock(t *testing.T) {
	now := time.Unix(0, 0)
	e := scenario.NewEngine(1, "pod-0", scenario.Limits{Delay: time.Hour, Held: 1, Keys: 2})
	e.SetClock(func() time.Time { return now })
	apply(t, e, `
- { name: a, match: { path: /a }, when: { for: 1h }, ttl: 2h, delay: 1ms }
- { name: b, match: { path: /b }, limit: { rate: 1 }, delay: 1ms }
- { name: c, when: { window: { from: 3h } }, fault: { unready: true } }`)
	for _, c := range []struct {
		after   time.Duration
		a, b    string
		rules   int
		unready string
	}{
		{0, "a", "", 3, ""},
		{0, "a", "b", 3, ""},
		{time.Hour, "", "", 3, ""},
		{2 * time.Hour, "", "", 3, "c"},
	} {
		now = now.Add(c.after)
		a, b := names(e, get("/a", nil)), names(e, get("/b", nil))
		if a != c.a || b != c.b || len(e.Rules()) != c.rules || e.Unready() != c.unready {
			t.Errorf("%s: %q %q %d %q", now.UTC(), a, b, len(e.Rules()), e.Unready())
		}
	}
}
