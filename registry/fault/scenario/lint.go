package scenario

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
)

// Server is what [Lint] knows about the server that a scenario is for.
type Server struct {
	MaxDelay time.Duration // longest delay of a request, 0 for unknown
	Routes   []Route       // nil for unknown
	Methods  []string      // full methods of gRPC calls without the internal ones, nil for unknown
	Others   bool          // there may be other routes and methods
	Now      time.Time     // zero for time.Now

	TCPProxies []string // names of the TCP proxies, nil for unknown
	NoTLS      bool     // no port has TLS
	NoTokens   bool     // no module verifies tokens
	NoCounts   bool     // there is no server to count on with other replicas
}

// Route is a route of a [Server], below its prefix.
type Route struct {
	Path     string // pattern, as in match.path
	Internal bool   // only rules with match.internal match it

	WebSocket bool // clients open WebSockets at it
	Unknown   bool // clients may open WebSockets at it, as if another service responds
}

// Lint is [Parse] with warnings about rules that will not do what they say on a
// server. It reports a rule as one that never hits, because of its own conditions
// or because earlier rules hit everything that it matches, only if that is certain.
func Lint(file string, b []byte, on Server) (s *Scenario, warnings []*Error, err error) {
	if on.Now.IsZero() {
		on.Now = time.Now()
	}
	s = new(Scenario)
	d, root, err := open(file, b)
	if err != nil {
		return s, nil, err
	}
	if d.read(root, s); len(d.errs) > 0 {
		return s, nil, errors.Join(d.errs...)
	}
	var greedy, shares []*live
	for _, r := range asAsked(s.Rules) {
		l := compileRule(r, 0, time.Time{}, Limits{})
		d.rule = strconv.Quote(r.Name)
		if why := l.idle(on.Now); why != "" {
			d.wrong("", "never hits: %s", why)
			continue
		}
		if by := l.shadowedBy(greedy); len(by) > 0 {
			d.wrong("", "never hits, as %s hits all matching requests first", strings.Join(by, " or "))
		} else {
			d.warnOfShares(l, shares)
		}
		d.warnOfDelays(r, on.MaxDelay)
		d.warnOfTimes(l)
		d.warnOfRoutes(l, on)
		d.warnOfCalls(l, on)
		d.warnOfConnections(l, on)
		d.warnOfPeers(r, on)
		d.warnOfTemplates(r)
		d.warnOfNot(l)
		d.warnOfBodies(l)
		switch {
		case l.greedy():
			greedy = append(greedy, l)
		case l.takesShare():
			shares = append(shares, l)
		}
	}
	for _, w := range d.errs {
		warnings = append(warnings, w.(*Error))
	}
	return s, warnings, nil
}

// Warnings returns what [Lint] warns about in a scenario that was checked. The
// warnings have no line.
func Warnings(file string, s *Scenario, on Server) []*Error {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // impossible: a scenario consists of strings, numbers and durations
	}
	_, warnings, _ := Lint(file, b, on)
	for _, w := range warnings {
		w.Line, w.Column = 0, 0
	}
	return warnings
}

// asAsked returns rules in the order in which requests ask them: those with
// match.reply come last.
func asAsked(rules []*Rule) []*Rule {
	out := slices.Clone(rules)
	slices.SortStableFunc(out, func(a, b *Rule) int {
		late := func(r *Rule) int {
			if r.Match.Reply != nil {
				return 1
			}
			return 0
		}
		return cmp.Compare(late(a), late(b))
	})
	return out
}

// idle returns why a rule never hits, whatever the other rules, "" when it may.
func (l *live) idle(now time.Time) string {
	w := &l.When
	begins := time.Duration(0)
	if w.Window != nil {
		begins = time.Duration(w.Window.From)
	}
	switch {
	case l.ended(now) && !w.Until.IsZero():
		return "when.until is over"
	case l.percent == 0:
		return "match.percent is 0"
	case l.Match.Sticky != nil && *l.Match.Sticky == 0:
		return "match.sticky is 0"
	case w.Ramp != nil && w.Ramp.From == 0 && w.Ramp.To == 0:
		return "when.ramp stays at 0"
	case len(w.Outcomes) > 0 && !slices.Contains(w.Outcomes, Hit):
		return "when.outcomes has no hit"
	case w.For > 0 && w.Cron == "" && begins >= time.Duration(w.For):
		return "when.for is over before when.window begins"
	case l.TTL > 0 && begins >= time.Duration(l.TTL):
		return "ttl is over before when.window begins"
	case l.acts[WebSockets] && !l.acts[HTTPRequests] && !l.acts[GRPCCalls] && len(l.Match.Methods) > 0 && !slices.Contains(l.Match.Methods, http.MethodGet):
		return "WebSockets are opened by GET, which match.methods does not have"
	case l.onBody && l.Match.onlyHead():
		return "it acts only on the body of a response, which one to HEAD does not have; match another method"
	case l.leavesNone(HTTPRequests, WebSockets, GRPCCalls):
		return "match.not excludes all requests that the rule matches"
	case l.Match.Reply != nil && l.Match.Reply.interim():
		return "match.reply.status has only statuses below 200, which rules about the response do not see"
	}
	return ""
}

// leavesNone reports whether match.not excludes everything that a rule, which hits
// requests of the scopes, would otherwise match in them.
func (l *live) leavesNone(scopes ...Scope) bool {
	n := l.not
	if n == nil {
		return false
	}
	hits := false
	for _, s := range scopes {
		switch {
		case !l.acts[s]:
			continue
		case s == GRPCCalls && n.Match.web(), s != GRPCCalls && n.Match.GRPC != "", !n.coversIn(l, s):
			return false
		}
		hits = true
	}
	return hits
}

// greedy reports whether a rule hits every request that it matches.
func (l *live) greedy() bool {
	all := *l.Rule
	all.When, all.Limit, all.TTL, all.Choose, all.Shared, all.Match.Per, all.Match.Sticky = When{}, nil, 0, nil, false, "", nil
	return reflect.DeepEqual(all, *l.Rule) && l.percent == 1 && l.kinds[Readiness] == nil
}

// shadowedBy returns the names of greedy rules that together hit everything that
// l matches, none when they may leave something.
func (l *live) shadowedBy(greedy []*live) (names []string) {
	for s := range scopeCount {
		if !l.acts[s] || s == TCPConnections && l.Match.TCP == "" && l.acts[HTTPRequests] {
			continue
		}
		at := slices.IndexFunc(greedy, func(a *live) bool { return a.covers(l, s) })
		if at < 0 {
			return nil
		}
		names = append(names, "rule "+strconv.Quote(greedy[at].Name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// covers reports whether l, which is greedy, leaves b nothing to do in a scope.
func (l *live) covers(b *live, s Scope) bool { return !l.leaves(b) && l.acts[s] && l.coversIn(b, s) }

// leaves reports whether b has something to do to requests that l hits: a rule that
// combines leaves its delay.
func (l *live) leaves(b *live) bool { return l.Combine && (l.Fault == nil || b.Fault == nil) }

// coversIn reports whether l matches everything that b matches in a scope, apart from
// the keys.
func (l *live) coversIn(b *live, s Scope) bool { return l.coversPath(b, s) && l.coversRest(b, s) }

// coversPath is coversIn for the path, the method of a call or the TCP proxy.
func (l *live) coversPath(b *live, s Scope) bool {
	switch s {
	case TCPConnections:
		return l.coversTCP(b)
	case GRPCCalls:
		return l.coversCalls(b)
	}
	return l.Match.Path == "" || l.path.Covers(b.paths())
}

// paths returns the pattern of the paths that the rule matches. Each begins with /.
func (l *live) paths() glob.Pattern {
	if l.Match.Path == "" {
		return glob.Text("/*")
	}
	return l.path
}

// coversRest is coversIn for all other conditions.
func (l *live) coversRest(b *live, s Scope) bool {
	m, other := &l.Match, &b.Match
	return (m.Internal || !other.Internal) && namesCover(m.Server, other.Server) &&
		conditionsCover(l.headers, b.headers) && conditionsCover(l.more, b.more) && m.Unverified == other.Unverified &&
		given(m.Instance, other.Instance) && given(m.Not, other.Not) && given(m.Reply, other.Reply) &&
		(s == TCPConnections || s == GRPCCalls || l.coversWeb(b))
}

// given reports whether a is nil, for no conditions, or has the conditions of b.
func given[T any](a, b *T) bool { return a == nil || reflect.DeepEqual(a, b) }

func (l *live) coversCalls(b *live) bool {
	return l.Match.GRPC == "" || l.Match.GRPC == "*" || b.Match.GRPC != "" && l.rpc.Covers(b.rpc)
}

// namesCover reports whether as has a pattern for each text that bs matches. An
// empty list matches every text.
func namesCover(as, bs Texts) bool {
	covered := func(b string) bool {
		return slices.ContainsFunc(as, func(a string) bool { return parseText("", a).Covers(parseText("", b)) })
	}
	return len(as) == 0 || len(bs) > 0 && !slices.ContainsFunc(bs, func(b string) bool { return !covered(b) })
}

// coversWeb is coversRest for the conditions that only HTTP requests can meet.
func (l *live) coversWeb(b *live) bool {
	m, other := &l.Match, &b.Match
	if len(m.Methods) > 0 && len(other.Methods) == 0 {
		return false
	}
	for _, method := range other.Methods {
		if len(m.Methods) > 0 && !slices.Contains(m.Methods, method) {
			return false
		}
	}
	return (m.Host == "" || m.Host == "*" || other.Host != "" && l.host.Covers(b.host)) &&
		conditionsCover(l.query, b.query)
}

// conditionsCover reports whether values that meet all of bs also meet all of as.
func conditionsCover(as, bs []condition) bool {
	for _, a := range as {
		if !slices.ContainsFunc(bs, func(b condition) bool {
			return a.source == b.source && a.canonical == b.canonical && (a.String() == "") == (b.String() == "") && a.Covers(b.Pattern)
		}) {
			return false
		}
	}
	return true
}
