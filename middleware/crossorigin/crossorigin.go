// Package crossorigin rejects state-changing requests from other sites' pages.
package crossorigin

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the cross-origin module. It rejects requests that a browser sends
// for another site's page with an unsafe method, which it recognizes by the
// headers Sec-Fetch-Site and Origin (see http.CrossOriginProtection). Clients
// other than browsers send neither header and pass.
type Module struct {
	Trusted []string `env:"TRUSTED" doc:"origins whose pages may send state-changing requests" accepts:"a comma-separated list of origins such as https://demo.example.com"`

	check *http.CrossOriginProtection
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "cross-origin", Doc: "Reject state-changing requests from other sites' pages.", Phase: registry.Guard}
}

// Validate checks the origins.
func (m *Module) Validate() error {
	m.check = http.NewCrossOriginProtection()
	for _, origin := range m.Trusted {
		if m.check.AddTrustedOrigin(origin) != nil {
			return registry.Invalid("Trusted", "a comma-separated list of origins such as https://demo.example.com")
		}
	}
	return nil
}

// Covers reports whether a route has methods that are not safe (RFC 9110,
// section 9.2.1).
func (*Module) Covers(rt registry.Route) bool {
	return rt.Method != http.MethodGet && rt.Method != http.MethodHead
}

// ServeHTTP responds with 403 to a cross-origin request.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if err := m.check.Check(r); err != nil {
		reply.Error(w, http.StatusForbidden, err.Error())
		return
	}
	next(w, r)
}
