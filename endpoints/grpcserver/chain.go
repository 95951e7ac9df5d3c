package grpcserver

import (
	"context"
	"errors"
	"path"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

func (m *Module) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
	err = m.call(ctx, info.FullMethod, rpc.Unary, true, req, func(ctx context.Context, _ *rpc.Call) (err error) {
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
	known := srv != nil // grpc-go has no server for the methods that unknown handles
	return m.call(stream.Context(), info.FullMethod, kind, known, nil, func(ctx context.Context, call *rpc.Call) error {
		return handler(srv, &streamWith{stream, ctx, call})
	})
}

// streamWith is a stream with the context that the chain passed on.
type streamWith struct {
	grpc.ServerStream
	ctx  context.Context
	call *rpc.Call
}

func (s *streamWith) Context() context.Context { return s.ctx }

// SendMsg first calls the hook for messages in the context, if there is one.
func (s *streamWith) SendMsg(msg any) error {
	if m := fault.MessagesOf(s.ctx); m != nil {
		if err := m.Send(s.ctx); errors.Is(err, fault.ErrLost) {
			return nil
		} else if err != nil {
			return toStatus(err)
		}
	}
	return s.observed(s.ServerStream.SendMsg(msg), true)
}

func (s *streamWith) RecvMsg(msg any) error { return s.observed(s.ServerStream.RecvMsg(msg), false) }

// observed tells the middleware about a message, unless it failed.
func (s *streamWith) observed(err error, sent bool) error {
	if err == nil {
		for _, f := range s.call.OnMessage {
			f(sent)
		}
	}
	return err
}

// call is a call on its way through the chain, in one allocation. It implements
// its own rpc.Client.
type call struct {
	rpc.Call
	ctx     context.Context // of the call before the chain
	chain   []rpc.Middleware
	handler func(context.Context, *rpc.Call) error

	breakable *breakable // nil unless a module breaks connections
}

// call runs the chain around a handler. known is false for a method that is not
// registered.
func (m *Module) call(ctx context.Context, method string, kind rpc.Kind, known bool, req any, handler func(context.Context, *rpc.Call) error) error {
	now := m.host.Assembly()
	c := &call{Call: rpc.Call{FullMethod: method, Kind: kind, Internal: known && internal(method), Request: req}, ctx: ctx, chain: now.Calls(), handler: handler, breakable: m.conns}
	c.Client = c
	if module, ok := m.owners[method]; !known || ok && !now.Linked(module) {
		c.FullMethod, c.Original, c.chain = rpc.OtherMethod, method, now.UnmatchedCalls()
		c.handler = func(context.Context, *rpc.Call) error { return m.unimplemented(now, method) }
	}
	if !c.Internal {
		m.calls.Add(1)
		defer m.calls.Add(-1)
	}
	return toStatus(c.from(0)(ctx))
}

func internal(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.") || strings.HasPrefix(method, "/grpc.reflection.")
}

// unknown handles the calls of methods that are not registered. It makes grpc-go
// call the interceptor for them too, which responds.
func (m *Module) unknown(any, grpc.ServerStream) error {
	return status.Error(codes.Unimplemented, "unknown method")
}

// unimplemented returns the error of grpc-go for a method that no module serves.
func (m *Module) unimplemented(now *registry.Assembly, method string) error {
	service, name := path.Split(method[1:])
	service = strings.TrimSuffix(service, "/")
	if module, ok := m.registered[service]; ok && (module == "" || now.Linked(module)) {
		return status.Errorf(codes.Unimplemented, "unknown method %v for service %v", name, service)
	}
	return status.Error(codes.Unimplemented, "unknown service "+service)
}

// from returns the chain from index at on.
func (c *call) from(at int) func(context.Context) error {
	if at == len(c.chain) {
		return c.handle
	}
	return func(ctx context.Context) error { return c.chain[at].ServeRPC(ctx, &c.Call, c.from(at+1)) }
}

func (c *call) handle(ctx context.Context) error { return fromStatus(c.handler(ctx, &c.Call)) }

// Peer implements rpc.Client.
func (c *call) Peer() string {
	if p, ok := peer.FromContext(c.ctx); ok {
		return p.Addr.String()
	}
	return ""
}

// Metadata implements rpc.Client.
func (c *call) Metadata(key string) []string { return metadata.ValueFromIncomingContext(c.ctx, key) }

// fromStatus converts a handler's error into an rpc.Error for the chain.
func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		s = status.FromContextError(err)
	}
	return &rpc.Error{Code: rpc.Code(s.Code()), Message: s.Message(), Cause: err}
}

// toStatus converts the chain's error into the status that the client gets.
func toStatus(err error) error {
	e, ok := errors.AsType[*rpc.Error](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return status.Error(codes.Code(rpc.CodeOf(err)), err.Error())
	case e.Cause != nil:
		return e.Cause
	}
	return withDetails(status.New(codes.Code(e.Code), e.Message), e.Details).Err()
}
