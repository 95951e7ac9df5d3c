package faultinjection

import (
	"context"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ServeRPC fails the call while fault injection is on.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	if call.Internal || !m.on.Load() {
		return next(ctx)
	}
	m.observers.Report(ctx, name)
	return &rpc.Error{Code: rpc.Internal, Message: enabled}
}
