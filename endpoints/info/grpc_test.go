package info_test

import (
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/info"
	"github.com/seed-4591fe7d/podinfo/endpoints/info/infopb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestInfoRPC(t *testing.T) {
	hostname, _ := os.Hostname()
	conn := grpctest.Serve(t, map[string]string{"PODINFO_UI_MESSAGE": "h\xffi", "PODINFO_UI_LOGO": "l\xffo", "PODINFO_UI_COLOR": "teal"}, new(info.Module)).Conn
	got, err := infopb.NewInfoServiceClient(conn).Info(t.Context(), new(infopb.InfoRequest))
	if err != nil {
		t.Fatal(err)
	}
	want := &infopb.InfoResponse{
		Hostname: hostname, Version: "1.2.3", Revision: "abc", Color: "teal", Logo: "l\uFFFDo", Message: "h\uFFFDi",
		Goos: runtime.GOOS, Goarch: runtime.GOARCH, Runtime: runtime.Version(), Numcpu: strconv.Itoa(runtime.NumCPU()), Numgoroutine: got.GetNumgoroutine(),
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if n, err := strconv.Atoi(got.GetNumgoroutine()); err != nil || n < 1 {
		t.Errorf("numgoroutine is %q", got.GetNumgoroutine())
	}
	reply := []byte(grpctest.Raw(t, conn, "/info.InfoService/Info", ""))
	for number := protowire.Number(1); number <= 11; number++ {
		got, typ, n := protowire.ConsumeTag(reply)
		if got != number || typ != protowire.BytesType {
			t.Fatalf("field %d of type %d, want %d", got, typ, number)
		}
		text, m := protowire.ConsumeString(reply[n:])
		reply = reply[n+m:]
		if number == 1 && text != hostname || number == 8 && text != runtime.GOARCH || number == 11 && text != strconv.Itoa(runtime.NumCPU()) {
			t.Errorf("field %d is %q", number, text)
		}
	}
	if len(reply) > 0 {
		t.Errorf("unexpected fields: %q", reply)
	}
}

// TestNames checks the names that clients use and that reflection lists.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"info.InfoService.Info", "info.InfoRequest", "info.InfoResponse.hostname", "info.InfoResponse.version", "info.InfoResponse.revision", "info.InfoResponse.color", "info.InfoResponse.logo", "info.InfoResponse.message", "info.InfoResponse.goos", "info.InfoResponse.goarch", "info.InfoResponse.runtime", "info.InfoResponse.numgoroutine", "info.InfoResponse.numcpu"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}
