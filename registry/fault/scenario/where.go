package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// places are the routes that a rule may match, by their paths.
type places struct {
	path              glob.Pattern   // of the rule
	plain, sockets    []glob.Pattern // routes of the server that are not WebSockets, and those that are
	internal, unknown []glob.Pattern // internal routes that the rule does not match, and those that may be WebSockets
	others            bool           // there may be routes besides
}

// placesOf returns the routes of a server that a rule may match.
func placesOf(l *live, on Server) *places {
	p := &places{path: l.paths(), others: on.Others}
	for _, rt := range on.Routes {
		route, err := glob.Parse(rt.Path)
		if err != nil || !route.Meets(p.path) {
			continue
		}
		list := &p.plain
		switch {
		case rt.Internal && !l.Match.Internal:
			list = &p.internal
		case rt.Unknown:
			list = &p.unknown
		case rt.WebSocket:
			list = &p.sockets
		}
		*list = append(*list, route)
	}
	return p
}

// onlyInternal reports whether the rule matches none but internal routes. A pattern
// with * that matches internal routes of podinfo alone is meant for these, even if
// there may be other routes.
func (p *places) onlyInternal() bool {
	if len(p.plain)+len(p.sockets)+len(p.unknown) > 0 || p.others && p.path.IsRegexp() {
		return glob.CoverTogether(p.internal, p.path)
	}
	return len(p.internal) > 0
}

// onlySockets reports whether every route that the rule matches is a WebSocket.
func (p *places) onlySockets() bool {
	return glob.CoverTogether(p.sockets, p.path) || len(p.sockets) > 0 && len(p.plain)+len(p.unknown) == 0 && !p.others
}

// noSocket reports whether no route that the rule matches is a WebSocket.
func (p *places) noSocket() bool {
	return len(p.sockets) == 0 && (glob.CoverTogether(p.plain, p.path) || len(p.unknown) == 0 && !p.others)
}

// warnOfRoutes warns about a path that no route has, about internal routes that the
// rule does not match, and about kinds of faults that do nothing there.
func (d *decoder) warnOfRoutes(l *live, on Server) {
	if on.Routes == nil {
		return
	}
	p := placesOf(l, on)
	switch {
	case l.Match.Path != "" && p.onlyInternal():
		d.wrong("match.path", "%q is the path of an internal route, which only a rule with internal: true and a literal path matches", l.Match.Path)
	case l.Match.Path != "" && !on.Others && len(p.plain)+len(p.sockets)+len(p.unknown) == 0:
		d.wrong("match.path", "no route of the server has the path %q; the rule changes only responses with 404", l.Match.Path)
	default:
		d.warnOfSockets(l, p)
	}
}

// warnOfSockets warns about faults that do nothing to WebSockets where a rule matches
// only these, and about faults of WebSockets on other routes.
func (d *decoder) warnOfSockets(l *live, p *places) {
	where := fmt.Sprintf(" at %q", l.Match.Path)
	if l.Match.Path == "" {
		where = ""
	}
	l.each(func(under string, does *live) {
		web, socket := does.acts[HTTPRequests], does.acts[WebSockets]
		switch k := does.kinds[WebSockets]; {
		case socket && !web && k != nil && p.noSocket():
			d.wrong(under+"fault", "%s does nothing%s, as no route there is a WebSocket: %s", k.Name, where, k.Not(HTTPRequests))
		case web && !socket && p.onlySockets():
			field, why := does.Misses(WebSockets)
			if field == "at" || field == "match.reply" { // which the alternatives share
				under = ""
			}
			d.wrong(under+field, "does nothing%s, which is a WebSocket: %s", where, why)
		}
	})
}

// each calls f for the rule or, if it has alternatives, for each of them with the path
// to its fields.
func (l *live) each(f func(under string, does *live)) {
	for i, c := range l.choices {
		f(fmt.Sprintf("choose[%d].", i), c)
	}
	if len(l.choices) == 0 {
		f("", l)
	}
}

// Misses says by which field, and why, a rule does nothing to the HTTP requests,
// WebSockets or gRPC calls of a scope that it does not meet.
func (r *Rule) Misses(s Scope) (field, why string) {
	kinds := r.Fault.Kinds()
	switch k := r.Fault.Kind(HTTPRequests); {
	case s == WebSockets && r.Match.Reply != nil:
		return "match.reply", "a rule about the response does not see its messages; use websocket, without reply"
	case s == WebSockets && r.At == AfterHandler:
		return "at", "it is open until its handler returns; remove at, or use after within websocket"
	case k != nil:
		return "fault", k.Not(s)
	case len(kinds) > 0:
		return "fault", kinds[0].Not(s)
	}
	return "delay", "its response has no chunks; use websocket with delay"
}

// warnOfCalls warns about internal methods that the rule does not match, and about
// methods that no service has: the calls of these end before the rules.
func (d *decoder) warnOfCalls(l *live, on Server) {
	if l.Match.GRPC == "" {
		return
	}
	var internal []glob.Pattern
	for _, text := range rpc.InternalMethods() {
		internal = append(internal, glob.Text(text))
	}
	served := on.Methods == nil || on.Others || l.Match.Internal || slices.ContainsFunc(on.Methods, l.rpc.Match)
	switch {
	case !l.Match.Internal && glob.CoverTogether(internal, l.rpc):
		d.wrong("match.grpc", "%q is a method of health or reflection, which only a rule with internal: true and a literal method matches", l.Match.GRPC)
	case !served && len(on.Methods) == 0:
		d.wrong("match.grpc", "the server has no gRPC services; set PODINFO_GRPC_PORT to serve them")
	case !served:
		d.wrong("match.grpc", "no service of the server has the method %q; the rule never hits", l.Match.GRPC)
	}
}

// warnOfConnections warns about TCP proxies that the server does not have, and about
// TLS handshakes where no port has TLS.
func (d *decoder) warnOfConnections(l *live, on Server) {
	if on.NoTLS {
		l.each(func(under string, does *live) {
			if does.acts[Handshakes] {
				d.wrong(under+"fault", "no port of the server has TLS; set PODINFO_SECURE_PORT to serve it")
			}
		})
	}
	passed := func(proxy string) bool { return l.Match.TCP == "" || l.tcp.Match(proxy) }
	switch {
	case on.TCPProxies == nil || slices.ContainsFunc(on.TCPProxies, passed):
	case len(on.TCPProxies) > 0: // and the rule names another one
		d.wrong("match.tcp", "no TCP proxy of the server has the name %q; use %s", l.Match.TCP, strings.Join(on.TCPProxies, " or "))
	case l.Match.TCP != "":
		d.wrong("match.tcp", noTCPProxies)
	default:
		l.each(func(under string, does *live) {
			if does.actsOnlyOn(TCPConnections) {
				d.wrong(under+"fault", noTCPProxies)
			}
		})
	}
}

const noTCPProxies = "the server has no TCP proxies; set PODINFO_TCP_PROXY to have one"

// actsOnlyOn reports whether the rule does something in a scope and in no other.
func (l *live) actsOnlyOn(scope Scope) bool {
	for s := range scopeCount {
		if l.acts[s] != (s == scope) {
			return false
		}
	}
	return true
}

// warnOfPeers warns about claims that no module verifies, and about counts that the
// rule does not share.
func (d *decoder) warnOfPeers(r *Rule, on Server) {
	m := &r.Match
	field := ""
	switch {
	case !on.NoTokens || m.Unverified:
	case len(m.Claim) > 0:
		field = "match.claim"
	case strings.HasPrefix(m.Per, "claim:"):
		field = "match.per"
	case m.Not != nil && len(m.Not.Claim) > 0:
		field = "match.not.claim"
	}
	if field != "" {
		d.wrong(field, "no claim counts, as module jwt is off; turn it on, or set match.unverified if another server verifies the tokens")
	}
	if r.Shared && on.NoCounts {
		d.wrong("shared", "each replica counts alone, as there is no server to count on; set PODINFO_CACHE_SERVER")
	}
}
