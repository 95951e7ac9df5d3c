package headers_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/headers"
	"github.com/seed-4591fe7d/podinfo/endpoints/headers/headerpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHeaderRPC(t *testing.T) {
	s := grpctest.Serve(t, nil, new(headers.Module))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "X-Two", "b", "x-two", "a", "x-one", "1", "authorization", "Bearer t", "raw-bin", "\xff\x00", "raw-bin", "hi")
	got, err := headerpb.NewHeaderServiceClient(s.Conn).Header(ctx, new(headerpb.HeaderRequest))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{":authority=" + s.Addr, "authorization=Bearer t", "content-type=application/grpc", "grpc-accept-encoding=gzip", "raw-bin=/wA,aGk", "user-agent=grpc-go/" + grpc.Version, "x-one=1", "x-two=b,a"}
	if diff := cmp.Diff(want, got.GetHeaders()); diff != "" {
		t.Error(diff)
	}
	if got := grpctest.Raw(t, s.Conn, "/header.HeaderService/Header", ""); !strings.HasPrefix(got, "\n") || !strings.Contains(got, "\n\x1dcontent-type=application/grpc\n") {
		t.Errorf("%q", got)
	}
}

// TestInvalidUTF8 sends a header that is not UTF-8. HTTP/2 allows that, but
// grpc-go's client does not, so the test uses net/http.
func TestInvalidUTF8(t *testing.T) {
	s := grpctest.Serve(t, nil, new(headers.Module))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest("POST", "http://"+s.Addr+"/header.HeaderService/Header", strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "X-Odd": {"a\xffb"}}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.Trailer.Get("Grpc-Status") != "0" || !strings.Contains(string(body), "\n\x0bx-odd=a\uFFFDb") {
		t.Errorf("%q, %v, %v", body, res.Trailer, err)
	}
}

// TestNames checks the names that clients use and that reflection lists.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"header.HeaderService.Header", "header.headerRequest", "header.headerResponse.headers"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}
