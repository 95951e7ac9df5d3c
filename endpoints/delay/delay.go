// Package delay serves /delay, which responds after the requested time.
package delay

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// Module is the delay module.
type Module struct {
	setting.DelayLimit
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "delay", Doc: "Respond after the requested time.", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.Max < 0 {
		return registry.Invalid("Max", "a duration of 0 or more")
	}
	return nil
}

// Routes declares /delay/{seconds}.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{{
		Method: http.MethodGet, Path: "/delay/{seconds}", Handler: m.serve, Label: "delay",
		Summary: "Delay", Tag: "HTTP API",
		Params:   map[string]string{"seconds": "time to wait: whole seconds, or a duration such as 250ms or 1.5s"},
		Examples: map[string]string{"seconds": "50ms"},
		Returns:  map[int]any{http.StatusOK: wait.Reply{Delay: 0.05}, http.StatusNotFound: reply.Problem{}, http.StatusBadRequest: reply.Problem{}},
	}}
}

func (m *Module) serve(w http.ResponseWriter, r *http.Request) {
	d, ok := wait.FromPath(w, r, m.Max)
	if !ok {
		return
	}
	wait.Extend(w, r, d)
	if !registry.Sleep(r.Context(), d) {
		return // the client disconnected
	}
	reply.JSON(w, http.StatusOK, wait.Reply{Delay: d.Seconds()})
}
