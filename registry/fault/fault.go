// Package fault lets modules that inject faults and modules that record them
// work together.
package fault

import (
	"context"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// Observers are the observers of an App.
type Observers []capability.FaultObserver

// ObserversOf returns the observers of h's App. Call it in Provision.
func ObserversOf(h *registry.Host) Observers { return registry.All(h, capability.FaultObservers) }

// Report notifies every observer that a fault hit the request whose context is
// ctx.
func (os Observers) Report(ctx context.Context, fault string) {
	for _, o := range os {
		o.FaultInjected(ctx, fault)
	}
}
