package status_test

import (
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/status"
	"github.com/seed-4591fe7d/podinfo/endpoints/status/statuspb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStatusRPC(t *testing.T) {
	conn := grpctest.Serve(t, nil, new(status.Module)).Conn
	unknown := "unknown status: want one of Ok, Canceled, Unknown, InvalidArgument, DeadlineExceeded, NotFound, AlreadyExists, PermissionDenied, " +
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
			t.Errorf("%q: response %q", c.name, got.GetStatus())
		}
	}
	if got := grpctest.Raw(t, conn, "/status.StatusService/Status", "\n\x02Ok"); got != "\n\x02Ok" {
		t.Errorf("%q", got)
	}
}

// TestNames checks the names that clients use and that reflection lists.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"status.StatusService.Status", "status.StatusRequest.code", "status.StatusResponse.status"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}
