// Package fault is what the modules that break things on purpose share.
package fault

import (
	"context"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// An Observer is a module that is told of each injected fault: metrics count
// it, the access log and the trace of the request name it. ctx is the
// request's.
type Observer interface {
	FaultInjected(ctx context.Context, fault string)
}

// Observers are all of an App.
type Observers []Observer

// ObserversOf returns the observers of h's App. Call it in Provision.
func ObserversOf(h *registry.Host) Observers { return registry.All[Observer](h) }

// Report tells every observer that the fault of this name hit the request
// whose context is ctx.
func (os Observers) Report(ctx context.Context, fault string) {
	for _, o := range os {
		o.FaultInjected(ctx, fault)
	}
}
