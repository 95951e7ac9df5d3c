package version_test

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
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/version"
	"github.com/seed-4591fe7d/podinfo/endpoints/version/versionpb"
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

func TestVersion(t *testing.T) {
	s := registrytest.Serve(t, nil, new(version.Module))
	if res, body := s.Call(t, "GET", "/version", ""); res.StatusCode != 200 || body != "{\n  \"commit\": \"abc\",\n  \"version\": \"1.2.3\"\n}" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestVersionRPC(t *testing.T) {
	conn, _ := dial(t, nil, new(version.Module))
	got, err := versionpb.NewVersionServiceClient(conn).Version(t.Context(), new(versionpb.VersionRequest))
	if diff := cmp.Diff(&versionpb.VersionResponse{Version: "1.2.3", Commit: "abc"}, got, protocmp.Transform()); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got := raw(t, conn, "/version.VersionService/Version", ""); got != "\n\x051.2.3\x12\x03abc" {
		t.Errorf("%q", got)
	}
}

// Reflection shows these names to clients.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"version.VersionService.Version", "version.VersionRequest", "version.VersionResponse.version", "version.VersionResponse.commit"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}
