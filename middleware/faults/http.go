package faults

import (
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// ServeHTTP does to a request what the rules say. Without rules that is one
// atomic load.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if m.engine.Idle() && !m.ByHeader {
		next(w, r)
		return
	}
	m.serve(w, r, next, false)
}

// Bind knows which routes are internal.
func (m *Module) Bind(rt registry.Route) registry.Middleware {
	if rt.Internal {
		return internal{m}
	}
	return m
}

// internal is the module in front of an internal route.
type internal struct{ *Module }

func (m internal) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if m.engine.Idle() {
		next(w, r)
		return
	}
	m.serve(w, r, next, true)
}

func (m *Module) serve(w http.ResponseWriter, r *http.Request, next http.HandlerFunc, internal bool) {
	d := m.decide(r, internal)
	if m.ByHeader && !internal {
		var ok bool
		if d, ok = m.asked(w, r, d); !ok {
			return
		}
	}
	if d == nil {
		next(w, r)
		return
	}
	if d.Limited() && upgrades(r) {
		t := &tenant{ResponseWriter: wrapped(w), leave: sync.OnceFunc(d.Done)}
		defer t.done()
		w = t
	} else {
		defer d.Done()
	}
	if len(d.Strikes) == 0 { // it only takes a place below a limit
		next(w, r)
		return
	}
	m.strike(w, r, next, d)
}

// values are of a request. The query is parsed when a rule asks for it.
type values struct {
	*http.Request
	query url.Values
}

func (v *values) Header(name string) []string { return v.Request.Header[name] }

func (v *values) Query(name string) []string {
	if v.query == nil {
		v.query = v.URL.Query()
	}
	return v.query[name]
}

func (v *values) Client() string { return bare(v.RemoteAddr) }

// bare is an address without its port.
func bare(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// host is bare for the header of that name, which mostly has no port.
func host(s string) string {
	if !strings.Contains(s, ":") {
		return s
	}
	return bare(s)
}

func (m *Module) decide(r *http.Request, internal bool) *scenario.Decision {
	v := values{Request: r}
	path := strings.TrimPrefix(r.URL.Path, m.host.Prefix())
	if path == "" {
		path = "/"
	}
	return m.engine.Decide(&scenario.Request{
		Method: r.Method, Path: path, Host: host(r.Host), Route: r.Pattern,
		WebSocket: upgrades(r), Internal: internal, Values: &v,
	})
}

// upgrades reports whether a request asks for a WebSocket.
func upgrades(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0 && strings.EqualFold(r.Header["Upgrade"][0], "websocket")
}

func (m *Module) strike(w http.ResponseWriter, r *http.Request, next http.HandlerFunc, d *scenario.Decision) {
	leave := m.hold(d, false)
	defer leave()
	if len(d.Strikes) == 0 { // they were waits, and there was no room
		next(w, r)
		return
	}
	if m.header != "" {
		w.Header().Set(m.header, d.Names())
	}
	m.report(r.Context(), d, false)
	left := d.Delay()
	if left > 0 {
		wait.ExtendAll(w, r, left)
		if !registry.Sleep(r.Context(), left) {
			return
		}
	}
	broken := d.Broken()
	var f *scenario.Fault
	if broken != nil {
		f = broken.Fault
	}
	if d.Slow(false) {
		s := &slow{ResponseWriter: wrapped(w), r: r, decision: d, fault: f, left: m.MaxDelay - left}
		w = s
		defer s.finish()
	} else {
		leave() // what the handler takes is its own
	}
	switch f.Kind(false) {
	case "status":
		refuse(w, broken)
	case "reset", "empty", "garbage":
		m.abort(w, broken)
	case "truncate", "bad-chunk":
		m.cut(w, r, next, broken)
	case "goaway":
		w.Header().Set("Connection", "close") // over HTTP/2 it becomes GOAWAY
		next(w, r)
	case "websocket":
		next(m.frames(w, broken), r)
	default:
		next(w, r)
	}
}

// wrapped is w as the writers in a chain are.
func wrapped(w http.ResponseWriter) negroni.ResponseWriter {
	if rw, ok := w.(negroni.ResponseWriter); ok {
		return rw
	}
	return negroni.NewResponseWriter(w)
}

// refuse answers with a status.
func refuse(w http.ResponseWriter, s *scenario.Strike) {
	h := w.Header()
	if s.Retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(s.Retry.Seconds()))))
	}
	for name, value := range s.Fault.Headers {
		h.Set(name, value)
	}
	w.WriteHeader(s.Fault.Status)
	w.Write([]byte(s.Fault.Body))
}
