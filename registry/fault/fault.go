// Package fault is what the modules that break things on purpose share.
package fault

import (
	"context"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// Observers are all of an App.
type Observers []capability.FaultObserver

// ObserversOf returns the observers of h's App. Call it in Provision.
func ObserversOf(h *registry.Host) Observers { return registry.All(h, capability.FaultObservers) }

// Report tells every observer that the fault of this name hit the request
// whose context is ctx.
func (os Observers) Report(ctx context.Context, fault string) {
	for _, o := range os {
		o.FaultInjected(ctx, fault)
	}
}
