// Package randomdelay delays requests by a random time.
package randomdelay

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
)

const name = "random-delay"

// Module is the random-delay module.
type Module struct {
	Unit string `env:"UNIT" envDefault:"s" doc:"unit of the delay" accepts:"s or ms"`
	Min  int    `env:"MIN" envDefault:"0" doc:"shortest delay" accepts:"a whole number, not negative"`
	// A zero in a literal means the default. Set PODINFO_RANDOM_DELAY_MAX=0 to say zero.
	Max int `env:"MAX" envDefault:"5" doc:"longest delay" accepts:"a whole number, not below the shortest delay"`

	shortest, span time.Duration
	random         *registry.Random
	observers      fault.Observers
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{
		Name: name, Doc: "Delay each request by a random time, uniform between two bounds.",
		Phase: registry.Fault, OptIn: true, EnableVar: "RANDOM_DELAY",
	}
}

// unit returns the unit of the delay, 0 if it is not valid.
func (m *Module) unit() time.Duration {
	switch strings.ToLower(m.Unit) {
	case "s", "sec", "secs", "second", "seconds":
		return time.Second
	case "ms", "msec", "msecs", "millis", "millisecond", "milliseconds":
		return time.Millisecond
	}
	return 0
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if m.unit() == 0 {
		errs = append(errs, registry.Invalid("Unit", "s or ms"))
	}
	if m.Min < 0 {
		errs = append(errs, registry.Invalid("Min", "a whole number, not negative"))
	}
	if m.Max < m.Min || m.Max > math.MaxInt32 { // a larger number of seconds overflows a Duration
		errs = append(errs, registry.Invalid("Max", "a whole number, not below the shortest delay and below 2147483648"))
	}
	return errors.Join(errs...)
}

// Provision computes the bounds and finds the source of randomness.
func (m *Module) Provision(h *registry.Host) error {
	m.shortest, m.span = time.Duration(m.Min)*m.unit(), time.Duration(m.Max-m.Min)*m.unit()
	m.random, m.observers = h.Random(), fault.ObserversOf(h)
	return nil
}

// Covers reports whether the route is not internal.
func (*Module) Covers(rt registry.Route) bool { return !rt.Internal }

// ServeHTTP delays the request. If the client disconnects during the delay, the
// request ends there.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if d := m.draw(); d > 0 {
		m.observers.Report(r.Context(), name)
		wait.ExtendAll(w, r, d)
		if !registry.Sleep(r.Context(), d) {
			return
		}
	}
	next(w, r)
}

// draw returns a delay that is uniform over every nanosecond between the bounds,
// both included.
func (m *Module) draw() time.Duration {
	random := m.random.Next()
	return m.shortest + time.Duration(random.Uint64N(uint64(m.span)+1))
}
