// Package tea refuses to brew coffee.
package tea

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is tea. It is off until PODINFO_TEA_ENABLED=true.
type Module struct{}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "tea", Doc: "Refuse requests that ask for coffee.", Phase: registry.Guard, OptIn: true}
}

// Covers leaves the probes alone.
func (*Module) Covers(rt registry.Route) bool { return !rt.Internal }

// ServeHTTP refuses what is not tea (RFC 2324, 2.3.2).
func (*Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if r.Header.Get("Accept-Additions") != "" {
		reply.Error(w, http.StatusTeapot, "I'm a teapot")
		return
	}
	next(w, r)
}
