// Package crossorigin keeps other sites' pages from changing anything.
package crossorigin

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is cross-origin. It refuses what a browser sends on behalf of another
// site with a method that is not safe, by the headers Sec-Fetch-Site and
// Origin (see http.CrossOriginProtection). Clients that are no browsers send
// neither and pass.
type Module struct {
	Trusted []string `env:"TRUSTED" doc:"origins whose pages may send requests that change something" accepts:"a comma-separated list of origins such as https://demo.example.com"`

	check *http.CrossOriginProtection
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "cross-origin", Doc: "Refuse requests that another site's page sends to change something.", Phase: registry.Guard}
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

// Covers the routes whose methods are not all safe (RFC 9110, 9.2.1).
func (*Module) Covers(rt registry.Route) bool {
	return rt.Method != http.MethodGet && rt.Method != http.MethodHead
}

// ServeHTTP refuses with 403.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if err := m.check.Check(r); err != nil {
		reply.Error(w, http.StatusForbidden, err.Error())
		return
	}
	next(w, r)
}
