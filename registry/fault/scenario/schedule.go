package scenario

import (
	"errors"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // images from scratch have no time zones

	"github.com/robfig/cron/v3"
)

// Weekday is a day of the week: mon to sun.
type Weekday string

// weekdays lists the days in the order of time.Weekday.
func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// Percent is a percentage, written as 1% or 1.
type Percent float64

// share returns p from 0 to 1.
func (p Percent) share() float64 { return float64(p) / 100 }

// Burst hits requests in bursts: a Markov chain of two states. Each matching
// request enters a burst, or leaves it, with a probability.
type Burst struct {
	Enter Percent `json:"enter" example:"1%" required:"true" doc:"percentage of the requests outside a burst that begin one"`
	Leave Percent `json:"leave" example:"20%" required:"true" doc:"percentage of the requests in a burst that end it and pass; a burst hits 100/leave requests on average"`
}

// schedule is the part of When that depends on the calendar.
type schedule struct {
	zone *time.Location
	cron cron.Schedule // nil without one
}

// period is a time in which a cron expression is in effect, or is not.
type period struct {
	from, to time.Time
	open     bool
}

func newSchedule(w *When) (s schedule, err error) {
	s.zone = time.UTC
	if w.Zone != "" {
		if s.zone, err = loadZone(w.Zone); err != nil {
			return s, err
		}
	}
	if w.Cron != "" {
		s.cron, err = parseCron(w.Cron)
	}
	return s, err
}

func loadZone(name string) (*time.Location, error) {
	if name == "Local" { // differs between servers
		return nil, errors.New("unknown time zone")
	}
	return time.LoadLocation(name)
}

// parseCron parses minute, hour, day of the month, month and day of the week.
func parseCron(text string) (cron.Schedule, error) {
	if strings.ContainsAny(text, "=@") { // the package also reads TZ=… and @every
		return nil, errors.New("use five fields and when.zone")
	}
	s, err := cron.ParseStandard(text)
	if err == nil && s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		err = errors.New("never occurs")
	}
	return s, err
}

// scheduled reports whether the conditions about the calendar hold.
func (l *live) scheduled(now time.Time) bool {
	w := &l.When
	if w.Daily == nil && w.Weekdays == nil && l.cron == nil {
		return true
	}
	now = now.In(l.zone)
	if w.Daily != nil && !w.Daily.has(now) {
		return false
	}
	if w.Weekdays != nil && !slices.Contains(w.Weekdays, Weekday(weekdays()[now.Weekday()])) {
		return false
	}
	return l.cron == nil || l.inPeriod(now)
}

// inPeriod reports whether the time since the cron expression last occurred is
// below when.for. It remembers the answer until it changes.
func (l *live) inPeriod(now time.Time) bool {
	if p := l.period.Load(); p != nil && !now.Before(p.from) && now.Before(p.to) {
		return p.open
	}
	length := time.Duration(l.When.For)
	p := &period{from: now}
	began := l.cron.Next(now.Add(-length))
	if p.open = !began.IsZero() && !began.After(now); p.open {
		p.to = began.Add(length)
	} else if p.to = began; began.IsZero() { // the package searches five years
		p.to = now.AddDate(1, 0, 0)
	}
	l.period.Store(p)
	return p.open
}

func (d *Daily) has(now time.Time) bool {
	h, m, s := now.Clock()
	t := Clock(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(now.Nanosecond()))
	if d.From < d.To {
		return d.From <= t && t < d.To
	}
	return d.From <= t || t < d.To
}

// bursts moves the rule's state on by one request and reports whether the request
// is in a burst. The caller must hold t.mu.
func (t *tally) bursts(b *Burst, d draws) bool {
	u := d.uniform(drawBurst, 0)
	if t.burst {
		t.burst = u >= b.Leave.share()
	} else {
		t.burst = u < b.Enter.share()
	}
	return t.burst
}

// checkSchedule checks the conditions of When about the calendar, and bursts.
func (d *decoder) checkSchedule(w *When) {
	if w.Zone != "" {
		if _, err := loadZone(w.Zone); err != nil {
			d.wrong("when.zone", "%q is not a time zone; use a name such as Europe/Berlin", w.Zone)
		}
		if w.Cron == "" && w.Daily == nil && w.Weekdays == nil {
			d.wrong("when.zone", "no effect without cron, daily or weekdays; add one or remove zone")
		}
	}
	if w.Cron != "" {
		if _, err := parseCron(w.Cron); err != nil {
			d.wrong("when.cron", "%q is not a cron expression (%v); use minute, hour, day, month and weekday, such as 0 9 * * 1-5", w.Cron, err)
		}
		if w.For == 0 {
			d.wrong("when.cron", "needs for, the length of each period; add it, such as for: 30m")
		}
	}
	if b := w.Burst; b != nil && (b.Enter == 0 || b.Leave == 0) {
		d.wrong("when.burst", "enter and leave must be above zero")
	}
}
