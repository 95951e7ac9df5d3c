package grpcserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// maxResponses is how many responses of a stream an own call receives.
const maxResponses = 100

// ownConn is the server's half of a connection in memory, for the server's own
// calls. It needs no TLS.
type ownConn struct {
	net.Conn
	addr net.Addr // differs for each connection
}

// RemoteAddr implements net.Conn.
func (c *ownConn) RemoteAddr() net.Addr { return c.addr }

// ownListener accepts the server's own connections.
type ownListener struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newOwnListener() *ownListener {
	l := &ownListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

// Accept implements net.Listener.
func (l *ownListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *ownListener) Close() error { l.close(); return nil }

// Addr implements net.Listener.
func (*ownListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (l *ownListener) dial(ctx context.Context, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- &ownConn{server, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// OwnRPCs implements [capability.RPCCaller].
func (m *Module) OwnRPCs() capability.OwnRPCs { return ownRPCs{m} }

// ownRPCs calls the server's RPCs.
type ownRPCs struct{ m *Module }

// List lists the methods of the modules that are linked.
func (o ownRPCs) List() (out []capability.RPCMethod) {
	now := o.m.host.Assembly()
	for _, s := range o.m.services {
		if !now.Linked(s.module) {
			continue
		}
		for _, name := range s.methods() {
			if d, err := describe(name); err == nil {
				out = append(out, capability.RPCMethod{Method: name, Module: s.module, Kind: kindOf(d), Request: exampleOf(d)})
			}
		}
	}
	return out
}

// describe returns the descriptor of a method.
func describe(full string) (protoreflect.MethodDescriptor, error) {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(full, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if method, ok := d.(protoreflect.MethodDescriptor); ok && err == nil && strings.HasPrefix(full, "/") {
		return method, nil
	}
	return nil, fmt.Errorf("no method %q", full)
}

func kindOf(d protoreflect.MethodDescriptor) rpc.Kind {
	switch {
	case d.IsStreamingClient() && d.IsStreamingServer():
		return rpc.BidiStream
	case d.IsStreamingClient():
		return rpc.ClientStream
	case d.IsStreamingServer():
		return rpc.ServerStream
	}
	return rpc.Unary
}

// exampleCount is a count in an example of a request. Where a method counts, none
// often means without end.
const exampleCount = 3

// exampleOf returns a request with every field at its default, except counts.
func exampleOf(d protoreflect.MethodDescriptor) json.RawMessage {
	in := dynamicpb.NewMessage(d.Input())
	if f := d.Input().Fields().ByName("count"); f != nil && f.Kind() == protoreflect.Uint32Kind && !f.IsList() {
		in.Set(f, protoreflect.ValueOfUint32(exampleCount))
	}
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(in)
	if err != nil {
		return json.RawMessage("{}")
	}
	return text
}

// Call calls a method over a connection in memory, so that the call passes the
// whole chain. It returns an error when the call could not be made.
func (o ownRPCs) Call(ctx context.Context, method string, header map[string]string, request []byte) (capability.RPCReply, error) {
	d, err := describe(method)
	if err != nil {
		return capability.RPCReply{}, err
	}
	in := dynamicpb.NewMessage(d.Input())
	if err := protojson.Unmarshal(request, in); err != nil {
		return capability.RPCReply{}, fmt.Errorf("the request is no %s: %w", d.Input().FullName(), err)
	}
	conn, err := grpc.NewClient("passthrough:///podinfo", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(o.m.own.dial), grpc.WithDisableRetry())
	if err != nil {
		return capability.RPCReply{}, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(ctx, metadata.New(header)))
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err == nil {
		err = errors.Join(ignoreEOF(stream.SendMsg(in)), stream.CloseSend())
	}
	if err != nil {
		return replyOf(err), nil
	}
	return receiveAll(stream, d.Output()), nil
}

// ignoreEOF drops io.EOF, after which RecvMsg returns the status.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func receiveAll(stream grpc.ClientStream, output protoreflect.MessageDescriptor) capability.RPCReply {
	var responses []json.RawMessage
	var err error
	for len(responses) < maxResponses {
		out := dynamicpb.NewMessage(output)
		if err = stream.RecvMsg(out); err != nil {
			break
		}
		text, fail := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(out)
		if fail != nil {
			err = fail
			break
		}
		responses = append(responses, text)
	}
	truncated := err == nil
	reply := replyOf(ignoreEOF(err))
	reply.Responses, reply.Truncated = append([]json.RawMessage{}, responses...), truncated
	header, _ := stream.Header()
	reply.Header = lines(header)
	if !truncated {
		reply.Trailer = lines(stream.Trailer())
	}
	return reply
}

func replyOf(err error) capability.RPCReply {
	s := status.Convert(err)
	return capability.RPCReply{Code: rpc.Code(s.Code()).String(), Message: s.Message(), Responses: []json.RawMessage{}}
}

// lines returns metadata as "name: value", sorted.
func lines(md metadata.MD) (out []string) {
	for name, values := range md {
		for _, v := range values {
			out = append(out, name+": "+v)
		}
	}
	slices.Sort(out)
	return out
}
