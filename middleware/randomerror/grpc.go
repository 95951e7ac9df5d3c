package randomerror

import (
	"context"
	"slices"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

const grpcCodes = "a comma-separated list of gRPC status codes, none of them OK"

func validGRPCCodes(codes []rpc.Code) bool {
	invalid := func(c rpc.Code) bool { return c == rpc.OK || int(c) >= len(rpc.Codes()) }
	return len(codes) > 0 && !slices.ContainsFunc(codes, invalid)
}

// ServeRPC either fails the call or passes it on. Calls and requests share one
// sequence of draws.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	if call.Internal {
		return next(ctx)
	}
	random := m.random.Next()
	if random.Float64() >= m.Rate {
		return next(ctx)
	}
	m.observers.Report(ctx, name)
	return &rpc.Error{Code: m.GRPCCodes[random.IntN(len(m.GRPCCodes))], Message: "random error"}
}
