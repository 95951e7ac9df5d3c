package version_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/version"
	"github.com/seed-4591fe7d/podinfo/endpoints/version/versionpb"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVersion(t *testing.T) {
	s := registrytest.Serve(t, nil, new(version.Module))
	if res, body := s.Call(t, "GET", "/version", ""); res.StatusCode != 200 || body != "{\n  \"commit\": \"abc\",\n  \"version\": \"1.2.3\"\n}" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestVersionRPC(t *testing.T) {
	conn := grpctest.Serve(t, nil, new(version.Module)).Conn
	got, err := versionpb.NewVersionServiceClient(conn).Version(t.Context(), new(versionpb.VersionRequest))
	if diff := cmp.Diff(&versionpb.VersionResponse{Version: "1.2.3", Commit: "abc"}, got, protocmp.Transform()); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got := grpctest.Raw(t, conn, "/version.VersionService/Version", ""); got != "\n\x051.2.3\x12\x03abc" {
		t.Errorf("%q", got)
	}
}

// TestNames checks the names that clients use and that reflection lists.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"version.VersionService.Version", "version.VersionRequest", "version.VersionResponse.version", "version.VersionResponse.commit"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}
