package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/internal/httpmethod"
	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
)

// ruleName matches the names of rules.
var ruleName = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

const nameProblem = "invalid name; use at most 63 letters, digits, -, _ and ., beginning with a letter or digit"

// token matches the name of a header (RFC 9110, 5.6.2) or of a method.
var token = lazyregexp.New("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// check reports mistakes that involve more than one value, in the rules that
// were decoded without mistakes.
func (d *decoder) check(s *Scenario) {
	names := map[string]bool{}
	for i, r := range s.Rules {
		d.rule = strconv.Quote(r.Name)
		if r.Name != "" && names[r.Name] {
			d.wrong("name", "another rule has this name; rename one of them")
		}
		names[r.Name] = true
		for j, c := range r.Choose {
			if c.Name != "" && names[c.Name] {
				d.wrong(fmt.Sprintf("choose[%d].name", j), "another rule has this name; rename one of them")
			}
			names[c.Name] = true
		}
		if !d.bad[i] {
			d.checkRule(r)
		}
	}
}

// wrong is fail for a field of the current rule, or for the rule itself.
func (d *decoder) wrong(field, format string, args ...any) {
	field = d.under + field
	var n *yaml.Node
	for path := field; n == nil && path != ""; {
		n = d.at[d.rule+"\x00"+path]
		at := strings.LastIndexByte(path, '.')
		path = path[:max(at, 0)]
	}
	if n == nil {
		n = d.at[d.rule+"\x00name"]
	}
	d.fail(n, field, format, args...)
}

func (d *decoder) checkRule(r *Rule) {
	d.rule = strconv.Quote(r.Name)
	if !ruleName().MatchString(r.Name) {
		d.wrong("name", nameProblem)
	}
	if r.Delay == nil && r.Fault == nil && r.Limit == nil && len(r.Choose) == 0 {
		d.wrong("", "the rule does nothing; add a delay, a fault, a limit or choose")
	}
	if len(r.Choose) > 0 {
		d.checkChoices(r)
	}
	if r.Sync == Fleet && r.Match.Per != "" {
		d.wrong("sync", "no effect with match.per, whose keys draw alike on every instance; remove one of them")
	}
	d.checkMatch(&r.Match)
	d.checkReply(r)
	d.checkWhen(&r.When)
	if l := r.Limit; l != nil && (l.Concurrency == 0) == (l.Rate == 0) {
		d.wrong("limit", "give either concurrency or rate")
	} else if l != nil && l.Burst != 0 && l.Rate == 0 {
		d.wrong("limit.burst", "no effect without rate; add it or remove burst")
	} else if l != nil && l.Queue != 0 && l.Concurrency == 0 {
		d.wrong("limit.queue", "no effect without concurrency; add it or remove queue")
	} else if l != nil && l.Wait != 0 && l.Queue == 0 {
		d.wrong("limit.wait", "no effect without queue; add it or remove wait")
	}
	if r.Shared {
		d.checkShared(r)
	}
	if r.Delay != nil {
		d.checkDelay(r.Delay, "delay")
	}
	if d.limited = r.Limit != nil; r.Fault != nil {
		d.checkFault(r.Fault)
	}
	d.checkScopes(r)
	d.checkTCP(r)
}

func (d *decoder) checkChoices(r *Rule) {
	if r.Delay != nil || r.Fault != nil {
		d.wrong("choose", "give delay and fault in the alternatives, not beside them")
	}
	defer func() { d.under = "" }()
	sum := 0.0
	for i, c := range r.Choose {
		d.under = fmt.Sprintf("choose[%d].", i)
		sum += c.Percent
		switch {
		case c.Name != "" && !ruleName().MatchString(c.Name):
			d.wrong("name", nameProblem)
		case c.Delay == nil && c.Fault == nil:
			d.wrong("percent", "the alternative does nothing; add a delay or a fault, or remove it")
		case c.Fault.kindIn()[Readiness] != nil:
			d.wrong("fault", "readiness has no requests to choose from; use a rule of its own")
		}
		if c.Delay != nil {
			d.checkDelay(c.Delay, "delay")
		}
		if c.Fault != nil {
			d.checkFault(c.Fault)
			d.checkScopes(&Rule{Match: r.Match, Fault: c.Fault})
			d.checkStage(&Rule{At: r.At, Fault: c.Fault, Delay: c.Delay})
		}
	}
	d.under = ""
	if sum > 100+1e-9 {
		d.wrong("choose", "the percentages add up to %v; use at most 100", sum)
	}
}

func (d *decoder) checkMatch(m *Match) {
	if m.Path != "" {
		d.checkPath(m.Path)
	}
	d.checkExpressions(m)
	if m.GRPC != "" && m.GRPC[0] != '~' && (strings.HasPrefix(m.GRPC, "/") || m.GRPC != "*" && strings.Count(m.GRPC, "/") != 1) {
		d.wrong("match.grpc", "%q is not service/method; use a pattern such as echo.EchoService/* or *", m.GRPC)
	}
	if m.GRPC != "" && m.web() {
		d.wrong("match.grpc", "path, methods, host, query, json and body match only HTTP requests; remove them or grpc")
	}
	for _, name := range m.Methods {
		switch upper := strings.ToUpper(name); {
		case strings.ContainsAny(name, "*~|"):
			d.wrong("match.methods", "%q: methods have no patterns; list them, such as [GET, POST], or remove methods to match all", name)
		case !token().MatchString(name):
			d.wrong("match.methods", "%q is not an HTTP method", name)
		case name != upper && slices.Contains(httpmethod.Standard[:], upper):
			d.wrong("match.methods", "%q: methods are case-sensitive; use %s", name, upper)
		}
	}
	for name := range m.Headers {
		d.checkName("match.headers", name)
		switch {
		case !token().MatchString(name):
			d.wrong("match.headers", "%q is not a header name", name)
		case strings.EqualFold(name, "Host") && m.GRPC == "":
			d.wrong("match.headers", "Host is not among the headers; use match.host")
		}
	}
	for name := range m.Query {
		d.checkName("match.query", name)
	}
	if strings.Contains(m.Host, "/") && m.Host[0] != '~' {
		d.wrong("match.host", "%q: a host has no scheme and no path; use one such as example.com", m.Host)
	} else if _, port, _ := strings.Cut(m.Host, ":"); port != "" && !strings.Contains(port, ":") && m.Host[0] != '~' { // two are IPv6
		d.wrong("match.host", "%q: the host is compared without its port; remove :%s", m.Host, port)
	}
	if slices.Contains(m.Server, "") {
		d.wrong("match.server", "an empty name matches no server; remove it")
	}
	d.checkMore(m)
	if m.Per != "" {
		source, name, named := strings.Cut(m.Per, ":")
		switch {
		case !named && (source == "client" || source == "route"):
		case strings.Contains(name, "*"):
			d.wrong("match.per", "%q: a key is one header or query value; write its name in full", m.Per)
		case named && source == "header" && token().MatchString(name):
		case named && (source == "query" || source == "claim") && name != "":
		case named && source == "cookie" && token().MatchString(name):
		case named && source == "json" && isJSONPath(name):
		default:
			d.wrong("match.per", "%q is not a key; use header:NAME, query:NAME, cookie:NAME, claim:NAME, json:PATH, client or route", m.Per)
		}
	}
	literal := m.Path != "" && !strings.ContainsAny(m.Path, "*{~") || m.GRPC != "" && !strings.ContainsAny(m.GRPC, "*~")
	if m.Internal && !literal {
		d.wrong("match.internal", "needs a path or a grpc method without * and {name}")
	}
}

func (d *decoder) checkPath(path string) {
	if path[0] == '~' {
		return
	}
	if path[0] != '/' && path[0] != '*' {
		d.wrong("match.path", "%q does not begin with /", path)
	}
	if strings.ContainsAny(path, "?#") {
		d.wrong("match.path", "%q: a path has no query; use match.query", path)
	}
	if _, err := glob.Parse(path); err != nil {
		d.wrong("match.path", "%q: {name} must be a whole segment", path)
	}
}

// checkName reports a pattern in place of a name.
func (d *decoder) checkName(field, name string) {
	if strings.Contains(name, "*") || strings.HasPrefix(name, "~") {
		d.wrong(field, "%q: only values can contain * or begin with ~; write the name in full", name)
	}
}

// web reports whether m has a condition that only HTTP requests can meet.
func (m *Match) web() bool {
	return m.Path != "" || len(m.Methods) > 0 || m.Host != "" || len(m.Query) > 0 || len(m.JSON) > 0 || m.Body != "" || m.Reply != nil && !m.Reply.ofCall()
}

// empty reports whether m has no condition about requests.
func (m *Match) empty() bool {
	return !m.web() && len(m.Headers) == 0 && m.GRPC == "" && m.TCP == "" && m.Percent == nil && m.Per == "" && !m.Internal &&
		len(m.Cookie) == 0 && len(m.Claim) == 0 && m.Sticky == nil && m.Not == nil && m.Reply == nil
}

func (d *decoder) checkWhen(w *When) {
	d.checkSchedule(w)
	if w.Cycle && len(w.Outcomes) == 0 {
		d.wrong("when.cycle", "no effect without outcomes; add them or remove cycle")
	}
	if !w.Until.IsZero() && !w.Until.After(w.From.Time) {
		d.wrong("when.until", "must be after when.from")
	}
	if x := w.Window; x != nil && (x.To != 0 && x.To <= x.From || x.To == 0 && x.From == 0) {
		d.wrong("when.window", "from must be before to")
	}
	if x := w.Daily; x != nil && x.From == x.To {
		d.wrong("when.daily", "from and to must differ")
	}
	if x := w.Flap; x != nil && (x.Hit <= 0 || x.Pass <= 0) {
		d.wrong("when.flap", "hit and pass must be above zero")
	}
	if x := w.Ramp; x != nil && x.Over <= 0 {
		d.wrong("when.ramp.over", "must be above zero")
	}
}

func (d *decoder) checkDelay(x *Delay, field string) {
	n := 0
	for _, given := range []bool{x.Fixed != nil, x.Uniform != nil, x.Normal != nil, x.Lognormal != nil, x.Exponential != nil, x.Pareto != nil, x.Table != nil} {
		if given {
			n++
		}
	}
	if n != 1 {
		d.wrong(field, "give one of fixed, uniform, normal, exponential, pareto, table, or two percentiles such as { p50: 80ms, p99: 1.2s }")
		return
	}
	if u := x.Uniform; u != nil && u.Max < u.Min {
		d.wrong(field+".uniform", "min is above max")
	}
	if p := x.Pareto; p != nil && p.Min <= 0 {
		d.wrong(field+".pareto.min", "must be above zero")
	}
	switch {
	case x.Lognormal != nil:
		points, ok := points(x.Lognormal)
		if !ok || len(points) != 2 || points[0].share <= 0 || points[1].share >= 1 || points[0].at <= 0 || points[1].at <= points[0].at {
			d.wrong(field, "give two percentiles above p0 and below p100 with increasing durations above zero, such as { p50: 80ms, p99: 1.2s }")
		}
	case x.Table != nil:
		points, ok := points(x.Table)
		ok = ok && len(points) >= 2 && points[0].share == 0 && points[len(points)-1].share == 1
		for i := 1; ok && i < len(points); i++ {
			ok = points[i].at >= points[i-1].at
		}
		if !ok {
			d.wrong(field+".table", "give percentiles from p0 to p100 with durations that do not decrease")
		}
	}
}
