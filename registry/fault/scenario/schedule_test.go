package scenario_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// When rules hit, by the calendar of their time zone.
func TestCalendar(t *testing.T) {
	for _, c := range []struct {
		when string
		at   string // UTC
		want bool
	}{
		{"cron: '0 9 * * 1-5', for: 30m", "2026-07-06 09:00:00", true}, // a Monday
		{"cron: '0 9 * * 1-5', for: 30m", "2026-07-06 08:59:59", false},
		{"cron: '0 9 * * 1-5', for: 30m", "2026-07-06 09:29:59", true},
		{"cron: '0 9 * * 1-5', for: 30m", "2026-07-06 09:30:00", false},
		{"cron: '0 9 * * 1-5', for: 30m", "2026-07-05 09:10:00", false},
		{"cron: '0 9 * * MON-FRI', for: 30m, zone: Europe/Berlin", "2026-07-06 07:10:00", true}, // summer time
		{"cron: '0 9 * * MON-FRI', for: 30m, zone: Europe/Berlin", "2026-01-05 08:10:00", true},
		{"cron: '0 9 * * MON-FRI', for: 30m, zone: Europe/Berlin", "2026-01-05 07:10:00", false},
		{"cron: '50 23 * * *', for: 20m", "2026-07-06 00:05:00", true}, // of the day before
		{"cron: '0 * * * *', for: 2h", "2026-07-06 05:59:00", true},
		{"cron: '0 0 29 2 *', for: 1h", "2027-02-28 00:30:00", false},
		{"weekdays: [mon, tue]", "2026-07-06 00:00:00", true},
		{"weekdays: [mon, tue]", "2026-07-08 00:00:00", false},
		{"weekdays: [mon], zone: Asia/Tokyo", "2026-07-05 15:00:00", true},
		{"weekdays: [mon], zone: Asia/Tokyo", "2026-07-06 15:00:00", false},
		{"daily: {from: '22:00', to: '06:00'}, zone: America/New_York", "2026-07-06 02:00:00", true},
		{"daily: {from: '22:00', to: '06:00'}, zone: America/New_York", "2026-07-06 10:00:00", false},
		{"daily: {from: '22:00', to: '06:00'}", "2026-07-06 10:00:00", false},
		{"cron: '0 9 * * *', for: 1h, weekdays: [tue]", "2026-07-06 09:10:00", false},
	} {
		now, err := time.Parse(time.DateTime, c.at)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range []string{"delay: 1ms", "fault: {unready: true}"} {
			e := scenario.NewEngine(1, "pod-0", scenario.Limits{Delay: time.Hour, Keys: 2})
			e.SetClock(func() time.Time { return now })
			apply(t, e, "- {name: r, when: {"+c.when+"}, "+fault+"}")
			if got := names(e, get("/", nil))+e.Unready() == "r"; got != c.want {
				t.Errorf("%s at %s: %v", c.when, c.at, got)
			}
		}
	}
}

// A cron expression opens and closes on one engine, over a change to winter time.
func TestCronOverTime(t *testing.T) {
	now := time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC)
	e := scenario.NewEngine(1, "pod-0", scenario.Limits{Delay: time.Hour, Keys: 2})
	e.SetClock(func() time.Time { return now })
	apply(t, e, "- {name: r, when: {cron: '30 9 * * *', for: 15m, zone: Europe/Berlin}, delay: 1ms}")
	var open []string
	for range 2 * 24 * 60 {
		if names(e, get("/", nil)) != "" {
			open = append(open, now.Format("02 15:04"))
		}
		now = now.Add(time.Minute)
	}
	if len(open) != 30 || open[0] != "24 07:30" || open[14] != "24 07:44" || open[15] != "25 08:30" {
		t.Errorf("%d minutes: %v", len(open), open)
	}
}

// The share and the length of bursts are those of the Markov chain, and a seed
// repeats them.
func TestBurst(t *testing.T) {
	const n = 200_000
	run := func() (hits, bursts int) {
		e := engine(t, "- {name: r, when: {burst: {enter: 1%, leave: 20%}}, delay: 1ms}")
		before := false
		for range n {
			hit := names(e, get("/", nil)) != ""
			if hit {
				hits++
			}
			if hit && !before {
				bursts++
			}
			before = hit
		}
		return hits, bursts
	}
	hits, bursts := run()
	if share := float64(hits) / n; math.Abs(share-1.0/21) > 0.005 {
		t.Errorf("%v of the requests", share)
	}
	if length := float64(hits) / float64(bursts); math.Abs(length-5) > 0.4 {
		t.Errorf("bursts of %v requests", length)
	}
	if again, _ := run(); again != hits {
		t.Errorf("%d hits, then %d", hits, again)
	}
}

// The numbers of when count all requests, also those outside of bursts.
func TestBurstPerKey(t *testing.T) {
	e := engine(t, "- {name: r, match: {per: 'header:k'}, when: {burst: {enter: 100%, leave: 100%}, after: 2}, delay: 1ms}")
	got := ""
	for range 6 {
		for _, k := range []string{"a", "b"} {
			if names(e, get("/", values{"K": {k}})) != "" {
				got += k
			} else {
				got += "-"
			}
		}
	}
	if got != "----ab--ab--" {
		t.Error(got)
	}
}

// The same keys stick to a rule on every replica, whatever its seed.
func TestSticky(t *testing.T) {
	const n = 20_000
	var engines []*scenario.Engine
	for seed := range uint64(3) {
		e := scenario.NewEngine(seed, fmt.Sprint("pod-", seed), scenario.Limits{Delay: time.Hour, Keys: 100})
		apply(t, e, "- {name: a, match: {per: 'header:k', sticky: 5}, delay: 1ms, combine: true}\n- {name: b, match: {per: 'header:k', sticky: 5}, delay: 1ms}")
		engines = append(engines, e)
	}
	count := map[string]int{}
	for i := range n {
		req := get("/", values{"K": {fmt.Sprint("user-", i)}})
		want := names(engines[0], req)
		count[want]++
		for _, e := range append(engines, engines...) {
			if got := names(e, req); got != want {
				t.Fatalf("user-%d: %q, then %q", i, want, got)
			}
		}
	}
	if a := count["a"] + count["a,b"]; math.Abs(float64(a)-n/20) > 100 {
		t.Errorf("%d of %d keys", a, n)
	}
	if both := count["a,b"]; both > 100 { // 50 are in both shares
		t.Errorf("two rules share %d keys", both)
	}
	if names(engines[0], get("/", nil)) != "" {
		t.Error("a request without the key")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 7, 6, 9, 0, 0, 1, time.UTC)
	for _, c := range []struct{ rule, want string }{
		{"fault: {status: 503, retry-after: 10s}", "10"},
		{"fault: {status: 503, retry-after: 1500ms}", "2"},
		{"fault: {status: 503, retry-after: {after: 10s, as: date}}", "Mon, 06 Jul 2026 09:00:11 GMT"},
		{"fault: {status: 503}", ""},
		{"limit: {rate: 0.1}", "10"},
		{"limit: {rate: 0.1}, fault: {status: 429, retry-after: {as: date}}", "Mon, 06 Jul 2026 09:00:11 GMT"},
		{"limit: {rate: 0.1}, fault: {status: 429, retry-after: 3s}", "3"},
	} {
		e := scenario.NewEngine(1, "", scenario.Limits{Delay: time.Hour, Keys: 2})
		e.SetClock(func() time.Time { return now })
		apply(t, e, "- {name: r, "+c.rule+"}")
		e.Decide(get("/", nil)) // takes the token of the limit
		d := e.Decide(get("/", nil))
		if d == nil || d.Strikes[0].RetryAfter(now) != c.want {
			t.Errorf("%s: %+v", c.rule, d)
		}
	}
}

// TestSummerTime checks periods on the days when the clocks of a zone change: times
// are those that the clocks show, so one that they skip does not occur, and one that
// they show twice counts twice. The length of a period is not affected.
func TestSummerTime(t *testing.T) {
	for _, c := range []struct{ when, from, changes string }{ // changes begin with a hit
		{"cron: '30 2 * * *', for: 30m, zone: Europe/Berlin", "2026-10-24T23:00:00Z", "25 00:30, 25 01:00, 25 01:30, 25 02:00, 26 01:30, 26 02:00"},
		{"daily: {from: '02:30', to: '03:00'}, zone: Europe/Berlin", "2026-10-24T23:00:00Z", "25 00:30, 25 01:00, 25 01:30, 25 02:00, 26 01:30, 26 02:00"},
		{"cron: '30 1 * * *', for: 2h, zone: Europe/Berlin", "2026-10-24T23:00:00Z", "24 23:30, 25 01:30, 26 00:30, 26 02:30"},
		{"cron: '30 2 * * *', for: 1h, zone: Europe/Berlin", "2026-03-28T23:00:00Z", "30 00:30, 30 01:30"},
		{"cron: '30 1 * * *', for: 1h, zone: Europe/Berlin", "2026-03-28T23:00:00Z", "29 00:30, 29 01:30, 29 23:30, 30 00:30"},
		{"daily: {from: '02:30', to: '03:30'}, zone: Europe/Berlin", "2026-03-28T23:00:00Z", "29 01:00, 29 01:30, 30 00:30, 30 01:30"},
		{"weekdays: [sun], zone: Europe/Berlin", "2026-10-24T21:00:00Z", "24 22:00, 25 23:00"}, // 25 hours
		{"weekdays: [sun], zone: Europe/Berlin", "2026-03-28T21:00:00Z", "28 23:00, 29 22:00"}, // 23 hours
	} {
		e := scenario.NewEngine(1, "a", scenario.Limits{Delay: time.Hour, Held: 1, Keys: 10})
		now, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		e.SetClock(func() time.Time { return now })
		apply(t, e, "- {name: r, delay: 1s, when: {"+c.when+"}}")
		var changes []string
		hit := false
		for end := now.Add(30 * time.Hour); now.Before(end); now = now.Add(15 * time.Minute) {
			if d := e.Decide(get("/", nil)); (d != nil) != hit {
				hit = d != nil
				changes = append(changes, now.Format("02 15:04"))
			}
		}
		if got := strings.Join(changes, ", "); got != c.changes {
			t.Errorf("%s from %s:\n got %s\nwant %s", c.when, c.from, got, c.changes)
		}
	}
}
