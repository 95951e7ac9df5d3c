package scenario

import (
	"cmp"
	"fmt"
	"math"
	"net/textproto"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/internal/splitmix"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Request is an HTTP request, or a gRPC call when RPC is set.
type Request struct {
	Method    string
	Path      string // below the server's prefix
	Host      string // without the port
	Route     string // pattern of the route
	WebSocket bool   // the request asks for a WebSocket
	RPC       string // "/echo.EchoService/Echo"
	Internal  bool   // only rules with match.internal match
	Values
}

// Scope returns the scope of the request.
func (r *Request) Scope() Scope {
	switch {
	case r.RPC != "":
		return GRPCCalls
	case r.WebSocket:
		return WebSockets
	}
	return HTTPRequests
}

// Values are the values of a request that are computed only when a rule needs
// them.
type Values interface {
	// Header returns the values of a header by its canonical name, or of a
	// call's metadata by its lower-case name.
	Header(name string) []string
	Query(name string) []string
	Client() string // address, without the port
}

// live is a compiled rule with its counters.
type live struct {
	*Rule
	born time.Time
	seed uint64 // of the scenario
	key  uint64 // of the seed and the name

	kinds     [scopeCount]*Kind // kind of the fault, by scope
	acts      [scopeCount]bool  // whether the rule can hit requests, by scope
	path      glob.Pattern
	rpc       glob.Pattern
	host      glob.Pattern
	headers   []condition
	query     []condition
	per       condition // the pattern is not used
	perSource string
	delay     Distribution
	frames    Distribution
	percent   float64 // from 0 to 1
	timed     bool    // the rule depends on the clock

	choices []*live // the alternatives, whose percent is the sum up to and with it

	all   tally
	keyed *keys
	fired atomic.Uint64
}

// condition is a pattern for the value of a name.
type condition struct {
	glob.Pattern
	lower, canonical string // the name in gRPC metadata and in HTTP
}

func newCondition(name, text string) condition {
	return condition{glob.Text(text), strings.ToLower(name), textproto.CanonicalMIMEHeaderKey(name)}
}

func (c *condition) name(req *Request) string {
	if req.RPC != "" {
		return c.lower
	}
	return c.canonical
}

// compileRule prepares a rule that was checked.
func compileRule(r *Rule, seed uint64, born time.Time, limits Limits) *live {
	l := &live{Rule: r, born: born, seed: seed, key: splitmix.Mix(seed ^ splitmix.Hash(r.Name)), percent: 1}
	if from := r.When.From; !from.IsZero() {
		l.born = from.Time
	}
	m := &r.Match
	if m.Percent != nil {
		l.percent = *m.Percent / 100
	}
	l.path, _ = glob.Parse(m.Path) // which was checked
	l.rpc, l.host = glob.Text("/"+m.GRPC), glob.Text(strings.ToLower(m.Host))
	for name, text := range m.Headers {
		l.headers = append(l.headers, newCondition(name, text))
	}
	for name, text := range m.Query {
		c := newCondition(name, text)
		c.lower, c.canonical = name, name
		l.query = append(l.query, c)
	}
	byName := func(a, b condition) int { return cmp.Compare(a.canonical, b.canonical) }
	slices.SortFunc(l.headers, byName)
	slices.SortFunc(l.query, byName)
	if m.Per != "" {
		source, name, _ := strings.Cut(m.Per, ":")
		l.perSource, l.per = source, newCondition(name, "*")
		if source == "query" {
			l.per.canonical = name
		}
		l.keyed = &keys{limit: limits.Keys}
	}
	if r.Delay != nil {
		l.delay = r.Delay.Distribution()
	}
	if f := r.Fault; f != nil && f.WebSocket != nil && f.WebSocket.Delay != nil {
		l.frames = f.WebSocket.Delay.Distribution()
	}
	l.compileChoices(limits)
	l.setScopes()
	w := &r.When
	l.timed = r.TTL > 0 || !w.From.IsZero() || !w.Until.IsZero() || w.For > 0 || w.Window != nil || w.Daily != nil || w.Flap != nil || w.Ramp != nil || r.Limit != nil && r.Limit.Rate > 0
	return l
}

// compileChoices prepares the alternatives, which draw and count with the rule.
func (l *live) compileChoices(limits Limits) {
	sum := 0.0
	for i, r := range l.Alternatives() {
		sum += l.Choose[i].Percent
		does := compileRule(r, l.seed, l.born, limits)
		does.percent = sum / 100
		l.choices = append(l.choices, does)
	}
}

// Alternatives returns the alternatives of r as rules of their own, without what
// they share with r but its match.
func (r *Rule) Alternatives() (out []*Rule) {
	for i, c := range r.Choose {
		a := &Rule{Name: c.Name, Match: r.Match, Delay: c.Delay, Fault: c.Fault}
		if a.Name == "" {
			a.Name = fmt.Sprintf("%s.%d", r.Name, i+1)
		}
		a.Match.Percent, a.Match.Per = nil, ""
		out = append(out, a)
	}
	return out
}

// choose returns what does the hit: the rule itself or one of its alternatives.
// It is nil when none is drawn, or one that does nothing to the request.
func (l *live) choose(d draws, req *Request) *live {
	if len(l.choices) == 0 {
		return l
	}
	u := d.uniform(drawChoice, 0)
	for _, c := range l.choices {
		if u < c.percent {
			if !c.acts[req.Scope()] {
				return nil
			}
			return c
		}
	}
	return nil
}

// on reports whether the rule is for an instance.
func (l *live) on(instance string) bool {
	return len(l.Match.Server) == 0 || slices.ContainsFunc(l.Match.Server, func(name string) bool { return glob.Text(name).Match(instance) })
}

// setScopes decides what the rule does in each scope.
func (l *live) setScopes() {
	if len(l.choices) > 0 {
		for s := range Readiness {
			l.acts[s] = slices.ContainsFunc(l.choices, func(c *live) bool { return c.acts[s] })
		}
		return
	}
	if l.Limit != nil && l.Fault == nil && l.delay == nil {
		r := *l.Rule
		r.Fault = defaultLimitFault(l.Limit)
		l.Rule = &r
	}
	l.kinds = l.Fault.kindIn()
	for s := range Readiness {
		excluded := l.Match.GRPC != ""
		if s == GRPCCalls {
			excluded = l.Match.web()
		}
		l.acts[s] = !excluded && l.meets(s, l.kinds) && (l.Fault == nil || l.kinds[s] != nil)
	}
}

// defaultLimitFault returns the fault of a limit that is given without one.
func defaultLimitFault(l *Limit) *Fault {
	if l.Rate > 0 {
		return &Fault{Status: 429, GRPC: &GRPC{Code: rpc.ResourceExhausted, Message: "too many calls"}}
	}
	return &Fault{Status: 503, GRPC: &GRPC{Code: rpc.Unavailable, Message: "too many calls at once"}}
}

// matches reports whether the rule matches the request, whatever its number.
func (l *live) matches(req *Request) bool {
	if req.Internal && !l.Match.Internal {
		return false
	}
	if !l.acts[req.Scope()] {
		return false
	}
	if req.RPC != "" {
		if l.Match.GRPC != "" && l.Match.GRPC != "*" && !l.rpc.Match(req.RPC) {
			return false
		}
	} else if !l.matchesWeb(req) {
		return false
	}
	for i := range l.headers {
		if c := &l.headers[i]; !c.any(req.Header(c.name(req))) {
			return false
		}
	}
	return true
}

func (l *live) matchesWeb(req *Request) bool {
	m := &l.Match
	if m.Path != "" && !l.path.Match(req.Path) ||
		len(m.Methods) > 0 && !slices.Contains(m.Methods, req.Method) ||
		m.Host != "" && !l.host.Match(strings.ToLower(req.Host)) {
		return false
	}
	for i := range l.query {
		if c := &l.query[i]; !c.any(req.Query(c.canonical)) {
			return false
		}
	}
	return true
}

// any reports whether one of the values matches. An empty pattern matches when
// there is no value.
func (c *condition) any(values []string) bool {
	if c.String() == "" {
		return first(values) == ""
	}
	for _, v := range values {
		if c.Match(v) {
			return true
		}
	}
	return false
}

// countFor returns the tally that counts the request, and the seed of its draws.
// The tally is nil when the request does not have the key.
func (l *live) countFor(req *Request) (*tally, uint64) {
	var value string
	switch l.perSource {
	case "":
		return &l.all, l.key
	case "client":
		value = req.Client()
	case "route":
		value = cmp.Or(req.RPC, req.Route)
	case "header":
		value = first(req.Header(l.per.name(req)))
	case "query":
		if req.RPC == "" {
			value = first(req.Query(l.per.canonical))
		}
	}
	if value == "" {
		return nil, 0
	}
	h := splitmix.Hash(value)
	l.all.n.Add(1)
	return l.keyed.of(h), splitmix.Mix(l.key ^ h)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// open reports whether the conditions about time hold, and the share of requests
// that the ramp has reached.
func (w *When) open(born, now time.Time) (share float64, ok bool) {
	if !w.From.IsZero() && now.Before(w.From.Time) {
		return 0, false
	}
	passed := now.Sub(born)
	if w.For > 0 && passed >= time.Duration(w.For) {
		return 0, false
	}
	if x := w.Window; x != nil && (passed < time.Duration(x.From) || x.To > 0 && passed >= time.Duration(x.To)) {
		return 0, false
	}
	if x := w.Daily; x != nil && !x.has(now) {
		return 0, false
	}
	if x := w.Flap; x != nil && passed%time.Duration(x.Hit+x.Pass) >= time.Duration(x.Hit) {
		return 0, false
	}
	if x := w.Ramp; x != nil {
		way := min(1, float64(passed)/float64(x.Over))
		return (x.From + (x.To-x.From)*way) / 100, true
	}
	return 1, true
}

func (d *Daily) has(now time.Time) bool {
	now = now.UTC()
	t := Clock(now.Sub(time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)))
	if d.From < d.To {
		return d.From <= t && t < d.To
	}
	return d.From <= t || t < d.To
}

// counts reports whether w depends on the number of a request.
func (w *When) counts() bool { return w.After+w.Every+w.First > 0 || len(w.Outcomes) > 0 }

// picks reports whether w selects the n-th request, counted from 1.
func (w *When) picks(n uint64) bool {
	if n <= w.After {
		return false
	}
	n -= w.After
	if w.Every > 0 {
		if n%w.Every != 0 {
			return false
		}
		n /= w.Every
	}
	if w.First > 0 && n > w.First {
		return false
	}
	if have := uint64(len(w.Outcomes)); have > 0 {
		if n > have && !w.Cycle {
			return false
		}
		return w.Outcomes[(n-1)%have] == Hit
	}
	return true
}

// end returns when the rule ends, zero for never.
func (l *live) end() (end time.Time) {
	if l.TTL > 0 {
		end = l.born.Add(time.Duration(l.TTL))
	}
	if until := l.When.Until.Time; !until.IsZero() && (end.IsZero() || until.Before(end)) {
		end = until
	}
	return end
}

// ended reports whether the rule has ended by now. A rule that has ended does so
// for good.
func (l *live) ended(now time.Time) bool {
	end := l.end()
	return !end.IsZero() && !now.Before(end)
}

// burst returns the size of the token bucket.
func (l *Limit) burst() float64 {
	if l.Burst > 0 {
		return float64(l.Burst)
	}
	return math.Max(1, math.Ceil(l.Rate))
}
