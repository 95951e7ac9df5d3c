// Package health serves the probes of an orchestrator and the switch of
// readiness.
package health

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Reply is the body of a probe's good reply. A bad one has no body.
type Reply struct {
	Status string `json:"status"`
}

// ErrDisabled is why an App is not ready that was told to be so, by a setting
// or by /readyz/disable.
var ErrDisabled = errors.New("readiness is turned off")

// Module is health.
type Module struct {
	Unhealthy bool `env:"UNHEALTHY" doc:"fail /healthz"`
	Unready   bool `env:"UNREADY" doc:"fail /readyz until POST /readyz/enable"`

	host     *registry.Host
	good     []byte
	disabled atomic.Bool
	logged   atomic.Int32 // the readiness that was logged last
}

// The values of Module.logged.
const (
	unknown int32 = iota
	ready
	notReady
)

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "health", Doc: "Answer liveness and readiness probes.", Unprefixed: true}
}

// Provision encodes the good reply.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host = h
	m.disabled.Store(m.Unready)
	m.good, err = reply.Encode(Reply{"OK"})
	return err
}

// Routes declares the probes and the switch.
func (m *Module) Routes() []registry.Route {
	probe := map[int]any{http.StatusOK: Reply{}, http.StatusServiceUnavailable: nil}
	done := map[int]any{http.StatusAccepted: nil}
	return []registry.Route{
		{
			Method: http.MethodGet, Path: "/healthz", Handler: m.healthz, Internal: true, Probe: true,
			Summary: "Liveness probe", Tag: "Kubernetes", Returns: probe,
		},
		{
			Method: http.MethodGet, Path: "/readyz", Handler: m.readyz, Internal: true, Probe: true,
			Summary: "Readiness probe", Tag: "Kubernetes", Returns: probe,
		},
		{
			Method: http.MethodPost, Path: "/readyz/enable", Handler: m.enable, Internal: true,
			Summary: "Turn readiness on", Tag: "Kubernetes", Returns: done,
		},
		{
			Method: http.MethodPost, Path: "/readyz/disable", Handler: m.disable, Internal: true,
			Summary: "Turn readiness off", Tag: "Kubernetes", Returns: done,
		},
	}
}

// Healthz answers liveness probes, for other ports.
func (m *Module) Healthz() http.Handler { return http.HandlerFunc(m.healthz) }

// Readyz answers readiness probes, for other ports.
func (m *Module) Readyz() http.Handler { return http.HandlerFunc(m.readyz) }

// Status is nil when the App is ready, or says why it is not.
func (m *Module) Status(ctx context.Context) error {
	err := ErrDisabled
	if !m.disabled.Load() {
		err = m.host.Ready(ctx)
	}
	if ctx.Err() == nil { // who asked has not left: the checks were not cut short
		m.log(err)
	}
	return err
}

// log logs a change of readiness once, when the first probe sees it.
func (m *Module) log(why error) {
	now := ready
	if why != nil {
		now = notReady
	}
	if m.logged.Load() == now || m.logged.Swap(now) == now {
		return
	}
	if why == nil {
		m.host.Log.Info("ready")
		return
	}
	m.host.Log.WithField("reason", why.Error()).Info("not ready")
}

// healthz stays good while the App drains: a restart would not help it.
func (m *Module) healthz(w http.ResponseWriter, _ *http.Request) { m.reply(w, !m.Unhealthy) }

func (m *Module) readyz(w http.ResponseWriter, r *http.Request) {
	m.reply(w, m.Status(r.Context()) == nil)
}

func (m *Module) reply(w http.ResponseWriter, good bool) {
	if !good {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	reply.Encoded(w, http.StatusOK, m.good)
}

// SetReady turns readiness off, or leaves it to the checks of the modules.
func (m *Module) SetReady(on bool) { m.disabled.Store(!on) }

func (m *Module) enable(w http.ResponseWriter, _ *http.Request) {
	m.SetReady(true)
	w.WriteHeader(http.StatusAccepted)
}

func (m *Module) disable(w http.ResponseWriter, _ *http.Request) {
	m.SetReady(false)
	w.WriteHeader(http.StatusAccepted)
}

// HealthProbes implements [capability.HealthProber].
func (m *Module) HealthProbes() capability.HealthProbes { return m }
