// Package grpctest runs modules behind a real gRPC connection, for their own
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

// Server is an App whose gRPC port is open on loopback, and a connection to
// it.
type Server struct {
	App  *registry.App
	Log  *registrytest.Log
	Addr string
	Conn *grpc.ClientConn
}

// Serve starts mods and a grpc-server. The end of the test stops them. env are
// the variables, with their prefix.
func Serve(t testing.TB, env map[string]string, mods ...registry.Module) *Server {
	t.Helper()
	vars := map[string]string{"PODINFO_HOST": "127.0.0.1", "PODINFO_GRPC_PORT": fmt.Sprint(registrytest.FreePort(t))}
	maps.Copy(vars, env)
	app, log := registrytest.New(t, vars, append(mods, new(grpcserver.Module))...)
	addr := "127.0.0.1:" + vars["PODINFO_GRPC_PORT"]
	return &Server{app, log, addr, Dial(t, addr, grpc.WithTransportCredentials(insecure.NewCredentials()))}
}

// Dial returns a client that the end of the test closes.
func Dial(t testing.TB, addr string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Raw calls a method with a request in bytes and returns the reply's: what goes
// over the wire, whatever generated code makes of it.
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
	Do func(ctx context.Context) error // in every call, before it answers
}

// Info describes the module.
func (*Service) Info() registry.Info { return registry.Info{Name: "test-service"} }

// RegisterGRPC mounts the service.
func (s *Service) RegisterGRPC(r grpc.ServiceRegistrar) { pb.RegisterTestServiceServer(r, s) }

func (s *Service) do(ctx context.Context) error {
	if s.Do == nil {
		return nil
	}
	return s.Do(ctx)
}

// UnaryCall answers with the payload it gets.
func (s *Service) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Payload: in.GetPayload()}, s.do(ctx)
}

// StreamingOutputCall answers with the payload it gets.
func (s *Service) StreamingOutputCall(in *pb.StreamingOutputCallRequest, out grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	if err := s.do(out.Context()); err != nil {
		return err
	}
	return out.Send(&pb.StreamingOutputCallResponse{Payload: in.GetPayload()})
}

// StreamingInputCall answers with the size of the payloads.
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

// FullDuplexCall answers each payload with the same.
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

// Methods are the short names of the Service's methods, one of each kind.
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

// Codes are the names of the status of one call of each of the Methods.
func (s *Server) Codes(ctx context.Context) map[string]string {
	out := map[string]string{}
	for _, m := range Methods {
		out[m] = status.Code(s.Call(ctx, m)).String()
	}
	return out
}
