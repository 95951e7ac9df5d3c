package scenario

import (
	"fmt"
	"math"
	"net/http"
	"reflect"
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

// warnOfDelays warns about delays that the server shortens: of type Delay, and
// durations with the tag bounded, which is "requests" for those that are shortened
// unless the rule breaks TCP connections.
func (d *decoder) warnOfDelays(r *Rule, most time.Duration) {
	if most == 0 {
		return
	}
	d.warnOfDelaysIn(reflect.ValueOf(r).Elem(), "", "", func(field string, x time.Duration, bounded string) {
		if x > most && (bounded != "requests" || r.Match.TCP == "") {
			d.wrong(field, "a delay of %s is above the server's longest, %s (PODINFO_FAULTS_MAX_DELAY), which replaces it", x.Round(time.Millisecond), most)
		}
	})
}

// warnOfDelaysIn calls check for the delays in v, which is at a path and has the tag
// bounded.
func (d *decoder) warnOfDelaysIn(v reflect.Value, field, tag string, check func(field string, x time.Duration, bounded string)) {
	switch x := v.Interface().(type) {
	case *Delay:
		const far = 0.99
		if x != nil {
			check(field, bounded(x.Distribution().Quantile(far), math.MaxInt64), "")
		}
		return
	case Duration:
		if tag != "" {
			check(field, time.Duration(x), tag)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			d.warnOfDelaysIn(v.Elem(), field, tag, check)
		}
	case reflect.Slice:
		for i := range v.Len() {
			d.warnOfDelaysIn(v.Index(i), fmt.Sprintf("%s[%d]", field, i), "", check)
		}
	case reflect.Struct:
		for f, value := range v.Fields() {
			if key := keyOf(f); key != "" {
				d.warnOfDelaysIn(value, join(field, key), f.Tag.Get("bounded"), check)
			}
		}
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
func (d *decoder) warnOfRoutes(l *live, on Server) {
	if l.Match.Path == "" || on.Routes == nil {
		return
	}
	served, internal, certain := false, false, false
	for _, rt := range on.Routes {
		p, err := glob.Parse(rt.Path)
		switch {
		case err != nil || !p.Meets(l.path):
		case !rt.Internal || l.Match.Internal:
			served = true
		default: // certain even if a proxy serves what no other route has
			internal, certain = true, certain || p.Covers(l.path)
		}
	}
	switch {
	case certain || internal && !served:
		d.wrong("match.path", "%q is the path of an internal route, which only a rule with internal: true matches", l.Match.Path)
	case !served && !on.Others:
		d.wrong("match.path", "no route of the server has the path %q; the rule changes only responses with 404", l.Match.Path)
	}
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

// warnOfNot warns about match.not that leaves gRPC calls only.
func (d *decoder) warnOfNot(l *live) {
	if l.leavesNone(HTTPRequests, WebSockets) {
		d.wrong("match.not", "excludes all HTTP requests that the rule matches; it hits only gRPC calls")
	}
}

// warnOfBodies warns about changes of the bodies of responses to HEAD.
func (d *decoder) warnOfBodies(r *Rule) {
	if len(r.Match.Methods) == 0 || slices.ContainsFunc(r.Match.Methods, func(name string) bool { return name != http.MethodHead }) {
		return
	}
	check := func(field string, f *Fault) {
		if f != nil && f.Reply != nil && (f.Reply.Append != "" || f.Reply.Corrupt != nil || f.Reply.Repeat > 0) {
			d.wrong(field+".reply", "a response to HEAD has no body, which append, corrupt and repeat could change")
		}
	}
	check("fault", r.Fault)
	for i, c := range r.Choose {
		check(fmt.Sprintf("choose[%d].fault", i), c.Fault)
	}
}
