package echo_test

import (
	"context"
	"io"
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
	for _, name := range []protoreflect.FullName{"echo.EchoService.Echo", "echo.Message.body", "echo.EchoService.Stream", "echo.EchoService.Repeat"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}

func TestStreams(t *testing.T) {
	s := grpctest.Serve(t, nil, new(echo.Module))
	client := echopb.NewEchoServiceClient(s.Conn)
	both, err := client.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"a", "b"} {
		if err := both.Send(&echopb.Message{Body: body}); err != nil {
			t.Fatal(err)
		}
		if got, err := both.Recv(); err != nil || got.GetBody() != body {
			t.Errorf("%v, want %s: %v", got, body, err)
		}
	}
	both.CloseSend()
	if _, err := both.Recv(); err != io.EOF {
		t.Error(err)
	}
	for count, want := range map[uint32]int{3: 3, 0: 50} {
		ctx, cancel := context.WithCancel(t.Context())
		many, err := client.Repeat(ctx, &echopb.RepeatRequest{Body: "a", Count: count, IntervalMs: 1})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; n < 50; n++ { // without a count the client ends the stream
			if got, err := many.Recv(); err == io.EOF {
				break
			} else if err != nil || got.GetBody() != "a" {
				t.Fatalf("%v %v", got, err)
			}
		}
		if cancel(); n != want {
			t.Errorf("count %d: %d messages, want %d", count, n, want)
		}
	}
}
