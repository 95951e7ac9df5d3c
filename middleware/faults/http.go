package faults

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// ServeHTTP delays and breaks requests by the rules. Without rules it costs one
// atomic load.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if m.engine.Idle() && !m.ByHeader {
		next(w, r)
		return
	}
	m.serve(w, r, next, false)
}

// Bind returns the middleware of a route, which differs for internal ones.
func (m *Module) Bind(rt registry.Route) registry.Middleware {
	switch {
	case rt.Internal:
		return internal{m}
	case rt.Proxied:
		return proxied{m}
	}
	return m
}

// internal is the middleware of internal routes.
type internal struct{ *Module }

func (m internal) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if m.engine.Idle() {
		next(w, r)
		return
	}
	m.serve(w, r, next, true)
}

func (m *Module) serve(w http.ResponseWriter, r *http.Request, next http.HandlerFunc, internal bool) {
	scope := scenario.HTTPRequests
	if upgrades(r) {
		scope = scenario.WebSockets
	}
	v := &values{Request: r, m: m, w: w}
	defer v.free()
	req := m.request(r, v, scope, internal)
	d := m.engine.Decide(req)
	if err := v.err(); err != nil || v.left {
		if d != nil {
			d.Done()
		}
		if err != nil {
			reply.BodyError(w, r, err)
		}
		return
	}
	if m.ByHeader && !internal {
		var ok bool
		if d, ok = m.addByHeader(w, r, req, d); !ok {
			return
		}
	}
	if rules := m.engine.Await(req, d); rules != nil {
		if err := v.err(); err != nil {
			if d != nil {
				d.Done()
			}
			reply.BodyError(w, r, err)
			return
		}
		next = m.await(next, rules, scope)
	}
	if d == nil {
		next(w, r)
		return
	}
	if d.Limited() && scope == scenario.WebSockets {
		t := &hijackTracker{ResponseWriter: wrapped(w), leave: sync.OnceFunc(d.Done)}
		defer t.done()
		w = t
	} else {
		defer d.Done()
	}
	if len(d.Strikes) == 0 { // the request only occupies a slot of a limit
		next(w, r)
		return
	}
	m.strike(w, r, next, d, scope)
}

func (m *Module) request(r *http.Request, v *values, scope scenario.Scope, internal bool) *scenario.Request {
	path := strings.TrimPrefix(r.URL.Path, m.host.Prefix())
	if path == "" {
		path = "/"
	}
	return &scenario.Request{
		Method: r.Method, Path: path, Host: hostOf(r.Host), Route: r.Pattern,
		WebSocket: scope == scenario.WebSockets, Internal: internal, Values: v,
	}
}

// upgrades reports whether a request asks for a WebSocket.
func upgrades(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0 && strings.EqualFold(r.Header["Upgrade"][0], "websocket")
}

func (m *Module) strike(w http.ResponseWriter, r *http.Request, next http.HandlerFunc, d *scenario.Decision, scope scenario.Scope) {
	if d.Delay() > 0 {
		ahead, err := m.readAhead(r)
		if err != nil {
			reply.BodyError(w, r, err)
			return
		}
		defer ahead.Close()
	}
	leave := m.hold(r.Context(), d, scope)
	defer leave()
	if len(d.Strikes) == 0 { // all were delays, and no slot was free
		next(w, r)
		return
	}
	rest := m.announce(w, r, d, scope)
	after := d.DelayAfter()
	delay := d.Delay() - after
	if !pause(w, r, delay) {
		return
	}
	broken := d.Broken()
	kind, b := breakerOf(broken, scope)
	if d.Slow(scope) {
		s := &slow{ResponseWriter: wrapped(w), m: m, r: r, decision: d, strike: broken, pace: b.pace, left: m.MaxDelay - delay, rest: rest, leave: leave}
		w = s
		defer s.finish()
	} else if after == 0 && (kind == nil || !kind.Waits) {
		leave() // the handler's own time does not count
	}
	if after > 0 {
		next = m.delayed(next, after, kind == nil)
	}
	switch {
	case b.pace != nil && !d.Chunked():
		m.framed(w, r, next)
	case kind == nil || kind.Pauses:
		next(w, r)
	case scope == scenario.WebSockets:
		b.webSocket(m, w, r, next, broken)
	case broken.After() && !b.edits:
		lose(w, r, next)
		if r.Context().Err() == nil { // the client has not left
			b.http(m, w, r, nothing, broken)
		}
	default:
		b.http(m, w, r, next, broken)
	}
}

// pause waits for d and moves the deadlines of the request by it. It returns false
// when the client has left.
func pause(w http.ResponseWriter, r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	wait.ExtendAll(w, r, d)
	return registry.Sleep(r.Context(), d)
}

// nothing is the handler of a request that was handled.
func nothing(http.ResponseWriter, *http.Request) {}

// wrapped returns w as a negroni.ResponseWriter, which it is within a chain.
func wrapped(w http.ResponseWriter) negroni.ResponseWriter {
	if rw, ok := w.(negroni.ResponseWriter); ok {
		return rw
	}
	return negroni.NewResponseWriter(w)
}

// respond applies the kind status. The rule may set the body or its type; a rule
// that sets neither gets the body of every other error.
func respond(m *Module, w http.ResponseWriter, r *http.Request, _ http.HandlerFunc, s *scenario.Strike) {
	h := w.Header()
	if after := s.RetryAfter(time.Now()); after != "" {
		h.Set("Retry-After", after)
	}
	for name, value := range s.Fault.Headers {
		h.Set(name, value)
	}
	if s.Fault.Body == "" && len(h["Content-Type"]) == 0 {
		message := "injected fault"
		if m.header != "" { // the response may name the rule
			message += " of the rule " + s.Rule
		}
		m.host.Error(w, r, s.Fault.Status, message)
		return
	}
	w.WriteHeader(s.Fault.Status)
	io.WriteString(w, s.Fault.Body)
}

// respondAndLeave applies the kind goaway. Over HTTP/2 net/http translates the
// header into a GOAWAY frame.
func respondAndLeave(_ *Module, w http.ResponseWriter, r *http.Request, next http.HandlerFunc, _ *scenario.Strike) {
	w.Header().Set("Connection", "close")
	next(w, r)
}
