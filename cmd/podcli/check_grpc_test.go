package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echoDesc describes echo.EchoService, whose message is encoded like a StringValue:
// one string, field 1. It fails for the message "fail".
var echoDesc = grpc.ServiceDesc{
	ServiceName: "echo.EchoService",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(wrapperspb.StringValue)
		if err := decode(in); err != nil {
			return nil, err
		}
		if in.Value == "fail" {
			return nil, status.Error(codes.Unavailable, "100% broken")
		}
		if md, _ := metadata.FromIncomingContext(ctx); in.Value == "headers" {
			return wrapperspb.String(strings.Join(md.Get("authorization"), ",")), nil
		}
		return in, nil
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
		for {
			m := new(wrapperspb.StringValue)
			if err := stream.RecvMsg(m); err != nil {
				return nil // the client has ended the stream
			}
			if m.Value == "fail" {
				return status.Error(codes.Unavailable, "100% broken")
			}
			if err := stream.SendMsg(m); err != nil {
				return err
			}
		}
	}}},
}

// serveGRPC runs a gRPC server. Its health service reports SERVING for "" and "up",
// NOT_SERVING for "down" and UNKNOWN for "unsure".
func serveGRPC(t *testing.T, conf *tls.Config) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var opts []grpc.ServerOption
	if conf != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(conf)))
	}
	s := grpc.NewServer(opts...)
	h := health.NewServer()
	h.SetServingStatus("up", healthpb.HealthCheckResponse_SERVING)
	h.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
	h.SetServingStatus("unsure", healthpb.HealthCheckResponse_UNKNOWN)
	healthpb.RegisterHealthServer(s, h)
	s.RegisterService(&echoDesc, nil)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

func TestCheckGRPC(t *testing.T) {
	plain := serveGRPC(t, nil)
	ca, conf, pool := localhost(t)
	secure := serveGRPC(t, conf)
	mutual := conf.Clone()
	mutual.ClientCAs, mutual.ClientAuth = pool, tls.RequireAndVerifyClientCert
	closed := serveGRPC(t, mutual)
	cert, key := files(t, ca.issue(t, "client", ca.cert.NotBefore, distant))
	web := httptest.NewServer(site())
	defer web.Close()
	bare := grpc.NewServer() // has no health service
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go bare.Serve(l)
	defer bare.Stop()
	for _, c := range []struct {
		addr string
		args []string
		code int
		want string
	}{
		{plain, nil, 0, "status=SERVING"},
		{plain, []string{"--service=up"}, 0, "status=SERVING"},
		{plain, []string{"--service=down"}, 1, `status=NOT_SERVING attempts=1`},
		{plain, []string{"--service=down", "--retry=2", "--delay=1ms"}, 1, `the server reports NOT_SERVING`},
		{plain, []string{"--service=unsure"}, 1, "the server reports UNKNOWN"},
		{plain, []string{"--service=nobody"}, 1, `error="NotFound: unknown service"`},
		{plain, []string{"--tls"}, 1, "check failed"},
		{l.Addr().String(), nil, 1, "Unimplemented: unknown service grpc.health.v1.Health"},
		{secure, []string{"--tls", "--cacert", ca.file}, 0, "status=SERVING"},
		{secure, []string{"--tls", "--insecure"}, 0, "status=SERVING"},
		{secure, []string{"--tls"}, 1, "unknown authority"},
		{secure, []string{"--tls", "--cacert", ca.file, "--server-name=example.org"}, 1, "not example.org"},
		{secure, nil, 1, "check failed"},
		{closed, []string{"--tls", "--cacert", ca.file, "--cert", cert, "--key", key}, 0, "status=SERVING"},
		{closed, []string{"--tls", "--cacert", ca.file}, 1, "check failed"},
		{strings.TrimPrefix(web.URL, "http://"), nil, 1, "check failed"},
		{refused(t), []string{"--retry=1", "--delay=1ms"}, 1, "attempts=2"},
		{silent(t), []string{"--timeout=50ms"}, 1, "no response within 50ms"},
	} {
		r := run(t, slices.Concat([]string{"check", "grpc", c.addr}, c.args)...)
		r.expect(t, c.code, c.want)
	}
	o := run(t, "check", "grpc", plain, "--service=down", "-o", "json").object(t)
	if o["status"] != "NOT_SERVING" || o["ok"] != false {
		t.Errorf("%v", o)
	}
}
