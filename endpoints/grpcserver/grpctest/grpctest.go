// Package grpctest runs modules behind a real gRPC connection, for the modules'
// tests.
package grpctest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// Server is an App with an open gRPC port on loopback, and a connection to it.
type Server struct {
	App  *registry.App
	Log  *registrytest.Log
	Addr string
	Conn *grpc.ClientConn
}

// Serve starts mods and a grpc-server and stops them when the test ends. env holds
// variables with their full names.
func Serve(t testing.TB, env map[string]string, mods ...registry.Module) *Server {
	t.Helper()
	vars := map[string]string{"PODINFO_HOST": "127.0.0.1", "PODINFO_GRPC_PORT": fmt.Sprint(registrytest.FreePort(t))}
	maps.Copy(vars, env)
	app, log := registrytest.New(t, vars, append(mods, new(grpcserver.Module))...)
	addr := "127.0.0.1:" + vars["PODINFO_GRPC_PORT"]
	return &Server{app, log, addr, Dial(t, addr, grpc.WithTransportCredentials(insecure.NewCredentials()))}
}

// Dial returns a connection that is closed when the test ends.
func Dial(t testing.TB, addr string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Raw calls a method with an encoded request and returns the encoded response,
// without generated code.
func Raw(t testing.TB, conn *grpc.ClientConn, method, request string) string {
	t.Helper()
	var in, out emptypb.Empty
	in.ProtoReflect().SetUnknown([]byte(request))
	if err := conn.Invoke(t.Context(), method, &in, &out); err != nil {
		t.Fatal(err)
	}
	return string(out.ProtoReflect().GetUnknown())
}

// Service is a module with an RPC of each kind, grpc.testing.TestService.
// Each answers what it is sent with the same.
type Service struct {
	pb.UnimplementedTestServiceServer
	Do func(ctx context.Context) error // called in every call before it responds
}

// Info describes the module.
func (*Service) Info() registry.Info { return registry.Info{Name: "test-service"} }

// RegisterGRPC registers the service.
func (s *Service) RegisterGRPC(r grpc.ServiceRegistrar) { pb.RegisterTestServiceServer(r, s) }

func (s *Service) do(ctx context.Context) error {
	if s.Do == nil {
		return nil
	}
	return s.Do(ctx)
}

// UnaryCall responds with the payload of the request.
func (s *Service) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Payload: in.GetPayload()}, s.do(ctx)
}

// StreamingOutputCall responds with the payload of the request.
func (s *Service) StreamingOutputCall(in *pb.StreamingOutputCallRequest, out grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	if err := s.do(out.Context()); err != nil {
		return err
	}
	return out.Send(&pb.StreamingOutputCallResponse{Payload: in.GetPayload()})
}

// StreamingInputCall responds with the total size of the payloads.
func (s *Service) StreamingInputCall(in grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	if err := s.do(in.Context()); err != nil {
		return err
	}
	size := 0
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return in.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(size)})
		}
		if err != nil {
			return err
		}
		size += len(m.GetPayload().GetBody())
	}
}

// FullDuplexCall responds to each message with its payload.
func (s *Service) FullDuplexCall(both grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	if err := s.do(both.Context()); err != nil {
		return err
	}
	for {
		m, err := both.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := both.Send(&pb.StreamingOutputCallResponse{Payload: m.GetPayload()}); err != nil {
			return err
		}
	}
}

// Methods are the names of the Service's methods, one for each kind of streaming.
var Methods = []string{"UnaryCall", "StreamingOutputCall", "StreamingInputCall", "FullDuplexCall"}

// Call calls a method of the Service with one message and returns its error.
func (s *Server) Call(ctx context.Context, method string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c := pb.NewTestServiceClient(s.Conn)
	if method == "UnaryCall" {
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
		return err
	}
	desc := &grpc.StreamDesc{ClientStreams: method != "StreamingOutputCall", ServerStreams: method != "StreamingInputCall"}
	stream, err := s.Conn.NewStream(ctx, desc, "/grpc.testing.TestService/"+method)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&pb.StreamingOutputCallRequest{}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for err == nil {
		err = stream.RecvMsg(new(pb.StreamingOutputCallResponse))
		if err == nil && !desc.ServerStreams {
			return nil
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Codes calls each of the Methods once and returns the names of their status codes.
func (s *Server) Codes(ctx context.Context) map[string]string {
	out := map[string]string{}
	for _, m := range Methods {
		out[m] = status.Code(s.Call(ctx, m)).String()
	}
	return out
}
