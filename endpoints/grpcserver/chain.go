package grpcserver

import (
	"context"
	"errors"
	"path"
	"slices"
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

// unaryRegistrar registers services whose unary methods receive their message, and
// run, as a call. A grpc.UnaryServerInterceptor would be called too late for the
// message.
type unaryRegistrar struct{ *Module }

// RegisterService implements grpc.ServiceRegistrar.
func (m unaryRegistrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	own := *desc
	own.Methods = slices.Clone(desc.Methods)
	for i, method := range desc.Methods {
		full := "/" + desc.ServiceName + "/" + method.MethodName
		own.Methods[i].Handler = func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			c := m.begin(ctx, full, rpc.Unary, true)
			defer c.end()
			if c.gone != nil {
				return nil, c.gone
			}
			c.decode = decode
			response, err := method.Handler(srv, ctx, c.receiveRequest, c.intercept)
			if c.refused != "" {
				return nil, c.run() // for the access log
			}
			return response, err
		}
	}
	m.server.RegisterService(&own, impl)
}

func (m *Module) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	kind := rpc.ServerStream
	switch {
	case info.IsClientStream && info.IsServerStream:
		kind = rpc.BidiStream
	case info.IsClientStream:
		kind = rpc.ClientStream
	}
	_, known := m.owners[info.FullMethod]
	known = known || rpc.IsInternal(info.FullMethod) && srv != nil // grpc-go has no server for the methods that unknown handles
	c := m.begin(stream.Context(), info.FullMethod, kind, known)
	defer c.end()
	if c.gone != nil {
		return c.gone
	}
	c.srv, c.stream, c.streamHandler = srv, stream, handler
	return c.run()
}

// streamWith is a stream with the context that the chain passed on.
type streamWith struct {
	grpc.ServerStream
	ctx  context.Context
	call *call
}

func (s *streamWith) Context() context.Context { return s.ctx }

// SendHeader sends the header of the middleware too.
func (s *streamWith) SendHeader(md metadata.MD) error {
	s.call.beginResponse()
	return s.ServerStream.SendHeader(md)
}

// SendMsg first calls the hook for messages in the context, if there is one.
func (s *streamWith) SendMsg(msg any) error {
	if m := fault.MessagesOf(s.ctx); m != nil {
		if err := m.Send(s.ctx); errors.Is(err, fault.ErrLost) {
			return nil
		} else if err != nil {
			return toStatus(err)
		}
	}
	msg, err := s.call.respond(s.ctx, msg)
	if err != nil {
		return err
	}
	s.call.beginResponse()
	if err = s.ServerStream.SendMsg(msg); err != nil {
		if reason := s.call.account().refusal(s.call.id); reason != "" {
			return refuse(s.ctx, reason)
		}
		// To grpc-go a connection that the client has closed is unavailable, but a
		// call that the client has left is canceled, however it left.
		if status.Code(err) == codes.Unavailable && !s.call.module.cutting.Load() {
			err = status.FromContextError(context.Canceled).Err()
		}
	}
	return s.observed(err, true)
}

// observed tells the middleware about a message, unless it failed.
func (s *streamWith) observed(err error, sent bool) error {
	if err == nil {
		for _, f := range s.call.OnMessage {
			f(sent)
		}
	}
	return err
}

// RecvMsg also returns when the hook for messages has ended the context of the
// call. The message that it waits for then arrives when the call ends.
func (s *streamWith) RecvMsg(msg any) error {
	if fault.MessagesOf(s.ctx) == nil {
		return s.receive(msg)
	}
	received := make(chan error, 1)
	go func() { received <- s.receive(msg) }()
	select {
	case err := <-received:
		return err
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

func (s *streamWith) receive(msg any) error {
	reason, err := s.call.receive(msg, s.ServerStream.RecvMsg)
	if reason != "" {
		return refuse(s.ctx, reason)
	}
	return s.observed(err, false)
}

// call is a call on its way through the chain, in one allocation. It implements
// its own rpc.Client.
type call struct {
	rpc.Call
	module *Module
	ctx    context.Context // of the call before the chain
	chain  []rpc.Middleware

	conn      *frameConn      // nil if it is not known
	id        uint32          // of the HTTP/2 stream
	transport transportStream // nil if grpc-go has another one
	gone      error           // if the client has ended the call before it began
	known     bool            // the method is registered
	missing   error           // if no module serves the method
	header    []string        // names and values that are not passed on yet

	headerSpace [4]string // of header, which mostly has two names

	// Of a unary call.
	decode   func(any) error
	refused  string // why there is no request, a reason of the record package
	handler  grpc.UnaryHandler
	response any

	// Of another call.
	srv           any
	stream        grpc.ServerStream
	streamHandler grpc.StreamHandler

	// Of the message that is being received.
	message any
	failure error // why it could not be decompressed
}

// begin returns a new call. known is false for a method that is not registered.
// The caller must call end.
func (m *Module) begin(ctx context.Context, method string, kind rpc.Kind, known bool) *call {
	c := &call{Call: rpc.Call{FullMethod: method, Kind: kind, Internal: known && rpc.IsInternal(method)}, module: m, ctx: ctx, known: known}
	c.Client = c
	c.conn, c.id = m.conns.of(ctx), m.conns.ids.of(ctx)
	c.transport, _ = grpc.ServerTransportStreamFromContext(ctx).(transportStream)
	if c.conn != nil && c.id != 0 && !c.account().attach(c.id, c.transport, kind == rpc.Unary) {
		c.gone = status.FromContextError(context.Canceled).Err()
	}
	return c
}

func (c *call) end() { c.account().detach(c.id) }

// run runs the chain around the handler.
func (c *call) run() error {
	m := c.module
	now := m.host.Assembly()
	c.chain = now.Calls()
	if module, ok := m.owners[c.FullMethod]; !c.known || ok && !now.Linked(module) {
		c.FullMethod, c.Original, c.chain = rpc.OtherMethod, c.FullMethod, now.UnmatchedCalls()
		c.missing = m.unimplemented(now, c.Original)
	}
	if !c.Internal {
		m.calls.Add(1)
		defer m.calls.Add(-1)
	}
	err := toStatus(c.from(0)(c.ctx))
	if err != nil {
		c.failBeforeResponse()
	} else {
		c.beginResponse()
	}
	return err
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

func (c *call) handle(ctx context.Context) (err error) {
	switch {
	case c.refused != "":
		err = refuse(ctx, c.refused)
	case c.missing != nil:
		err = c.missing
	case c.stream != nil:
		err = c.streamHandler(c.srv, &streamWith{c.stream, ctx, c})
	default:
		if c.response, err = c.handler(ctx, c.Request); err == nil {
			c.response, err = c.respond(ctx, c.response)
		}
	}
	if c.module.cutting.Load() && c.ctx.Err() != nil {
		return &rpc.Error{Code: rpc.Unavailable, Message: "the server is shutting down; the call may have been processed"}
	}
	return fromStatus(err)
}

// intercept is the grpc.UnaryServerInterceptor of a unary call.
func (c *call) intercept(_ context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	c.Request, c.handler = request, handler
	err := c.run()
	return c.response, err
}

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
