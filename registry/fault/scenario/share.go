package scenario

import (
	"reflect"
	"slices"
	"strconv"
)

// share returns the share of the requests of a scope that the rule hits in the long
// run, from 0 to 1, and the field that says so, "" if nothing does. Conditions about
// time and the limit do not count.
func (l *live) share(s Scope) (share float64, field string) {
	share = 1
	part := func(x float64, of string) {
		if x < 1 && field == "" {
			field = of
		}
		share *= x
	}
	w := &l.When
	part(l.percent, "match.percent")
	if l.Match.Sticky != nil {
		part(*l.Match.Sticky/100, "match.sticky")
	}
	if w.Every > 0 {
		part(1/float64(w.Every), "when.every")
	}
	if n := len(w.Outcomes); n > 0 && w.Cycle {
		hits := n - len(slices.DeleteFunc(slices.Clone(w.Outcomes), func(o Outcome) bool { return o == Hit }))
		part(float64(hits)/float64(n), "when.outcomes")
	}
	if b := w.Burst; b != nil {
		part(float64(b.Enter)/float64(b.Enter+b.Leave), "when.burst")
	}
	if w.Ramp != nil {
		part(max(w.Ramp.From, w.Ramp.To)/100, "when.ramp")
	}
	if len(l.choices) > 0 {
		sum := 0.0
		for i, c := range l.choices {
			if c.acts[s] {
				sum += l.Choose[i].Percent / 100
			}
		}
		part(sum, "choose")
	}
	return share, field
}

// takesShare reports whether the rule hits a constant share of requests as long as the
// conditions about time hold.
func (l *live) takesShare() bool {
	w := &l.When
	return l.Limit == nil && w.First == 0 && (len(w.Outcomes) == 0 || w.Cycle) && l.kinds[Readiness] == nil
}

// times returns the conditions of l about time.
func (l *live) times() Rule {
	w := l.When
	w.After, w.Every, w.First, w.Outcomes, w.Cycle, w.Burst, w.Ramp = 0, 0, 0, nil, false, nil, nil
	return Rule{When: w, TTL: l.TTL}
}

// during reports whether the conditions of l about time hold whenever those of b do.
func (l *live) during(b *live) bool {
	a, times := l.times(), b.times()
	return reflect.DeepEqual(a, Rule{}) || reflect.DeepEqual(a, times)
}

// meetsKey reports whether requests that b matches have the key of l.
func (l *live) meetsKey(b *live) bool {
	switch l.perSource {
	case "", "client", "route", b.perSource:
		return l.per.canonical == b.per.canonical || l.per.canonical == ""
	}
	return slices.ContainsFunc(slices.Concat(b.headers, b.query, b.more), func(c condition) bool {
		return c.source == l.per.source && c.canonical == l.per.canonical && c.String() != ""
	})
}

// crosses reports whether l matches some of the requests that b matches, and each of
// them also others. It is about paths and keys.
func (l *live) crosses(b *live, s Scope) bool {
	if s == HTTPRequests || s == WebSockets {
		if l.Match.Path != "" && (!l.path.Meets(b.paths()) || b.paths().Covers(l.path)) {
			return false
		}
	} else if !l.coversPath(b, s) {
		return false
	}
	return l.coversRest(b, s)
}

// warnOfShares warns about a share of the requests that earlier rules leave.
func (d *decoder) warnOfShares(l *live, earlier []*live) {
	for s := range scopeCount {
		if share, field := l.share(s); l.acts[s] && share < 1 && share > 0 && d.warnOfShare(l, s, share, field, earlier) {
			return
		}
	}
}

// warnOfShare is warnOfShares for a scope. It reports whether it has warned.
func (d *decoder) warnOfShare(l *live, s Scope, share float64, field string, earlier []*live) bool {
	left, by, crossing := 1.0, (*live)(nil), (*live)(nil)
	choose, ramp := field == "match.percent" || field == "choose", l.When.Ramp != nil
	for _, a := range earlier {
		part, of := a.share(s)
		switch {
		case !a.acts[s] || !a.during(l) || a.leaves(l):
		case a.coversIn(l, s) && a.meetsKey(l):
			left, by = left*(1-part), a
			choose = choose && (of == "match.percent" || of == "choose")
			ramp = ramp || a.When.Ramp != nil
		case crossing == nil && a.crosses(l, s):
			crossing = a
		}
	}
	percent := func(x float64) string { return strconv.FormatFloat(100*x, 'g', 4, 64) + " %" }
	after := ""
	if ramp {
		after = " at the most of the ramp"
	}
	switch {
	case left < 1:
		advice := "to give it its share of all requests, move it above them"
		if choose {
			advice = "to give each of them its share of all requests, put them under choose in one rule"
		}
		d.wrong(field, "%s of the %s of requests that rule %q and those above it leave is %s%s; %s", percent(share), percent(left), by.Name, percent(share*left), after, advice)
	case crossing != nil:
		part, _ := crossing.share(s)
		d.wrong(field, "of the requests that rule %q above it matches too, it hits only %s%s; to give it its share of all requests, move it above that rule", crossing.Name, percent(share*(1-part)), after)
	}
	return left < 1 || crossing != nil
}
