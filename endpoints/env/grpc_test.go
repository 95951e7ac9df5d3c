package env_test

import (
	"maps"
	"net"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/seed-4591fe7d/podinfo/endpoints/env"
	"github.com/seed-4591fe7d/podinfo/endpoints/env/envpb"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial serves modules over gRPC on a port of its own and connects to it.
func dial(t *testing.T, vars map[string]string, mods ...registry.Module) (*grpc.ClientConn, *registrytest.Log) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	all := map[string]string{"PODINFO_HOST": "127.0.0.1", "PODINFO_GRPC_PORT": strconv.Itoa(l.Addr().(*net.TCPAddr).Port)}
	maps.Copy(all, vars)
	_, log := registrytest.New(t, all, append(mods, new(grpcserver.Module))...)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, log
}

// raw calls a method with a request in bytes and returns the reply's: what
// goes over the wire, whatever the generated code makes of it.
func raw(t *testing.T, conn *grpc.ClientConn, method, request string) string {
	t.Helper()
	var in, out emptypb.Empty
	in.ProtoReflect().SetUnknown([]byte(request))
	if err := conn.Invoke(t.Context(), method, &in, &out); err != nil {
		t.Fatal(err)
	}
	return string(out.ProtoReflect().GetUnknown())
}

func TestEnvRPC(t *testing.T) {
	process := []string{"PATH=/bin", "A_TOKEN=t", "URL=tcp://user:pw@host:1/x", "BYTES=\xff", "ODD"}
	conn, _ := dial(t, nil, &env.Module{Environ: process})
	got, err := envpb.NewEnvServiceClient(conn).Env(t.Context(), new(envpb.EnvRequest))
	want := []string{"PATH=/bin", "A_TOKEN=REDACTED", "URL=tcp://user:REDACTED@host:1/x", "BYTES=\uFFFD", "ODD"}
	if diff := cmp.Diff(want, got.GetEnvVars()); diff != "" || err != nil {
		t.Error(diff, err)
	}
	conn, _ = dial(t, map[string]string{"PODINFO_ENV_REVEAL": "true"}, &env.Module{Environ: process[1:2]})
	if got := raw(t, conn, "/env.EnvService/Env", ""); got != "\n\x09A_TOKEN=t" {
		t.Errorf("%q", got)
	}
}

// Reflection shows these names to clients.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"env.EnvService.Env", "env.EnvRequest", "env.EnvResponse.envVars"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}
