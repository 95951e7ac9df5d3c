package scenario

import (
	"net/textproto"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// lazy compiles an expression when it is used first: a program that links this
// package need not wait for it.
func lazy(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// ruleName is what a rule may be called.
var ruleName = lazy(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// standardMethods are those of RFC 9110 and PATCH (RFC 5789).
var standardMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"}

// framing are the headers that say where a message ends, which a server says
// itself.
var framing = []string{"Content-Length", "Transfer-Encoding", "Trailer"}

// token is the name of a header (RFC 9110, 5.6.2), or a method.
var token = lazy("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// check finds the mistakes that are not in one value alone, in the rules that
// could be read.
func (d *decoder) check(s *Scenario) {
	names := map[string]bool{}
	for i, r := range s.Rules {
		d.rule = strconv.Quote(r.Name)
		if r.Name != "" && names[r.Name] {
			d.wrong("name", "another rule has this name")
		}
		names[r.Name] = true
		if !d.bad[i] {
			d.checkRule(r)
		}
	}
}

// wrong is fail for a field of the current rule, or for the rule itself.
func (d *decoder) wrong(field, format string, args ...any) {
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
		d.wrong("name", "want letters, digits, - _ and ., at most 63")
	}
	if r.Delay == nil && r.Fault == nil && r.Limit == nil {
		d.wrong("", "want a delay, a fault or a limit")
	}
	d.checkMatch(&r.Match)
	d.checkWhen(&r.When)
	if l := r.Limit; l != nil && (l.Concurrency == 0) == (l.Rate == 0) {
		d.wrong("limit", "want either concurrency or rate")
	} else if l != nil && l.Burst != 0 && l.Rate == 0 {
		d.wrong("limit.burst", "want rate beside it")
	}
	if r.Delay != nil {
		d.checkDelay(r.Delay, "delay")
	}
	if r.Fault != nil {
		d.checkFault(r.Fault)
	}
	d.checkSides(r)
}

func (d *decoder) checkMatch(m *Match) {
	if m.Path != "" {
		d.checkPath(m.Path)
	}
	if m.GRPC != "" && (strings.HasPrefix(m.GRPC, "/") || m.GRPC != "*" && strings.Count(m.GRPC, "/") != 1) {
		d.wrong("match.grpc", "%q: want service/method, such as echo.EchoService/* or *", m.GRPC)
	}
	if m.GRPC != "" && m.web() {
		d.wrong("match.grpc", "want no path, methods, host or query beside it")
	}
	for _, name := range m.Methods {
		switch upper := strings.ToUpper(name); {
		case !token().MatchString(name):
			d.wrong("match.methods", "%q: want HTTP methods", name)
		case name != upper && slices.Contains(standardMethods, upper):
			d.wrong("match.methods", "%q: methods have capital letters: want %s", name, upper)
		}
	}
	for name := range m.Headers {
		switch {
		case !token().MatchString(name):
			d.wrong("match.headers", "%q is no name of a header", name)
		case strings.EqualFold(name, "Host") && m.GRPC == "":
			d.wrong("match.headers", "want match.host for the host")
		}
	}
	if m.Per != "" {
		kind, name, named := strings.Cut(m.Per, ":")
		switch {
		case !named && (kind == "client" || kind == "route"):
		case named && kind == "header" && token().MatchString(name):
		case named && kind == "query" && name != "":
		default:
			d.wrong("match.per", "%q: want header:NAME, query:NAME, client or route", m.Per)
		}
	}
	literal := m.Path != "" && !strings.ContainsAny(m.Path, "*{") || m.GRPC != "" && !strings.Contains(m.GRPC, "*")
	if m.Internal && !literal {
		d.wrong("match.internal", "want a path or a grpc method without * and {name} beside it")
	}
}

func (d *decoder) checkPath(path string) {
	if path[0] != '/' && path[0] != '*' {
		d.wrong("match.path", "%q: want a path that begins with /", path)
	}
	for _, seg := range strings.Split(path, "/") {
		open := strings.ContainsAny(seg, "{}")
		if open && (len(seg) < 3 || seg[0] != '{' || strings.IndexByte(seg, '}') != len(seg)-1 || strings.ContainsAny(seg[1:], "{*")) {
			d.wrong("match.path", "%q: want {name} to be a whole segment", path)
		}
	}
}

// web reports a condition that only HTTP requests can meet.
func (m *Match) web() bool {
	return m.Path != "" || len(m.Methods) > 0 || m.Host != "" || len(m.Query) > 0
}

func (d *decoder) checkWhen(w *When) {
	if w.Cycle && len(w.Outcomes) == 0 {
		d.wrong("when.cycle", "want outcomes beside it")
	}
	if x := w.Window; x != nil && (x.To != 0 && x.To <= x.From || x.To == 0 && x.From == 0) {
		d.wrong("when.window", "want from before to")
	}
	if x := w.Daily; x != nil && x.From == x.To {
		d.wrong("when.daily", "want from and to to differ")
	}
	if x := w.Flap; x != nil && (x.Hit <= 0 || x.Pass <= 0) {
		d.wrong("when.flap", "want hit and pass above zero")
	}
	if x := w.Ramp; x != nil && x.Over <= 0 {
		d.wrong("when.ramp.over", "want a duration above zero")
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
		d.wrong(field, "want one of fixed, uniform, normal, exponential, pareto, table, or two percentiles such as { p50: 80ms, p99: 1.2s }")
		return
	}
	if u := x.Uniform; u != nil && u.Max < u.Min {
		d.wrong(field+".uniform", "want min not above max")
	}
	if p := x.Pareto; p != nil && p.Min <= 0 {
		d.wrong(field+".pareto.min", "want a duration above zero")
	}
	switch {
	case x.Lognormal != nil:
		points, ok := points(x.Lognormal)
		if !ok || len(points) != 2 || points[0].share <= 0 || points[1].share >= 1 || points[0].at <= 0 || points[1].at <= points[0].at {
			d.wrong(field, "want two percentiles above p0 and below p100, with growing durations above zero, such as { p50: 80ms, p99: 1.2s }")
		}
	case x.Table != nil:
		points, ok := points(x.Table)
		ok = ok && len(points) >= 2 && points[0].share == 0 && points[len(points)-1].share == 1
		for i := 1; ok && i < len(points); i++ {
			ok = points[i].at >= points[i-1].at
		}
		if !ok {
			d.wrong(field+".table", "want percentiles from p0 to p100, with durations that do not fall")
		}
	}
}

func (d *decoder) checkFault(f *Fault) {
	n := 0
	for _, given := range []bool{f.Status != 0, f.Empty, f.Reset && f.Truncate == nil, f.Truncate != nil, f.BadChunk, f.Garbage, f.Stall != nil, f.Bandwidth != 0, f.GoAway, f.WebSocket != nil, f.Unready} {
		if given {
			n++
		}
	}
	if n > 1 || n == 0 && f.GRPC == nil {
		d.wrong("fault", "want one of status, empty, reset, truncate, bad-chunk, garbage, stall, bandwidth, goaway, websocket, unready, and grpc alone or beside it")
	}
	if f.Status == 0 && (len(f.Headers) > 0 || f.Body != "") {
		d.wrong("fault", "want status beside headers and body")
	}
	for name, value := range f.Headers {
		if !token().MatchString(name) || strings.ContainsAny(value, "\r\n\x00") {
			d.wrong("fault.headers", "%q: want the name of a header and a value in one line", name)
		} else if slices.Contains(framing, textproto.CanonicalMIMEHeaderKey(name)) {
			d.wrong("fault.headers", "%s is of the server: want truncate or bad-chunk to break a body", name)
		}
	}
	if f.Stall != nil && f.Stall.For <= 0 {
		d.wrong("fault.stall", "want a duration above zero")
	}
	if g := f.GRPC; g != nil && g.Details != nil && reflect.DeepEqual(g.Details, new(Details)) {
		d.wrong("fault.grpc.details", "want at least one of %s", strings.Join(keysOf(reflect.TypeFor[Details]()), ", "))
	}
	if w := f.WebSocket; w != nil {
		if w.Close == 0 && w.Drop == nil && w.Delay == nil {
			d.wrong("fault.websocket", "want close, drop or delay")
		}
		if w.Close >= 1004 && w.Close <= 1006 || w.Close >= 1015 && w.Close < 3000 {
			d.wrong("fault.websocket.close", "%d is no code to send: want 1000 to 1003, 1007 to 1014 or 3000 to 4999", w.Close)
		}
		if len(w.Reason) > 123 {
			d.wrong("fault.websocket.reason", "want at most 123 bytes")
		}
		if w.Delay != nil {
			d.checkDelay(w.Delay, "fault.websocket.delay")
			if w.Delay.At != "" {
				d.wrong("fault.websocket.delay.at", "want none: it is each message that waits")
			}
		}
	}
}

// checkSides finds rules that could never do anything.
func (d *decoder) checkSides(r *Rule) {
	web, f := r.Match.web(), r.Fault
	switch {
	case f == nil:
	case f.Unready:
		w := r.When
		if w.counts() || w.Ramp != nil || r.Delay != nil || r.Limit != nil || f.GRPC != nil || !r.Match.empty() {
			d.wrong("fault.unready", "want nothing beside it but match.server and when it is: for, window, daily or flap")
		}
	case web && f.Kind(false) == "":
		d.wrong("fault", "want a fault for HTTP beside match.path, methods, host and query")
	case r.Match.GRPC != "" && f.Kind(true) == "":
		d.wrong("fault", "want grpc: CODE, reset, empty or goaway beside match.grpc")
	}
}

func (m *Match) empty() bool {
	return !m.web() && len(m.Headers) == 0 && m.GRPC == "" && m.Percent == nil && m.Per == "" && !m.Internal
}
