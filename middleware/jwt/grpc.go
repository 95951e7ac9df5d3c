package jwt

import (
	"context"
	"maps"
	"slices"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// grpc is the Method of a route that represents a gRPC method.
const grpc = "gRPC"

// rpcRoute returns the route that represents a gRPC method.
func rpcRoute(name, module string) registry.Route {
	return registry.Route{Method: grpc, Path: name, Pattern: name, Module: module}
}

// declaredRPCs returns the gRPC methods of every enabled module as routes, or nil
// when no gRPC port is open.
func declaredRPCs(h *registry.Host) (out []registry.Route, err error) {
	l, err := registry.Optional(h, capability.RPCListers)
	if l == nil || err != nil {
		return nil, err
	}
	rpcs := l.ListRPCs()
	for _, name := range slices.Sorted(maps.Keys(rpcs)) {
		out = append(out, rpcRoute(name, rpcs[name]))
	}
	return out, nil
}

// ServeRPC rejects a call without a valid token.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	if call.Internal || !m.coversRPC(call.FullMethod) {
		return next(ctx)
	}
	if err := m.authorize(call.Metadata("authorization")); err != nil {
		return &rpc.Error{Code: rpc.Unauthenticated, Message: err.Error()}
	}
	return next(ctx)
}

// coversRPC reports whether the gRPC method is guarded. Whether one that is not
// declared is guarded depends on its name alone.
func (m *Module) coversRPC(name string) bool {
	covered, known := m.rpcs[name]
	return covered || !known && m.guard.covers(rpcRoute(name, ""))
}
