package recovery

import (
	"context"

	"github.com/seed-4591fe7d/podinfo/internal/panicked"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ServeRPC fails a call with Internal when its handler panics, and logs the
// stack. Without it, grpc-go lets the panic end the process.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			panicked.Log(m.host.Log.WithField("method", call.FullMethod), ctx, p)
			err = &rpc.Error{Code: rpc.Internal, Message: "internal error"}
		}
	}()
	return next(ctx)
}
