// Package tea refuses to brew coffee.
package tea

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is tea.
type Module struct{}

// Info places the module before jwt, in the same phase: a client that wants
// coffee is refused before its token is checked.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "tea", Doc: "Refuse requests for coffee.", Phase: registry.Guard, Before: "jwt"}
}

// Covers leaves out the probes and the other internal routes.
func (*Module) Covers(rt registry.Route) bool { return !rt.Internal }

// ServeHTTP responds with 418 to a request with additions (RFC 2324, 2.3.2).
func (*Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if r.Header.Get("Accept-Additions") != "" {
		reply.Error(w, http.StatusTeapot, "I'm a teapot")
		return
	}
	next(w, r)
}
