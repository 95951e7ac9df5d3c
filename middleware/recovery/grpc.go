package recovery

import (
	"context"
	"runtime/debug"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ServeRPC fails a call with Internal when its handler panics, and logs the
// stack. Without it, grpc-go lets the panic end the process.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.host.Log.WithField("panic", p).WithField("method", call.FullMethod).WithField("stacktrace", string(debug.Stack())).Error("handler panicked")
			err = &rpc.Error{Code: rpc.Internal, Message: "internal error"}
		}
	}()
	return next(ctx)
}
