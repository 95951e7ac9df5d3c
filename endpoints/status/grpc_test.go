package status_test

import (
	"maps"
	"net"
	"strconv"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/status"
	"github.com/seed-4591fe7d/podinfo/endpoints/status/statuspb"
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

func TestStatusRPC(t *testing.T) {
	conn, _ := dial(t, nil, new(status.Module))
	unknown := "no such status: want Ok, Canceled, Unknown, InvalidArgument, DeadlineExceeded, NotFound, AlreadyExists, PermissionDenied, " +
		"ResourceExhausted, FailedPrecondition, Aborted, OutOfRange, Unimplemented, Internal, Unavailable, DataLoss, Unauthenticated"
	for _, c := range []struct {
		name    string
		code    codes.Code
		message string
	}{
		{"Ok", codes.OK, ""},
		{"Canceled", codes.Canceled, ""},
		{"Unknown", codes.Unknown, ""},
		{"InvalidArgument", codes.InvalidArgument, ""},
		{"DeadlineExceeded", codes.DeadlineExceeded, ""},
		{"NotFound", codes.NotFound, ""},
		{"AlreadyExists", codes.AlreadyExists, ""},
		{"PermissionDenied", codes.PermissionDenied, ""},
		{"ResourceExhausted", codes.ResourceExhausted, ""},
		{"FailedPrecondition", codes.FailedPrecondition, ""},
		{"Aborted", codes.Aborted, ""},
		{"OutOfRange", codes.OutOfRange, ""},
		{"Unimplemented", codes.Unimplemented, ""},
		{"Internal", codes.Internal, ""},
		{"Unavailable", codes.Unavailable, ""},
		{"DataLoss", codes.DataLoss, ""},
		{"Unauthenticated", codes.Unauthenticated, ""},
		{"", codes.Unknown, unknown},
		{"OK", codes.Unknown, unknown},
		{"ok", codes.Unknown, unknown},
		{"5", codes.Unknown, unknown},
		{"notfound", codes.Unknown, unknown},
		{"NOT_FOUND", codes.Unknown, unknown},
		{"NotFound ", codes.Unknown, unknown},
	} {
		got, err := statuspb.NewStatusServiceClient(conn).Status(t.Context(), &statuspb.StatusRequest{Code: c.name})
		if s := grpcstatus.Convert(err); s.Code() != c.code || s.Message() != c.message {
			t.Errorf("%q: %v %q", c.name, s.Code(), s.Message())
		}
		if err == nil && got.GetStatus() != c.name {
			t.Errorf("%q says %q", c.name, got.GetStatus())
		}
	}
	if got := raw(t, conn, "/status.StatusService/Status", "\n\x02Ok"); got != "\n\x02Ok" {
		t.Errorf("%q", got)
	}
}

// Reflection shows these names to clients.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"status.StatusService.Status", "status.StatusRequest.code", "status.StatusResponse.status"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}
