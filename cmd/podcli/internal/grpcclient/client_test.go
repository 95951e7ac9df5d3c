package grpcclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// serve runs a grpc-go server whose method test.Service/Call responds with f.
func serve(t *testing.T, f func(ctx context.Context, in string) (string, error)) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(2*MaxMessage), grpc.MaxSendMsgSize(2*MaxMessage))
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Service", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Call",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(wrapperspb.StringValue)
			if err := decode(in); err != nil {
				return nil, err
			}
			out, err := f(ctx, in.Value)
			return wrapperspb.String(out), err
		},
	}}}, nil)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	c, err := New(l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func call(ctx context.Context, c *Client, in string) (string, error) {
	out, err := c.Call(ctx, "test.Service/Call", http.Header{"X-A": {"1", "2"}}, AppendString(nil, 1, in))
	if err != nil {
		return "", err
	}
	var m wrapperspb.StringValue
	return m.Value, errors.Join(proto.Unmarshal(out, &m), errIf(m.Value != in, "unexpected message"))
}

func errIf(failed bool, text string) error {
	if failed {
		return errors.New(text)
	}
	return nil
}

func TestCall(t *testing.T) {
	c := serve(t, func(ctx context.Context, in string) (string, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		deadline, ok := ctx.Deadline()
		if fmt.Sprint(md["x-a"]) != "[1 2]" || !ok || time.Until(deadline) > time.Hour || time.Until(deadline) < 59*time.Minute {
			return "", status.Errorf(codes.InvalidArgument, "%v %v", md, deadline)
		}
		return in, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, in := range []string{"", "hello", "ä\x00", strings.Repeat("x", 100_000), strings.Repeat("x", MaxMessage-5)} {
		if _, err := call(ctx, c, in); err != nil {
			t.Errorf("%d bytes: %v", len(in), err)
		}
	}
	if _, err := call(ctx, c, strings.Repeat("x", MaxMessage)); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("too long: %v", err)
	}
}

func TestStatus(t *testing.T) {
	codeOf := map[string]int{}
	c := serve(t, func(_ context.Context, in string) (string, error) {
		return "", status.Error(codes.Code(codeOf[in]), "why: "+in)
	})
	for i := 1; i <= 17; i++ {
		text := fmt.Sprintf("100%% of %d\nünö", i)
		codeOf[text] = i
		_, err := call(t.Context(), c, text)
		s, ok := errors.AsType[*Status](err)
		if !ok || s.Code != i || s.Message != "why: "+text || CodeName(i) != codes.Code(i).String() {
			t.Errorf("%d: %v", i, err)
		}
	}
	if CodeName(0) != "OK" || (&Status{Code: 5}).Error() != "NotFound" || (&Status{Code: 5, Message: "x"}).Error() != "NotFound: x" {
		t.Error("names")
	}
}

func TestDeadline(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	c := serve(t, func(context.Context, string) (string, error) {
		<-done // the client must time out, not the server
		return "", nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := call(ctx, c, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// TestNotGRPC checks the errors for servers that do not speak gRPC.
func TestNotGRPC(t *testing.T) {
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"status":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "not a gRPC response: HTTP 404 Not Found"},
		"type":    {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }, `content type "text/html"`},
		"trailer": {reply("", ""), "no status"},
		"number":  {reply("", "-1"), "no status"},
		"empty":   {reply("", "0"), "not exactly one message"},
		"half":    {reply("\x00\x00\x00\x00\x05abc", "0"), "not exactly one message"},
		"two":     {reply("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "0"), "not exactly one message"},
		"zipped":  {reply("\x01\x00\x00\x00\x00", "0"), "compressed response"},
	} {
		s := httptest.NewUnstartedServer(c.serve)
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
		client, err := New(s.Listener.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Call(t.Context(), "a.B/C", nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		client.Close()
		s.Close()
	}
	if _, err := New("host", nil); err == nil {
		t.Error("an address without a port was accepted")
	}
}

func reply(body, status string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType+"+proto")
		w.Write([]byte(body))
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
	}
}

func TestVarint(t *testing.T) {
	stamp, err := proto.Marshal(&timestamppb.Timestamp{Seconds: 1 << 40, Nanos: 7})
	if err != nil {
		t.Fatal(err)
	}
	mixed := protowire.AppendTag(nil, 2, protowire.BytesType)
	mixed = protowire.AppendString(mixed, "text")
	mixed = protowire.AppendTag(mixed, 3, protowire.Fixed32Type)
	mixed = protowire.AppendFixed32(mixed, 1)
	mixed = protowire.AppendTag(mixed, 4, protowire.Fixed64Type)
	mixed = protowire.AppendFixed64(mixed, 1)
	mixed = protowire.AppendTag(mixed, 900, protowire.VarintType)
	mixed = protowire.AppendVarint(mixed, 5)
	for _, c := range []struct {
		message []byte
		field   int
		want    uint64
	}{{stamp, 1, 1 << 40}, {stamp, 2, 7}, {stamp, 3, 0}, {mixed, 900, 5}, {mixed, 2, 0}, {nil, 1, 0}} {
		if got, err := Varint(c.message, c.field); got != c.want || err != nil {
			t.Errorf("%x field %d: %d %v", c.message, c.field, got, err)
		}
	}
	for i := 1; i < len(mixed); i++ {
		_, err := Varint(mixed[:i], 900)
		if _, _, n := protowire.ConsumeField(mixed[:i]); n < 0 && err == nil {
			t.Errorf("cut after %d: no error", i)
		}
	}
	if _, err := Varint([]byte{0x0f}, 1); err == nil {
		t.Error("an unknown wire type was accepted")
	}
}

func FuzzVarint(f *testing.F) {
	f.Add([]byte{8, 1})
	f.Fuzz(func(t *testing.T, b []byte) { Varint(b, 1) }) // does not panic
}
