// Package deadline limits the time of handlers.
package deadline

import (
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is deadline.
type Module struct {
	After time.Duration `env:"AFTER" envDefault:"10s" doc:"longest time that a handler may take" accepts:"a duration above zero"`

	timeout registry.Middleware
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "deadline", Doc: "Respond with 503 when a handler takes too long.", Phase: registry.Guard}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.After <= 0 {
		return registry.Invalid("After", "a duration above zero")
	}
	return nil
}

// Provision builds the standard middleware, once.
func (m *Module) Provision(*registry.Host) error {
	m.timeout = registry.Standard(func(next http.Handler) http.Handler {
		return http.TimeoutHandler(next, m.After, "the handler took too long\n")
	})
	return nil
}

// Covers leaves out internal routes, and streams, which http.TimeoutHandler
// would buffer.
func (*Module) Covers(rt registry.Route) bool { return !rt.Internal && !rt.Stream }

// ServeHTTP leaves out WebSockets too, which take the connection over.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if r.Header.Get("Upgrade") != "" {
		next(w, r)
		return
	}
	m.timeout.ServeHTTP(w, r, next)
}
