package jwt

import (
	"context"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// grpc stands for the method of the routes that are gRPC methods.
const grpc = "gRPC"

func rpcRoute(name string) registry.Route {
	return registry.Route{Method: grpc, Path: name, Pattern: name}
}

// declaredRPCs are the gRPC methods of every enabled module, as routes, none
// when no gRPC port is open.
func declaredRPCs(h *registry.Host) (out []registry.Route, err error) {
	l, err := registry.Optional(h, capability.RPCListers)
	if l == nil || err != nil {
		return nil, err
	}
	for _, name := range l.ListRPCs() {
		out = append(out, rpcRoute(name))
	}
	return out, nil
}

// ServeRPC refuses a call without a valid token.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	if call.Internal || !m.coversRPC(call.FullMethod) {
		return next(ctx)
	}
	token, err := fromMetadata(call.Metadata("authorization"))
	if err == nil {
		_, _, err = m.verifier.Verify(token)
	}
	if err != nil {
		return &rpc.Error{Code: rpc.Unauthenticated, Message: err.Error()}
	}
	return next(ctx)
}

// coversRPC judges a method that was not there at assembly by its name.
func (m *Module) coversRPC(name string) bool {
	covered, known := m.rpcs[name]
	return covered || !known && m.guard.covers(rpcRoute(name))
}

func fromMetadata(values []string) (string, error) {
	if len(values) != 1 { // of two, a proxy may have looked at the other one
		return "", bearer.ErrMissing
	}
	return bearer.FromValue(values[0])
}
