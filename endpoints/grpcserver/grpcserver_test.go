package grpcserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/version"
	"github.com/seed-4591fe7d/podinfo/endpoints/version/versionpb"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask calls a server's version service and returns the name in its certificate.
func ask(t *testing.T, addr string, creds credentials.TransportCredentials) (cert string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn := grpctest.Dial(t, addr, grpc.WithTransportCredentials(creds))
	var p peer.Peer
	reply, err := versionpb.NewVersionServiceClient(conn).Version(ctx, &versionpb.VersionRequest{}, grpc.Peer(&p))
	if err == nil && (reply.GetVersion() != "1.2.3" || reply.GetCommit() != "abc") {
		t.Errorf("%v", reply)
	}
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		cert = info.State.PeerCertificates[0].Subject.CommonName
	}
	return cert, err
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	registrytest.WriteCert(t, dir, "one")
	s := grpctest.Serve(t, map[string]string{"PODINFO_GRPC_TLS": "true", "PODINFO_CERT_PATH": dir}, new(version.Module))
	pool := registrytest.WriteCert(t, dir, "two") // while the server runs, before the first handshake
	cert, err := ask(t, s.Addr, credentials.NewTLS(&tls.Config{RootCAs: pool}))
	if err != nil || cert != "two" {
		t.Errorf("%q, %v", cert, err)
	}
	for what, creds := range map[string]credentials.TransportCredentials{
		"no TLS":           insecure.NewCredentials(),
		"unknown issuer":   credentials.NewTLS(&tls.Config{}),
		"TLS 1.1 at most":  credentials.NewTLS(&tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}),
		"a different name": credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "example.com"}),
	} {
		if _, err := ask(t, s.Addr, creds); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	dir, clients, others := t.TempDir(), t.TempDir(), t.TempDir()
	pool := registrytest.WriteCert(t, dir, "server")
	registrytest.WriteCert(t, clients, "client")
	registrytest.WriteCert(t, others, "other")
	s := grpctest.Serve(t, map[string]string{
		"PODINFO_GRPC_TLS": "true", "PODINFO_CERT_PATH": dir, "PODINFO_GRPC_CLIENT_CA": filepath.Join(clients, "tls.crt"),
	}, new(version.Module))
	with := func(dir string) credentials.TransportCredentials {
		cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
		if err != nil {
			t.Fatal(err)
		}
		// Send this certificate whatever the server asks for.
		return credentials.NewTLS(&tls.Config{RootCAs: pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }})
	}
	if _, err := ask(t, s.Addr, with(clients)); err != nil {
		t.Error(err)
	}
	for what, creds := range map[string]credentials.TransportCredentials{
		"no certificate": credentials.NewTLS(&tls.Config{RootCAs: pool}), "another authority": with(others),
	} {
		if _, err := ask(t, s.Addr, creds); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// start returns the error of New, or else of Start.
func start(t *testing.T, env map[string]string, mods ...registry.Module) error {
	t.Helper()
	vars := map[string]string{"PODINFO_HOST": "127.0.0.1", "PODINFO_GRPC_PORT": fmt.Sprint(registrytest.FreePort(t))}
	maps.Copy(vars, env)
	app, err := registry.New(append(mods, new(grpcserver.Module)), registry.Env(vars))
	if err != nil {
		return err
	}
	defer func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	return app.Start(t.Context())
}

func TestRefusesToStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	registrytest.WriteCert(t, dir, "server")
	key := filepath.Join(dir, "tls.key")
	for _, c := range []struct{ env, want string }{
		{"PODINFO_GRPC_PORT=65536", `PODINFO_GRPC_PORT="65536": want a port number`},
		{"PODINFO_GRPC_PORT=-1", `PODINFO_GRPC_PORT="-1": want a port number`},
		{"PODINFO_GRPC_PORT=0 PODINFO_GRPC_SERVER_ENABLED=true", `PODINFO_GRPC_PORT="0": want a port number, 1 to 65535`},
		{"PODINFO_GRPC_MAX_MESSAGE_BYTES=1023", `PODINFO_GRPC_MAX_MESSAGE_BYTES="1023": want a number of bytes, at least 1024`},
		{"PODINFO_GRPC_CLIENT_CA=/x", "want PODINFO_GRPC_TLS=true as well"},
		{"PODINFO_GRPC_PORT=" + strings.TrimPrefix(taken.Addr().String(), "127.0.0.1:"), "address already in use"},
		{"PODINFO_GRPC_TLS=true PODINFO_CERT_PATH=" + t.TempDir(), "tls.crt: no such file"},
		{"PODINFO_GRPC_TLS=true PODINFO_CERT_PATH=" + dir + " PODINFO_GRPC_CLIENT_CA=" + dir + "/absent", "absent: no such file"},
		{"PODINFO_GRPC_TLS=true PODINFO_CERT_PATH=" + dir + " PODINFO_GRPC_CLIENT_CA=" + key, "tls.key contains no PEM certificate"},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		err := start(t, env, new(version.Module))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.env, err, c.want)
		}
		if strings.Contains(c.want, "in use") && !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%v is not EADDRINUSE", err)
		}
	}
	if err := start(t, map[string]string{"PODINFO_GRPC_PORT": "0"}); err != nil { // off
		t.Error(err)
	}
}

// Modules for which grpc-go would end the process, or whose methods would never be
// called.
type (
	twin     struct{ grpctest.Service }
	impostor struct{}
	doctor   struct{}
	typo     struct{}
	typoToo  struct{}
)

func (*twin) Info() registry.Info     { return registry.Info{Name: "twin"} }
func (*impostor) Info() registry.Info { return registry.Info{Name: "impostor"} }
func (*doctor) Info() registry.Info   { return registry.Info{Name: "doctor"} }
func (*typo) Info() registry.Info     { return registry.Info{Name: "typo"} }
func (*typoToo) Info() registry.Info  { return registry.Info{Name: "typo-too"} }

func (*impostor) RegisterGRPC(r grpc.ServiceRegistrar) {
	r.RegisterService(&pb.TestService_ServiceDesc, "no service")
}
func (*doctor) RegisterGRPC(r grpc.ServiceRegistrar) {
	r.RegisterService(&grpc.ServiceDesc{ServiceName: "grpc.health.v1.Health", HandlerType: (*any)(nil)}, 1)
}
func (*typo) RegisterGRPC(*grpc.Server)                            {}
func (*typoToo) ServeRPC(context.Context, string, func(any)) error { return nil }

// handlers registers a service without an implementation, as grpc-go allows.
type handlers struct{}

func (*handlers) Info() registry.Info { return registry.Info{Name: "handlers"} }
func (*handlers) RegisterGRPC(r grpc.ServiceRegistrar) {
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bare.Service",
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(pb.SimpleRequest)
			return &pb.SimpleResponse{Username: "unary"}, decode(in)
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			return s.SendMsg(&pb.SimpleResponse{Username: "stream"})
		}}},
	}, nil)
}

func TestRefusesModules(t *testing.T) {
	for _, c := range []struct {
		mods []registry.Module
		want string
	}{
		{[]registry.Module{new(grpctest.Service), new(twin)}, "modules test-service and twin both serve grpc.testing.TestService"},
		{[]registry.Module{new(impostor)}, "module impostor: string is not a grpc_testing.TestServiceServer"},
		{[]registry.Module{new(doctor)}, "module doctor: service grpc.health.v1.Health is reserved for grpc-server"},
		{[]registry.Module{new(typo)}, "module typo: method RegisterGRPC is func(*grpcserver_test.typo, *grpc.Server), which is not grpcserver.Service: want func(grpc.ServiceRegistrar)"},
		{[]registry.Module{new(typoToo)}, "module typo-too: method ServeRPC is func("},
	} {
		if err := start(t, nil, c.mods...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if err := start(t, map[string]string{"PODINFO_TWIN_ENABLED": "false"}, new(grpctest.Service), new(twin)); err != nil {
		t.Error(err)
	}
}

func TestMessageSize(t *testing.T) {
	s := grpctest.Serve(t, map[string]string{"PODINFO_GRPC_MAX_MESSAGE_BYTES": "2048"}, new(grpctest.Service))
	c := pb.NewTestServiceClient(s.Conn)
	for size, want := range map[int]codes.Code{1000: codes.OK, 3000: codes.ResourceExhausted} {
		payload := &pb.Payload{Body: make([]byte, size)}
		_, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{Payload: payload})
		if status.Code(err) != want {
			t.Errorf("unary, %d bytes: %v, want %v", size, err, want)
		}
		stream, err := c.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&pb.StreamingOutputCallRequest{Payload: payload}); err != nil {
			t.Fatal(err)
		}
		stream.CloseSend()
		if _, err = stream.Recv(); status.Code(err) != want {
			t.Errorf("stream, %d bytes: %v, want %v", size, err, want)
		}
		if err == nil {
			stream.Recv() // the end
		}
	}
}

// TestTooManyPings checks that a client that pings too often gets GOAWAY.
func TestTooManyPings(t *testing.T) {
	s := grpctest.Serve(t, nil)
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(c, c)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		framer.WritePing(false, [8]byte{}) // fails once the server has closed the connection
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("no GOAWAY: %v", err)
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if n, ok := f.Value(http2.SettingMaxConcurrentStreams); !f.IsAck() && (!ok || n == 0 || n > 10000) {
				t.Errorf("limit of concurrent calls: %d", n)
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeEnhanceYourCalm || string(f.DebugData()) != "too_many_pings" {
				t.Errorf("%v %q", f.ErrCode, f.DebugData())
			}
			return
		}
	}
}

func TestSwitch(t *testing.T) {
	s := grpctest.Serve(t, nil, new(version.Module), new(grpctest.Service))
	c := versionpb.NewVersionServiceClient(s.Conn)
	for _, on := range []bool{true, false, true} {
		for _, module := range []string{"version", "test-service"} {
			if err := s.App.Switch(module, on); err != nil {
				t.Fatal(err)
			}
		}
		want, message := "OK", ""
		if !on {
			want, message = "Unimplemented", "unknown service version.VersionService"
		}
		if _, err := c.Version(t.Context(), &versionpb.VersionRequest{}); status.Code(err).String() != want || status.Convert(err).Message() != message {
			t.Errorf("on %v: %v", on, err)
		}
		for method, code := range s.Codes(t.Context()) {
			if code != want {
				t.Errorf("on %v: %s is %s", on, method, code)
			}
		}
	}
	if err := s.App.Switch("version", false); err != nil {
		t.Fatal(err)
	}
	err := s.Conn.Invoke(t.Context(), "/never.Service/Call", &versionpb.VersionRequest{}, new(versionpb.VersionResponse))
	if st := status.Convert(err); st.Code() != codes.Unimplemented || st.Message() != "unknown service never.Service" {
		t.Errorf("a service that does not exist: %v", err)
	}
}

func TestAddr(t *testing.T) {
	m := new(grpcserver.Module)
	if m.Addr() != nil {
		t.Error("an address before the port is open")
	}
	s := grpctest.Serve(t, nil)
	if got := s.App.Get("grpc-server").(*grpcserver.Module).Addr().String(); got != s.Addr {
		t.Errorf("%s, want %s", got, s.Addr)
	}
	if diff := cmp.Diff(1, strings.Count(s.Log.String(), `"msg":"Starting GRPC Server."`)); diff != "" {
		t.Error(diff)
	}
}

// A service may be registered without an implementation. Its methods are known, to
// the modules of the chain too.
func TestServiceWithoutImplementation(t *testing.T) {
	srv := grpctest.Serve(t, nil, new(handlers))
	out := new(pb.SimpleResponse)
	if err := srv.Conn.Invoke(t.Context(), "/bare.Service/Unary", new(pb.SimpleRequest), out); err != nil || out.Username != "unary" {
		t.Error(out, err)
	}
	stream, err := srv.Conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/bare.Service/Stream")
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil {
		err = stream.RecvMsg(out)
	}
	if err != nil || out.Username != "stream" {
		t.Error(out, err)
	}
	if err := srv.Conn.Invoke(t.Context(), "/bare.Service/None", new(pb.SimpleRequest), out); status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
}
