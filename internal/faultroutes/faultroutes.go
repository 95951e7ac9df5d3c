// Package faultroutes describes the routes of a server to the checks and simulations
// of fault rules.
package faultroutes

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Of returns what rules need to know about routes. A route is a WebSocket if it
// documents that it switches protocols, and may be one if it documents no response.
func Of(routes []registry.Route) (out []scenario.Route) {
	for _, rt := range routes {
		_, socket := rt.Returns[http.StatusSwitchingProtocols]
		out = append(out, scenario.Route{Path: rt.Path, Internal: rt.Internal, WebSocket: socket, Unknown: !rt.Internal && (rt.Proxied || len(rt.Returns) == 0)})
	}
	return out
}
