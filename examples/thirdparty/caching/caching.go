// Package caching tells clients how long they may cache a response.
package caching

import (
	"fmt"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is caching.
type Module struct {
	// MaxAge is a pointer because zero is a useful value that is not the
	// default: nil means the default, and new(0) means zero.
	MaxAge *int `env:"MAX_AGE" envDefault:"60" doc:"seconds that clients may cache a response" accepts:"a whole number, not negative"`
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "caching", Doc: "Set Cache-Control on the response.", Phase: registry.Enrich}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if *m.MaxAge < 0 {
		return registry.Invalid("MaxAge", "a whole number, not negative")
	}
	return nil
}

// Covers leaves out the probes and the other internal routes.
func (*Module) Covers(rt registry.Route) bool { return !rt.Internal }

// ServeHTTP sets the header. A handler may replace it.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	w.Header().Set("Cache-Control", fmt.Sprintf("max-age=%d", *m.MaxAge))
	next(w, r)
}
