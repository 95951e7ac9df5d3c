package grpcserver

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// links is what is linked: the chain, and the modules whose services answer.
type links struct {
	generation uint64
	chain      []rpc.Middleware
	on         map[string]bool
}

// linked is the links of now. After a Switch the first call makes them anew.
func (m *Module) linked() *links {
	l, now := m.links.Load(), m.host.Generation()
	if l != nil && l.generation == now {
		return l
	}
	l = &links{now, registry.Linked[rpc.Middleware](m.host), map[string]bool{}}
	for _, s := range m.host.Modules() {
		l.on[s.Info.Name] = s.State == registry.On
	}
	m.links.Store(l)
	return l
}

func (m *Module) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
	err = m.call(ctx, info.FullMethod, rpc.Unary, func(ctx context.Context) (err error) {
		reply, err = handler(ctx, req)
		return err
	})
	return reply, err
}

func (m *Module) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	kind := rpc.ServerStream
	switch {
	case info.IsClientStream && info.IsServerStream:
		kind = rpc.BidiStream
	case info.IsClientStream:
		kind = rpc.ClientStream
	}
	return m.call(stream.Context(), info.FullMethod, kind, func(ctx context.Context) error {
		return handler(srv, &streamWith{stream, ctx})
	})
}

// streamWith is a stream whose context the chain has replaced.
type streamWith struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *streamWith) Context() context.Context { return s.ctx }

// call runs the chain around a handler.
func (m *Module) call(ctx context.Context, method string, kind rpc.Kind, handler func(context.Context) error) error {
	l := m.linked()
	c := &rpc.Call{FullMethod: method, Kind: kind, Internal: strings.HasPrefix(method, "/grpc.health.") || strings.HasPrefix(method, "/grpc.reflection.")}
	if owner, ok := m.owner[c.Service()]; ok && !l.on[owner] {
		return status.Errorf(codes.Unimplemented, "unknown service %s", c.Service())
	}
	if !c.Internal {
		m.calls.Add(1)
		defer m.calls.Add(-1)
	}
	if p, ok := peer.FromContext(ctx); ok {
		c.Peer = p.Addr.String()
	}
	md, _ := metadata.FromIncomingContext(ctx)
	c.Metadata = md.Get
	if agent := md["user-agent"]; len(agent) > 0 {
		c.UserAgent = agent[0]
	}
	return toStatus(step(ctx, l.chain, c, handler))
}

// step calls the first of the chain with the rest as its next.
func step(ctx context.Context, chain []rpc.Middleware, c *rpc.Call, handler func(context.Context) error) error {
	if len(chain) == 0 {
		return fromStatus(handler(ctx))
	}
	return chain[0].ServeRPC(ctx, c, func(ctx context.Context) error { return step(ctx, chain[1:], c, handler) })
}

// fromStatus gives the chain a handler's error with its code.
func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	if _, ok := status.FromError(err); !ok {
		s = status.FromContextError(err)
	}
	return &rpc.Error{Code: rpc.Code(s.Code()), Message: s.Message(), Cause: err}
}

// toStatus makes of the chain's error what the client gets.
func toStatus(err error) error {
	e, ok := errors.AsType[*rpc.Error](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return status.Error(codes.Unknown, err.Error())
	case e.Cause != nil:
		return e.Cause
	}
	return status.Error(codes.Code(e.Code), e.Message)
}
