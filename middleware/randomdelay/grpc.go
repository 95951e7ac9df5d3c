package randomdelay

import (
	"context"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ServeRPC delays the call. If its deadline passes or the client cancels it
// during the delay, the call ends there.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	if call.Internal {
		return next(ctx)
	}
	if d := m.draw(); d > 0 {
		m.observers.Report(ctx, name)
		if !registry.Sleep(ctx, d) {
			return rpc.FromContext(ctx)
		}
	}
	return next(ctx)
}
