// Package health serves liveness and readiness probes, and routes that turn
// readiness on and off.
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

// Reply is the body of a response to a successful probe. A failure has no body.
type Reply struct {
	Status string `json:"status"`
}

// ErrDisabled is returned by Status when readiness was turned off by a setting
// or by /readyz/disable.
var ErrDisabled = errors.New("readiness is turned off")

// Module is the health module.
type Module struct {
	Unhealthy bool `env:"UNHEALTHY" doc:"fail /healthz"`
	Unready   bool `env:"UNREADY" doc:"fail /readyz until POST /readyz/enable"`

	host     *registry.Host
	success  []byte // encoded Reply
	disabled atomic.Bool
	logged   atomic.Int32 // readiness in the last log line: unknown, ready or notReady
}

const (
	unknown int32 = iota
	ready
	notReady
)

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "health", Doc: "Respond to liveness and readiness probes.", Unprefixed: true}
}

// Provision encodes the response to a successful probe.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host = h
	m.disabled.Store(m.Unready)
	m.success, err = reply.Encode(Reply{"OK"})
	return err
}

// Routes declares the probes and the routes that turn readiness on and off.
func (m *Module) Routes() []registry.Route {
	probe := map[int]any{http.StatusOK: Reply{"OK"}, http.StatusServiceUnavailable: nil}
	accepted := map[int]any{http.StatusAccepted: nil}
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
			Summary: "Turn readiness on", Tag: "Kubernetes", Returns: accepted,
		},
		{
			Method: http.MethodPost, Path: "/readyz/disable", Handler: m.disable, Internal: true,
			Summary: "Turn readiness off", Tag: "Kubernetes", Returns: accepted,
		},
	}
}

// Healthz returns the handler of liveness probes, for use on other ports.
func (m *Module) Healthz() http.Handler { return http.HandlerFunc(m.healthz) }

// Readyz returns the handler of readiness probes, for use on other ports.
func (m *Module) Readyz() http.Handler { return http.HandlerFunc(m.readyz) }

// Status returns nil when the App is ready, otherwise the reason why it is not.
func (m *Module) Status(ctx context.Context) error {
	err := ErrDisabled
	if !m.disabled.Load() {
		err = m.host.Ready(ctx)
	}
	if ctx.Err() == nil { // a canceled context may have failed the checks
		m.log(ctx, err)
	}
	return err
}

// log logs a change of readiness once. A nil reason means ready.
func (m *Module) log(ctx context.Context, reason error) {
	now := ready
	if reason != nil {
		now = notReady
	}
	if m.logged.Load() == now || m.logged.Swap(now) == now {
		return
	}
	if reason == nil {
		m.host.Log.WithContext(ctx).Info("ready")
		return
	}
	m.host.Log.WithContext(ctx).WithField("reason", reason.Error()).Info("not ready")
}

// healthz succeeds while the App drains, because a restart would not help.
func (m *Module) healthz(w http.ResponseWriter, _ *http.Request) { m.reply(w, m.Alive()) }

// Alive reports whether liveness probes succeed.
func (m *Module) Alive() bool { return !m.Unhealthy }

func (m *Module) readyz(w http.ResponseWriter, r *http.Request) {
	m.reply(w, m.Status(r.Context()) == nil)
}

func (m *Module) reply(w http.ResponseWriter, success bool) {
	if !success {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	reply.Encoded(w, http.StatusOK, m.success)
}

// SetReady turns readiness on or off. When it is on, the App is ready if the
// checks of all modules succeed.
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
