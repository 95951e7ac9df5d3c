package scenario

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
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
	TCP       string // name of a TCP proxy, for a connection through it

	Connection bool // a connection that was accepted, in place of a request
	Handshake  bool // a TLS handshake, in place of a request

	Values

	response *Response // nil before the handler has responded
}

// bodiless reports whether the response to the request is known to have no body.
func (r *Request) bodiless() bool {
	return r.Method == http.MethodHead ||
		r.response != nil && (r.response.Status == http.StatusNoContent || r.response.Status == http.StatusNotModified)
}

// Scope returns the scope of the request.
func (r *Request) Scope() Scope {
	switch {
	case r.TCP != "":
		return TCPConnections
	case r.Connection:
		return Connections
	case r.Handshake:
		return Handshakes
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

// Names is implemented by Values that can list the names of headers, or of query
// parameters, with their values. The engine does not modify them.
type Names interface {
	Names(query bool) map[string][]string
}

// Waiter is implemented by the Values of requests that can wait in the queue of a
// limit.
type Waiter interface {
	// Wait waits until turn is closed, at most for a time. It returns false if
	// the time is over or the client has left.
	Wait(turn <-chan struct{}, most time.Duration) bool
}

// Payloads is implemented by Values that know JSON documents of a request.
type Payloads interface {
	// Claims returns the claims of the bearer token, nil without a token. If
	// unverified is false, the token must have been verified.
	Claims(unverified bool) []byte
	// Body returns the body. It returns false if the body cannot be read as a
	// whole, such as one that is too long: then rules that look into it hit nothing.
	Body() (doc []byte, ok bool)
}

// live is a compiled rule with its counters.
type live struct {
	*Rule
	born time.Time
	seed uint64 // of the scenario
	key  uint64 // of the seed and the name

	kinds     [scopeCount]*Kind // kind of the fault, by scope
	acts      [scopeCount]bool  // whether the rule can hit requests, by scope
	onBody    bool              // the rule acts only on the body of an HTTP response
	path      glob.Pattern
	rpc       glob.Pattern
	host      glob.Pattern
	headers   []condition
	reply     []condition // about the headers of the response
	query     []condition
	more      []condition // about cookies, claims and the body
	not       *live       // only its match is used; nil for none
	per       condition   // the pattern is not used
	perSource string
	delay     Distribution
	frames    Distribution
	percent   float64 // from 0 to 1
	timed     bool    // the rule depends on the clock
	schedule
	period  atomic.Pointer[period] // of the cron expression
	tcp     glob.Pattern
	latency Distribution // of data through a TCP proxy

	choices []*live // the alternatives, whose percent is the sum up to and with it
	fleet   string  // first part of the keys of the shared counts

	all   tally
	keyed *keys
	fired atomic.Uint64
}

// condition is a pattern for the value of a name.
type condition struct {
	glob.Pattern
	source           source
	lower, canonical string   // the name in gRPC metadata and in HTTP
	path             []string // of claims and bodies
	unverified       bool     // claims of any token count
	negated          bool     // within the field Not
}

func newCondition(from source, name, text string) condition {
	c := condition{Pattern: parseText("", text), source: from, lower: name, canonical: name}
	switch from {
	case byHeader, byReply:
		c.lower, c.canonical = strings.ToLower(name), textproto.CanonicalMIMEHeaderKey(name)
	case byClaim, byJSON:
		c.path = PathNames(name)
	}
	return c
}

func (c *condition) name(req *Request) string {
	if req.RPC != "" {
		return c.lower
	}
	return c.canonical
}

// values returns the values of the request. It may use room for them.
func (c *condition) values(req *Request, room []string) []string {
	switch c.source {
	case byHeader:
		return req.Header(c.name(req))
	case byQuery:
		if req.RPC == "" {
			return req.Query(c.canonical)
		}
	case byCookie:
		return cookies(req, c.canonical, room)
	case byReply:
		return req.response.Header(c.canonical)
	case byClaim, byJSON, byBody:
		p, ok := req.Values.(Payloads)
		if !ok {
			return nil
		}
		if c.source == byClaim {
			return jsonValues(p.Claims(c.unverified), c.path, room)
		}
		doc, _ := p.Body()
		if c.source == byBody {
			return append(room, string(doc))
		}
		return jsonValues(doc, c.path, room)
	}
	return nil
}

// parseText compiles a pattern that was checked: a regular expression after ~, or
// a text in which * is a wildcard. The text before is literal.
func parseText(before, text string) glob.Pattern {
	if expr, ok := strings.CutPrefix(text, "~"); ok {
		p, _ := glob.Regexp(before, expr)
		return p
	}
	return glob.Text(before + text)
}

// parsePath is parseText for paths, in which {name} is a wildcard too. Paths are
// compared decoded, so it decodes a text, unless a wildcard would come of it.
func parsePath(text string) (glob.Pattern, error) {
	if expr, ok := strings.CutPrefix(text, "~"); ok {
		return glob.Regexp("", expr)
	}
	if plain, err := url.PathUnescape(text); err == nil && !encodedWild().MatchString(text) {
		if p, err := glob.Parse(plain); err == nil {
			return p, nil
		}
	}
	return glob.Parse(text)
}

// encodedWild matches the encodings of *, { and }.
var encodedWild = lazyregexp.New(`(?i)%(2a|7b|7d)`)

// parseHost is parseText for hosts, in lower case.
func parseHost(text string) glob.Pattern {
	if expr, ok := strings.CutPrefix(text, "~"); ok {
		return parseText("", "~(?i:"+expr+")")
	}
	return glob.Text(strings.ToLower(text))
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
	l.compileMatch(m)
	if m.Reply != nil {
		l.reply = conditions(byReply, m.Reply.Headers)
	}
	if m.Not != nil {
		not := *m.Not
		not.Unverified = m.Unverified
		l.not = &live{Rule: &Rule{Match: not}}
		l.not.compileMatch(&not)
		for i := range l.not.more {
			l.not.more[i].negated = true
		}
	}
	if m.Per != "" {
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
	l.setTCP()
	w := &r.When
	l.schedule, _ = newSchedule(w) // which was checked
	if r.Shared {
		l.fleet = l.sharedPrefix()
	}
	l.timed = r.TTL > 0 || !w.From.IsZero() || !w.Until.IsZero() || w.For > 0 || w.Window != nil || w.Daily != nil || w.Flap != nil || w.Ramp != nil || w.Cron != "" || w.Weekdays != nil || r.Limit != nil && r.Limit.Rate > 0
	return l
}

// compileMatch prepares the conditions about requests.
func (l *live) compileMatch(m *Match) {
	l.path, _ = parsePath(m.Path) // which was checked
	l.rpc, l.host = parseText("/", m.GRPC), parseHost(m.Host)
	l.headers, l.query = conditions(byHeader, m.Headers), conditions(byQuery, m.Query)
	l.more = slices.Concat(conditions(byCookie, m.Cookie), conditions(byClaim, m.Claim), conditions(byJSON, m.JSON))
	if m.Body != "" {
		l.more = append(l.more, newCondition(byBody, "", m.Body))
	}
	if m.Per != "" {
		source, name, _ := strings.Cut(m.Per, ":")
		l.perSource = source
		l.per = newCondition(perSources()[source], name, "*")
	}
	l.per.unverified = m.Unverified
	for i := range l.more {
		l.more[i].unverified = m.Unverified
	}
}

// perSources are the sources of keys that have a name.
func perSources() map[string]source {
	return map[string]source{"header": byHeader, "query": byQuery, "cookie": byCookie, "claim": byClaim, "json": byJSON}
}

// conditions compiles patterns by name, in the order of the names.
func conditions(from source, patterns map[string]string) (out []condition) {
	for name, text := range patterns {
		out = append(out, newCondition(from, name, text))
	}
	slices.SortFunc(out, func(a, b condition) int { return cmp.Compare(a.canonical, b.canonical) })
	return out
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
		a := &Rule{Name: c.Name, Match: r.Match, Delay: c.Delay, Fault: c.Fault, At: r.At}
		if a.Name == "" {
			a.Name = fmt.Sprintf("%s.%d", r.Name, i+1)
		}
		a.Match.Percent, a.Match.Sticky, a.Match.Per = nil, nil, ""
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
			if !c.actsOn(req) {
				return nil
			}
			return c
		}
	}
	return nil
}

// setScopes decides what the rule does in each scope.
func (l *live) setScopes() {
	if len(l.choices) > 0 {
		for s := range scopeCount {
			l.acts[s] = slices.ContainsFunc(l.choices, func(c *live) bool { return c.acts[s] })
		}
		l.onBody = !slices.ContainsFunc(l.choices, func(c *live) bool { return !c.onBody })
		return
	}
	if l.Limit != nil && l.Fault == nil && l.delay == nil {
		r := *l.Rule
		r.Fault = defaultLimitFault(l.Limit)
		l.Rule = &r
	}
	l.kinds = l.kindIn()
	l.onBody = (l.delay == nil || l.Delay.At == Chunks) && (l.Fault == nil || l.breaksBody())
	for s := range scopeCount {
		if s >= Readiness {
			l.acts[s] = s > Readiness && l.kinds[s] != nil
			continue
		}
		excluded := l.Match.GRPC != "" || l.Match.Reply.ofCall()
		if s == GRPCCalls {
			excluded = l.Match.web()
		}
		l.acts[s] = !excluded && l.meets(s, l.kinds) && (l.Fault == nil || l.kinds[s] != nil)
	}
}

// breaksBody reports whether the fault acts only on the body of an HTTP response.
func (l *live) breaksBody() bool {
	k := l.kinds[HTTPRequests]
	return k != nil && (k.Pauses || l.Fault.Reply != nil && l.Fault.Reply.onlyCorrupts())
}

// actsOn reports whether the rule does something to a request that it matches.
func (l *live) actsOn(req *Request) bool {
	return l.acts[req.Scope()] && !(l.onBody && req.bodiless())
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
	if !l.actsOn(req) {
		return false
	}
	if req.TCP != "" {
		return l.matchesTCP(req)
	}
	return l.meetsAll(req) && (l.Match.Sticky == nil || l.sticks(req)) && (l.not == nil || !l.not.meetsAll(req))
}

// meetsAll reports whether the request meets every condition about requests,
// except those of the field Not.
func (l *live) meetsAll(req *Request) bool {
	m := &l.Match
	if req.RPC != "" {
		if m.web() || m.GRPC != "" && m.GRPC != "*" && !l.rpc.Match(req.RPC) {
			return false
		}
	} else if m.GRPC != "" || !l.matchesWeb(req) {
		return false
	}
	return meetAll(l.headers, req) && meetAll(l.more, req)
}

// meetAll reports whether a request meets conditions.
func meetAll(all []condition, req *Request) bool {
	for i := range all {
		var room [4]string
		c := &all[i]
		if c.unread(req) {
			if !c.negated {
				return false
			}
			continue
		}
		if !c.any(c.values(req, room[:0])) {
			return false
		}
	}
	return true
}

// unread reports whether the condition is about a body that cannot be read. Such a
// request must not be hit: it does not meet the condition, and within the field Not
// it does.
func (c *condition) unread(req *Request) bool {
	p, ok := req.Values.(Payloads)
	if !c.source.inBody() || !ok {
		return false
	}
	_, ok = p.Body()
	return !ok
}

// readsBody reports whether a condition is about the body of the request.
func (l *live) readsBody() bool {
	return slices.ContainsFunc(l.more, func(c condition) bool { return c.source.inBody() })
}

func (l *live) matchesWeb(req *Request) bool {
	m := &l.Match
	if m.Path != "" && !l.path.Match(req.Path) ||
		len(m.Methods) > 0 && !slices.Contains(m.Methods, req.Method) ||
		m.Host != "" && !l.host.Match(strings.ToLower(req.Host)) {
		return false
	}
	return meetAll(l.query, req)
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
	if l.perSource == "" {
		return &l.all, l.key
	}
	value := l.keyOf(req)
	if value == "" {
		return nil, 0
	}
	h := splitmix.Hash(value)
	l.all.n.Add(1)
	return l.keyed.of(h), splitmix.Mix(l.key ^ h)
}

// keyOf returns the key that the rule counts the request by, "" for none.
func (l *live) keyOf(req *Request) string {
	switch l.perSource {
	case "client":
		return req.Client()
	case "route":
		return cmp.Or(req.RPC, req.Route)
	}
	var room [4]string
	return first(l.per.values(req, room[:0]))
}

// sticks reports whether the request's key is in the rule's share of keys. That
// depends on the rule's name and the key alone, so it is the same on
// every replica and after a restart.
func (l *live) sticks(req *Request) bool {
	value := l.keyOf(req)
	h := splitmix.Mix(splitmix.Hash(l.Name) ^ splitmix.Mix(splitmix.Hash(value)))
	return value != "" && draws(h).uniform(drawSticky, 0) < *l.Match.Sticky/100
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// open reports whether the conditions about the time since the loading hold, and the share of requests
// that the ramp has reached.
func (w *When) open(born, now time.Time) (share float64, ok bool) {
	if !w.From.IsZero() && now.Before(w.From.Time) {
		return 0, false
	}
	passed := now.Sub(born)
	if w.For > 0 && w.Cron == "" && passed >= time.Duration(w.For) {
		return 0, false
	}
	if x := w.Window; x != nil && (passed < time.Duration(x.From) || x.To > 0 && passed >= time.Duration(x.To)) {
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

// counts reports whether w depends on the number of a request.
func (w *When) counts() bool {
	return w.After+w.Every+w.First > 0 || len(w.Outcomes) > 0 || w.Burst != nil
}

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
