package ui

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// peers are the modules whose state the page shows and changes; nil for those
// that are off.
type peers struct {
	measurer capability.RequestMeasurer
	prober   capability.HealthProbes
	injector capability.FaultSwitch
	ruler    capability.FaultRules
	caller   capability.OwnRPCs
	routes   func() peerRoutes
}

// peerRoutes is what the page has to know of the App's routes.
type peerRoutes struct {
	infoModule string          // name of the module that serves /api/info
	modelRoute registry.Route  // represents the routes that the page uses
	ownLabels  map[string]bool // metrics labels of routes that only this module serves
}

func findPeers(h *registry.Host) (p peers, _ error) {
	var errs [5]error
	p.measurer, errs[0] = registry.Optional(h, capability.RequestMeasurers)
	prober, err := registry.Optional(h, capability.HealthProbers)
	if errs[1] = err; prober != nil {
		p.prober = prober.HealthProbes()
	}
	switcher, err := registry.Optional(h, capability.FaultSwitchers)
	if errs[2] = err; switcher != nil {
		p.injector = switcher.FaultSwitch()
	}
	ruler, err := registry.Optional(h, capability.FaultRulers)
	if errs[3] = err; ruler != nil {
		p.ruler = ruler.FaultRules()
	}
	caller, err := registry.Optional(h, capability.RPCCallers)
	if errs[4] = err; caller != nil {
		p.caller = caller.OwnRPCs()
	}
	p.routes = sync.OnceValue(func() peerRoutes { return findRoutes(h.Declared()) })
	return p, errors.Join(errs[:]...)
}

func findRoutes(declared []registry.Route) (p peerRoutes) {
	p.ownLabels = map[string]bool{}
	for _, rt := range declared {
		if rt.Path == "/api/info" {
			p.infoModule = rt.Module
		}
		if rt.Module == name {
			p.ownLabels[rt.Label] = true
		}
		if rt.Path == modelPath {
			p.modelRoute = rt
		}
	}
	for _, rt := range declared {
		if rt.Module != name {
			delete(p.ownLabels, rt.Label)
		}
	}
	return p
}

// state is the part of the page's data that changes at any time.
type state struct {
	From           instance          `json:"from"`
	Ready          bool              `json:"ready"`
	Why            string            `json:"why"` // why it is not ready, or ""
	Draining       bool              `json:"draining"`
	FaultInjection *bool             `json:"faultInjection,omitempty"` // nil if the module is off
	Modules        map[string]string `json:"modules"`                  // state of each switchable module
	Faults         *faults           `json:"faults,omitempty"`         // nil if the module is off
}

type faults struct {
	Paused bool   `json:"paused"`
	Rules  []rule `json:"rules"`          // at most maxRules
	More   int    `json:"more,omitempty"` // number of rules left out
}

// maxRules is the maximum number of rules in a state. A scenario may have
// thousands.
const maxRules = 200

type rule struct {
	Name    string          `json:"name"`
	Rule    json.RawMessage `json:"rule"`
	Seen    uint64          `json:"seen"` // requests that matched
	Hits    uint64          `json:"hits"` // requests that it was applied to
	Expires *time.Time      `json:"expires,omitempty"`
	Ended   bool            `json:"ended,omitempty"`
}

// state collects the current state. ctx bounds the readiness checks.
func (m *Module) state(ctx context.Context) state {
	ready := m.host.Ready
	if m.peers.prober != nil {
		ready = m.peers.prober.Status
	}
	s := state{From: m.instance, Draining: m.host.Draining(), Modules: map[string]string{}}
	if err := ready(ctx); err != nil {
		s.Why = err.Error()
	}
	s.Ready = s.Why == ""
	for _, x := range m.host.Modules() {
		if m.notSwitchable(x) == "" {
			s.Modules[x.Info.Name] = x.State.String()
		}
	}
	if m.peers.injector != nil {
		on := m.peers.injector.Injecting()
		s.FaultInjection = &on
	}
	if m.peers.ruler != nil {
		rules := m.peers.ruler.Rules()
		shown := min(len(rules), maxRules)
		s.Faults = &faults{Paused: m.peers.ruler.Paused(), Rules: []rule{}, More: len(rules) - shown}
		for _, r := range rules[:shown] {
			s.Faults.Rules = append(s.Faults.Rules, rule{r.Rule.Name, r.Rule.JSON(), r.Seen, r.Hits, r.Expires, r.Ended})
		}
	}
	return s
}
