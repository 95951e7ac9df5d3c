package scenario

import (
	"fmt"
	"slices"

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
			field, why := does.missesSockets()
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

// missesSockets says why a rule about HTTP requests does nothing to WebSockets.
func (l *live) missesSockets() (field, why string) {
	switch k := l.Fault.Kind(HTTPRequests); {
	case l.Match.Reply != nil:
		return "match.reply", "a rule about the response does not see its messages; use websocket, without reply"
	case l.At == AfterHandler:
		return "at", "it is open until its handler returns; remove at, or use after within websocket"
	case k != nil:
		return "fault", k.Not(WebSockets)
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
