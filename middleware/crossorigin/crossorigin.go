// Package crossorigin rejects state-changing requests from other sites' pages.
package crossorigin

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/internal/origin"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// Module is the cross-origin module. It rejects requests that a browser sends
// for another site's page with an unsafe method, which it recognizes by the
// headers Sec-Fetch-Site and Origin (see [origin.Policy]). Clients other than
// browsers send neither header and pass.
type Module struct {
	setting.TrustedOrigins

	policy *origin.Policy
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "cross-origin", Doc: "Reject state-changing requests from other sites' pages.", Phase: registry.Guard, Unprefixed: true}
}

// Validate checks the origins.
func (m *Module) Validate() (err error) {
	if m.policy, err = origin.New(m.Trusted); err != nil {
		return registry.Invalid("Trusted", origin.Format)
	}
	return nil
}

// Covers reports whether a route has methods that are not safe (RFC 9110,
// section 9.2.1). Another service decides for itself.
func (*Module) Covers(rt registry.Route) bool {
	return rt.Method != http.MethodGet && rt.Method != http.MethodHead && !rt.Proxied
}

// ServeHTTP responds with 403 to a cross-origin request.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if err := m.policy.CheckMethod(r); err != nil {
		reply.Error(w, http.StatusForbidden, err.Error())
		return
	}
	next(w, r)
}
