package scenario

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
)

// warnOfShares warns about a percentage of the requests that earlier rules leave.
func (d *decoder) warnOfShares(l *live, earlier []*live) {
	if l.percent == 1 || l.Combine {
		return
	}
	left, by := 1.0, ""
	for _, a := range earlier {
		for s := range scopeCount {
			if l.acts[s] && a.covers(l, s) {
				left, by = left*(1-a.percent), a.Name
				break
			}
		}
	}
	if left < 1 {
		d.wrong("match.percent", "%.4g %% of the %.4g %% of requests that rule %q and those above it leave is %.4g %%; to give each of them its share of all requests, put them under choose in one rule",
			100*l.percent, 100*left, by, 100*l.percent*left)
	}
}

// warnOfDelays warns about delays that the server shortens.
func (d *decoder) warnOfDelays(r *Rule, most time.Duration) {
	if most == 0 {
		return
	}
	check := func(x *Delay, field string) {
		if x == nil {
			return
		}
		const far = 0.99
		if q := bounded(x.Distribution().Quantile(far), math.MaxInt64); q > most {
			d.wrong(field, "a delay of %s is above the server's longest, %s (PODINFO_FAULTS_MAX_DELAY), which replaces it", q.Round(time.Millisecond), most)
		}
	}
	check(r.Delay, "delay")
	for _, c := range r.Choose {
		check(c.Delay, "choose")
	}
	if f := r.Fault; f != nil && f.Stall != nil && time.Duration(f.Stall.For) > most {
		d.wrong("fault.stall", "a pause of %s is above the server's longest, %s (PODINFO_FAULTS_MAX_DELAY), which replaces it", time.Duration(f.Stall.For), most)
	}
}

// warnOfTimes warns about periods that do not begin together.
func (d *decoder) warnOfTimes(r *Rule) {
	w := &r.When
	if w.Ramp == nil || w.Window == nil || w.Window.From == 0 {
		return
	}
	at, _ := (&When{Ramp: w.Ramp}).open(time.Time{}, time.Time{}.Add(time.Duration(w.Window.From)))
	d.wrong("when.ramp", "the ramp begins with the loading of the rule and is at %.4g %% when the window opens after %s; to begin at a later time, use when.from instead of the window", 100*at, time.Duration(w.Window.From))
}

// warnOfRoutes warns about a path that no route has, and about internal routes
// that the rule does not match.
func (d *decoder) warnOfRoutes(l *live, routes []Route) {
	if l.Match.Path == "" || routes == nil {
		return
	}
	internal := false
	for _, rt := range routes {
		p, err := glob.Parse(rt.Path)
		if err != nil || !p.Meets(l.path) {
			continue
		}
		if !rt.Internal || l.Match.Internal {
			return
		}
		internal = true
	}
	if internal {
		d.wrong("match.path", "%q is the path of an internal route, which only a rule with internal: true matches", l.Match.Path)
		return
	}
	d.wrong("match.path", "no route of the server has the path %q; the rule changes only responses with 404", l.Match.Path)
}

// warnOfTemplates warns about the syntax of other tools, which is sent or matched
// as it is.
func (d *decoder) warnOfTemplates(r *Rule) {
	if slices.ContainsFunc(strings.Split(r.Match.Path, "/"), func(part string) bool { return strings.HasPrefix(part, ":") && len(part) > 1 }) {
		d.wrong("match.path", "%q: a colon is matched as it is; write a parameter as {name}", r.Match.Path)
	}
	if r.Fault == nil {
		return
	}
	texts := []string{r.Fault.Body}
	for _, value := range r.Fault.Headers {
		texts = append(texts, value)
	}
	for _, text := range texts {
		if strings.Contains(text, "{{") || strings.Contains(text, "${") {
			d.wrong("fault", "%q is sent as it is; templates are not supported", text)
		}
	}
}
