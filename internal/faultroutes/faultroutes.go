// Package faultroutes describes the routes of a server to the checks and simulations
// of fault rules.
package faultroutes

import (
	"net/http"
	"slices"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Of returns what rules need to know about routes. A route is a WebSocket if it
// documents that it switches protocols, and may be one if it documents no response.
// Where a proxy is alone, the routes of podinfo are not served.
func Of(routes []registry.Route) (out []scenario.Route) {
	alone := slices.ContainsFunc(routes, func(rt registry.Route) bool { return rt.Alone })
	for _, rt := range routes {
		if alone && !rt.Proxied {
			continue
		}
		_, socket := rt.Returns[http.StatusSwitchingProtocols]
		out = append(out, scenario.Route{Path: rt.Path, Internal: rt.Internal, WebSocket: socket, Unknown: !rt.Internal && (rt.Proxied || len(rt.Returns) == 0)})
	}
	return out
}
