// Package faultinjection fails every request with 500 while it is switched on.
package faultinjection

import (
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

const (
	name    = "fault-injection"
	enabled = "fault injection enabled" // upstream's text
)

// Module is the fault-injection module.
type Module struct {
	host      *registry.Host
	on        atomic.Bool
	observers fault.Observers
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: name, Doc: "Fail every request with 500 while switched on over HTTP.", Phase: registry.Fault}
}

// Provision finds the observers of faults.
func (m *Module) Provision(h *registry.Host) error {
	m.host, m.observers = h, fault.ObserversOf(h)
	return nil
}

// Covers reports whether the route is not internal. The module's own routes are
// internal, so it can always be switched off.
func (*Module) Covers(rt registry.Route) bool { return !rt.Internal }

// ServeHTTP fails the request while fault injection is on.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if !m.on.Load() {
		next(w, r)
		return
	}
	m.observers.Report(r.Context(), name)
	m.host.Error(w, r, http.StatusInternalServerError, enabled)
}

// Routes declares /fault_injection/enable, /disable and /status.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{
		route(http.MethodPost, "/fault_injection/enable", "Switch fault injection on", http.StatusAccepted, m.switchTo(true)),
		route(http.MethodPost, "/fault_injection/disable", "Switch fault injection off", http.StatusAccepted, m.switchTo(false)),
		route(http.MethodGet, "/fault_injection/status", "Report whether fault injection is on", http.StatusOK, m.status),
	}
}

func route(method, path, summary string, code int, h http.HandlerFunc) registry.Route {
	return registry.Route{
		Method: method, Path: path, Handler: h, Internal: true,
		Summary: summary, Tag: "HTTP API",
		Returns: map[int]any{code: stateOf(strings.HasSuffix(path, "/enable"))},
	}
}

type state struct {
	FaultInjection string `json:"fault_injection"` // enabled or disabled
}

func stateOf(on bool) state {
	if on {
		return state{"enabled"}
	}
	return state{"disabled"}
}

// Injecting reports whether fault injection is on.
func (m *Module) Injecting() bool { return m.on.Load() }

// Inject switches fault injection on or off.
func (m *Module) Inject(on bool) { m.on.Store(on) }

func (m *Module) switchTo(on bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		m.Inject(on)
		reply.JSON(w, http.StatusAccepted, stateOf(on))
	}
}

func (m *Module) status(w http.ResponseWriter, _ *http.Request) {
	reply.JSON(w, http.StatusOK, stateOf(m.Injecting()))
}

// FaultSwitch implements [capability.FaultSwitcher].
func (m *Module) FaultSwitch() capability.FaultSwitch { return m }
