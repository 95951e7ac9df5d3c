// Package faultinjection answers 500 to everything, from the moment it is told
// to until it is told to stop.
package faultinjection

import (
	"net/http"
	"sync/atomic"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

const name = "fault-injection"

// Module is fault-injection.
type Module struct {
	on        atomic.Bool
	observers fault.Observers
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: name, Doc: "Answer 500 to every request, while switched on over HTTP.", Phase: registry.Fault}
}

// Provision finds those who are told of faults.
func (m *Module) Provision(h *registry.Host) error {
	m.observers = fault.ObserversOf(h)
	return nil
}

// Covers leaves out internal routes: its own are among them.
func (*Module) Covers(rt registry.Route) bool { return !rt.Internal }

var body = []byte(`{"status":"fault injection enabled"}` + "\n") // upstream's, byte for byte

// ServeHTTP fails the request while the fault is on.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if !m.on.Load() {
		next(w, r)
		return
	}
	m.observers.Report(r.Context(), name)
	reply.Encoded(w, http.StatusInternalServerError, body)
}

// Routes declares /fault_injection/enable, /disable and /status.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{
		route(http.MethodPost, "/fault_injection/enable", "Switch fault injection on", http.StatusAccepted, m.turn(true)),
		route(http.MethodPost, "/fault_injection/disable", "Switch fault injection off", http.StatusAccepted, m.turn(false)),
		route(http.MethodGet, "/fault_injection/status", "Say whether fault injection is on", http.StatusOK, m.status),
	}
}

func route(method, path, summary string, code int, h http.HandlerFunc) registry.Route {
	return registry.Route{
		Method: method, Path: path, Handler: h, Internal: true,
		Summary: summary, Tag: "HTTP API",
		Returns: map[int]any{code: state{}},
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

// Injecting reports whether every request is answered with 500.
func (m *Module) Injecting() bool { return m.on.Load() }

// Inject starts or ends that.
func (m *Module) Inject(on bool) { m.on.Store(on) }

func (m *Module) turn(on bool) http.HandlerFunc {
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
