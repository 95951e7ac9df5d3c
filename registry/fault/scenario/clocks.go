package scenario

import (
	"strings"
	"time"
)

// Bounds of the search for times at which a schedule is closed.
const (
	maxClosed     = 60 * 24 * time.Hour
	cronPeriods   = 400
	scheduledStep = time.Minute
)

// warnOfTimes warns about periods that do not begin together.
func (d *decoder) warnOfTimes(l *live) {
	w := &l.When
	if w.Ramp != nil && w.Window != nil && w.Window.From > 0 {
		at, _ := (&When{Ramp: w.Ramp}).open(time.Time{}, time.Time{}.Add(time.Duration(w.Window.From)))
		d.wrong("when.ramp", "the ramp begins with the loading of the rule and is at %.4g %% when the window opens after %s; to begin at a later time, use when.from instead of the window", 100*at, time.Duration(w.Window.From))
	}
	names := w.calendar()
	if names == "" {
		return
	}
	if over, field := l.lasts(); over > 0 && l.mayMiss(over) {
		d.wrong(field, "the rule is over %s after %s, which may be before the times of %s begin; %s", over, l.birth(), names, l.aligned())
	} else if w.Ramp != nil && l.mayMiss(time.Duration(w.Ramp.Over)) {
		d.wrong("when.ramp", "the ramp runs once, from %s, and may be at its end, %.4g %%, before the times of %s begin; %s", l.birth(), w.Ramp.To, names, l.aligned())
	}
}

// calendar names the conditions about the calendar.
func (w *When) calendar() string {
	var names []string
	for _, c := range []struct {
		name  string
		given bool
	}{{"daily", w.Daily != nil}, {"weekdays", w.Weekdays != nil}, {"cron", w.Cron != ""}} {
		if c.given {
			names = append(names, "when."+c.name)
		}
	}
	return strings.Join(names, " and ")
}

// birth says when the clock of the rule starts.
func (l *live) birth() string {
	if l.When.From.IsZero() {
		return "the loading of the rule"
	}
	return "when.from"
}

// aligned says what to do about a clock that misses the schedule.
func (l *live) aligned() string {
	if l.When.From.IsZero() {
		return "give a when.from that is one of these times"
	}
	return "move when.from to one of these times"
}

// lasts returns how long after the start of its clock the rule ends at the latest,
// and the field that says so. It returns 0 for a rule that does not end.
func (l *live) lasts() (over time.Duration, field string) {
	w := &l.When
	end := func(x time.Duration, of string) {
		if x > 0 && (over == 0 || x < over) {
			over, field = x, of
		}
	}
	end(time.Duration(l.TTL), "ttl")
	if w.Cron == "" {
		end(time.Duration(w.For), "when.for")
	}
	if w.Window != nil {
		end(time.Duration(w.Window.To), "when.window")
	}
	if !w.From.IsZero() && !w.Until.IsZero() {
		end(w.Until.Sub(w.From.Time), "when.until")
	}
	return over, field
}

// mayMiss reports whether the schedule can be closed for a time from the start of the
// rule's clock on. With when.from that is certain.
func (l *live) mayMiss(over time.Duration) bool {
	if l.When.From.IsZero() {
		return over <= l.longestPause()
	}
	if over > maxClosed {
		return false
	}
	for passed := time.Duration(0); passed < over; passed += scheduledStep {
		if l.scheduled(l.born.Add(passed)) {
			return false
		}
	}
	return true
}

// longestPause returns a time for which the schedule is closed at least once.
func (l *live) longestPause() time.Duration {
	const day = 24 * time.Hour
	var longest time.Duration
	if x := l.When.Daily; x != nil {
		longest = time.Duration((x.From - x.To + Clock(day)) % Clock(day))
	}
	if l.When.Weekdays != nil {
		longest = max(longest, time.Duration(daysOff(l.When.Weekdays))*day)
	}
	if l.cron == nil {
		return longest
	}
	last := l.cron.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, l.zone))
	for range cronPeriods {
		next := l.cron.Next(last)
		if next.IsZero() {
			return maxClosed
		}
		longest = max(longest, next.Sub(last)-time.Duration(l.When.For))
		last = next
	}
	return longest
}

// daysOff returns the largest number of days in succession that are not among days.
func daysOff(days []Weekday) (most int) {
	on := map[Weekday]bool{}
	for _, d := range days {
		on[d] = true
	}
	off, week := 0, weekdays()
	for i := range 2 * len(week) {
		if off++; on[Weekday(week[i%len(week)])] {
			off = 0
		}
		most = max(most, off)
	}
	return most
}
