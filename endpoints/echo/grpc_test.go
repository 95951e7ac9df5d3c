package echo_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo"
	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
)

func TestEchoRPC(t *testing.T) {
	for _, backends := range []string{"", "http://127.0.0.1:1"} {
		s := grpctest.Serve(t, map[string]string{"PODINFO_BACKEND_URL": backends}, new(echo.Module))
		for _, body := range []string{"", "hush <&> ü", strings.Repeat("hush", 100<<10)} {
			got, err := echopb.NewEchoServiceClient(s.Conn).Echo(t.Context(), &echopb.Message{Body: body})
			if err != nil || got.GetBody() != body {
				t.Errorf("%d bytes, want %d: %v", len(got.GetBody()), len(body), err)
			}
		}
		if got := grpctest.Raw(t, s.Conn, "/echo.EchoService/Echo", "\n\x05hello"); got != "\n\x05hello" {
			t.Errorf("%q", got)
		}
		if strings.Contains(s.Log.String(), "hush") {
			t.Error("the message is in the log")
		}
	}
}

// TestNames checks the names that clients use and that reflection lists.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"echo.EchoService.Echo", "echo.Message.body"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}
