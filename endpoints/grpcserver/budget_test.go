package grpcserver_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	gzipname "google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// purse is a module that lets the test see the budget.
type purse struct{ *budget.Budget }

func (*purse) Info() registry.Info                { return registry.Info{Name: "purse"} }
func (p *purse) Provision(h *registry.Host) error { p.Budget = h.Budget(); return nil }

// empty waits until no memory is reserved. What a call holds is released after the
// client has its status.
func (p *purse) empty(t *testing.T) {
	t.Helper()
	eventually(t, func() bool { return p.Used() == 0 }, "memory is still reserved")
}

// eventually waits for what the server does after the client has its status.
func eventually(t *testing.T, done func() bool, otherwise string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal(otherwise)
		}
	}
}

func serveBudget(t *testing.T, budget string, env map[string]string, service *grpctest.Service) (*grpctest.Server, *purse) {
	t.Helper()
	vars := map[string]string{"PODINFO_MEMORY_BUDGET": budget, "PODINFO_LEVEL": "debug"}
	maps.Copy(vars, env)
	p := new(purse)
	return grpctest.Serve(t, vars, new(accesslog.Module), service, p), p
}

// retries checks that err is RESOURCE_EXHAUSTED with a RetryInfo.
func retries(t *testing.T, what string, s *status.Status) {
	t.Helper()
	if s.Code() != codes.ResourceExhausted || len(s.Details()) != 1 {
		t.Errorf("%s: %v, %v", what, s, s.Details())
		return
	}
	if info, ok := s.Details()[0].(*errdetails.RetryInfo); !ok || info.RetryDelay.AsDuration() != time.Second {
		t.Errorf("%s: %v", what, s.Details())
	}
}

// send calls a method of the test service with a payload of zeros, and returns the
// bytes of the response.
func send(ctx context.Context, conn *grpc.ClientConn, method string, size int, opts ...grpc.CallOption) (int, error) {
	payload := &pb.Payload{Body: make([]byte, size)}
	if method == "UnaryCall" {
		res, err := pb.NewTestServiceClient(conn).UnaryCall(ctx, &pb.SimpleRequest{Payload: payload}, opts...)
		return len(res.GetPayload().GetBody()), err
	}
	desc := &grpc.StreamDesc{ClientStreams: method != "StreamingOutputCall", ServerStreams: method != "StreamingInputCall"}
	stream, err := conn.NewStream(ctx, desc, "/grpc.testing.TestService/"+method, opts...)
	if err != nil {
		return 0, err
	}
	var out proto.Message = &pb.StreamingOutputCallRequest{Payload: payload}
	if method == "StreamingInputCall" {
		out = &pb.StreamingInputCallRequest{Payload: payload}
	}
	if err := stream.SendMsg(out); err != nil && err != io.EOF {
		return 0, err
	}
	stream.CloseSend()
	if method == "StreamingInputCall" {
		var in pb.StreamingInputCallResponse
		err := stream.RecvMsg(&in)
		return int(in.AggregatedPayloadSize), err
	}
	var in pb.StreamingOutputCallResponse
	if err := stream.RecvMsg(&in); err != nil {
		return 0, err
	}
	return len(in.GetPayload().GetBody()), stream.RecvMsg(new(pb.StreamingOutputCallResponse))
}

// TestBudget calls methods of each kind with messages that fit into the budget, and
// with some that do not. Compressed ones are small on the wire.
func TestBudget(t *testing.T) {
	s, p := serveBudget(t, "1MiB", nil, new(grpctest.Service))
	health := healthpb.NewHealthClient(s.Conn)
	for _, method := range grpctest.Methods {
		for _, c := range []struct {
			size int
			fits bool
		}{{0, true}, {100, true}, {5000, true}, {200 << 10, true}, {2 << 20, false}, {4<<20 - 100, false}} {
			for what, opts := range map[string][]grpc.CallOption{"plain": nil, "gzip": {grpc.UseCompressor(gzipname.Name)}} {
				what := fmt.Sprintf("%s with %d bytes, %s", method, c.size, what)
				n, err := send(t.Context(), s.Conn, method, c.size, opts...)
				if err == io.EOF {
					err = nil
				}
				switch {
				case c.fits && (err != nil || n != c.size):
					t.Errorf("%s: %d bytes, %v", what, n, err)
				case !c.fits:
					retries(t, what, status.Convert(err))
				}
				if _, err := health.Check(t.Context(), new(healthpb.HealthCheckRequest)); err != nil {
					t.Errorf("%s: another call on the connection: %v", what, err)
				}
				p.empty(t)
			}
		}
	}
	eventually(t, func() bool { return strings.Count(s.Log.String(), `"refused":"memory"`) == 2*2*len(grpctest.Methods) }, "not all refused calls are in the log")
	if p.Refused() != 2*2*uint64(len(grpctest.Methods)) {
		t.Errorf("%d refusals are counted", p.Refused())
	}
}

// TestLargestMessage checks that the budget of a small container has room for the
// largest message.
func TestLargestMessage(t *testing.T) {
	s, p := serveBudget(t, "11MiB", nil, new(grpctest.Service))
	for _, method := range grpctest.Methods {
		for what, opts := range map[string][]grpc.CallOption{"plain": nil, "gzip": {grpc.UseCompressor(gzipname.Name)}} {
			n, err := send(t.Context(), s.Conn, method, 4<<20-100, opts...)
			if n != 4<<20-100 || err != nil && err != io.EOF {
				t.Errorf("%s, %s: %d bytes, %v", method, what, n, err)
			}
			p.empty(t)
		}
	}
}

// TestCompressedMessages checks the errors of messages that are compressed.
func TestCompressedMessages(t *testing.T) {
	s, p := serveBudget(t, "16MiB", map[string]string{"PODINFO_GRPC_MAX_MESSAGE_BYTES": "100000"}, new(grpctest.Service))
	for _, method := range grpctest.Methods {
		_, err := send(t.Context(), s.Conn, method, 200_000, grpc.UseCompressor(gzipname.Name))
		if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "larger than max") {
			t.Errorf("%s: %v", method, err)
		}
	}
	for what, c := range map[string]struct{ sent, want string }{
		"no gzip":     {"\x01\x00\x00\x00\x03abc", `"grpc-message" = "grpc: failed to decompress`},
		"nothing":     {"\x01\x00\x00\x00\x00", `"grpc-message" = "grpc: failed to decompress`},
		"no protobuf": {string(compressed([]byte("abc"))), `"grpc-message" = "grpc: failed to unmarshal`},
		"empty":       {string(compressed(nil)), `"grpc-status" = "0"`},
	} {
		conn := dialRaw(t, s.Addr)
		conn.open(t, 1, "UnaryCall", "grpc-encoding", "gzip")
		conn.send(t, 1, true, []byte(c.sent), 1<<14, 0)
		if _, how := conn.outcome(t, 1); !strings.Contains(how, c.want) {
			t.Errorf("%s: %s", what, how)
		}
	}
	p.empty(t)
}

// compressed returns a compressed message.
func compressed(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return append(binary.BigEndian.AppendUint32([]byte{1}, uint32(out.Len())), out.Bytes()...)
}

// TestBudgetOfLongStreams checks that a stream of many messages holds no more than
// the current ones, however they are compressed.
func TestBudgetOfLongStreams(t *testing.T) {
	s, p := serveBudget(t, "256KiB", nil, new(grpctest.Service))
	for what, opts := range map[string][]grpc.CallOption{"plain": nil, "gzip": {grpc.UseCompressor(gzipname.Name)}} {
		for _, size := range []int{0, 10, 20_000} {
			stream, err := pb.NewTestServiceClient(s.Conn).FullDuplexCall(t.Context(), opts...)
			if err != nil {
				t.Fatal(err)
			}
			body := make([]byte, size)
			for i := range 300 {
				if err := stream.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: body}}); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					t.Fatalf("%s, %d bytes, message %d: %v", what, size, i, err)
				}
			}
			if used := p.Used(); used > 4*20_000 {
				t.Errorf("%s, %d bytes: %d bytes are reserved", what, size, used)
			}
			stream.CloseSend()
			if _, err := stream.Recv(); err != io.EOF {
				t.Error(err)
			}
			p.empty(t)
		}
	}
}

// rawClient is an HTTP/2 connection to the gRPC port.
type rawClient struct {
	net.Conn
	*http2.Framer
}

func dialRaw(t *testing.T, addr string, settings ...http2.Setting) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := &rawClient{conn, http2.NewFramer(conn, conn)}
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	io.WriteString(conn, http2.ClientPreface)
	if err := c.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return c
}

// open begins a call.
func (c *rawClient) open(t *testing.T, stream uint32, method string, more ...string) {
	t.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	fields := append([]string{":method", "POST", ":scheme", "http", ":path", "/grpc.testing.TestService/" + method, ":authority", "x", "content-type", "application/grpc", "te", "trailers"}, more...)
	for i := 0; i < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
}

// send sends b in DATA frames of at most size bytes, with padding.
func (c *rawClient) send(t *testing.T, stream uint32, end bool, b []byte, size, padding int) {
	t.Helper()
	var pad []byte // nil for no padding at all
	if padding > 0 {
		pad = make([]byte, padding)
	}
	for len(b) > size {
		if err := c.WriteDataPadded(stream, false, b[:size], pad); err != nil {
			t.Fatal(err)
		}
		b = b[size:]
	}
	if err := c.WriteDataPadded(stream, end, b, pad); err != nil {
		t.Fatal(err)
	}
}

// synced waits until the server has read everything.
func (c *rawClient) synced(t *testing.T) {
	t.Helper()
	if err := c.WritePing(false, [8]byte{7}); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := c.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
			return
		}
	}
}

// outcome returns how the stream ends: with a status, with RST_STREAM, or with the
// connection.
func (c *rawClient) outcome(t *testing.T, stream uint32) (*status.Status, string) {
	t.Helper()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return nil, "the connection ends"
		}
		if f.Header().StreamID != stream {
			continue
		}
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			return nil, f.ErrCode.String()
		case *http2.MetaHeadersFrame:
			if !f.StreamEnded() {
				continue
			}
			for _, field := range f.Fields {
				if field.Name == "grpc-status-details-bin" {
					b, err := base64.RawStdEncoding.DecodeString(field.Value)
					s := new(rpcstatus.Status)
					if err != nil || proto.Unmarshal(b, s) != nil {
						t.Fatal(field, err)
					}
					return status.FromProto(s), ""
				}
			}
			return nil, fmt.Sprint(f.Fields)
		}
	}
}

// message returns a SimpleRequest with a body of size bytes.
func message(size int) []byte {
	b, _ := proto.Marshal(&pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, size)}})
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)
}

// TestDeclaredLength checks that memory is reserved for what has arrived, not for
// the length of a message or of a frame.
func TestDeclaredLength(t *testing.T) {
	s, p := serveBudget(t, "16MiB", nil, new(grpctest.Service))
	large := message(4<<20 - 100)
	for _, c := range []struct {
		what           string
		sent           []byte
		frame, padding int
		least, most    int64
	}{
		{"11 bytes", large[:11], 1 << 14, 0, 0, 0},
		{"4 KiB", large[:4<<10], 1 << 14, 0, 4 << 10, 4<<10 + 256},
		{"60 KiB", large[:60<<10], 1 << 14, 0, 116 << 10, 117 << 10},
		{"60 KiB in a complete message", message(60 << 10)[:60<<10], 1 << 14, 0, 116 << 10, 117 << 10},
		{"frames of a byte", large[:1000], 1, 0, 100 << 10, 130 << 10},
		{"padding", large[:2<<10], 64, 200, 4 << 10, 6 << 10},
	} {
		conn := dialRaw(t, s.Addr)
		for id := uint32(1); id < 20; id += 2 {
			conn.open(t, id, "UnaryCall")
			conn.send(t, id, false, c.sent, c.frame, c.padding)
		}
		conn.synced(t)
		conn.Conn.Write(binary.BigEndian.AppendUint32(nil, 1<<14<<8)) // a part of the header of a DATA frame
		conn.Conn.Close()
		p.empty(t)

		conn = dialRaw(t, s.Addr)
		for id := uint32(1); id < 20; id += 2 {
			conn.open(t, id, "UnaryCall")
			conn.send(t, id, false, c.sent, c.frame, c.padding)
		}
		conn.synced(t)
		if used := p.Used() / 10; used < c.least || used > c.most {
			t.Errorf("%s: %d bytes are reserved for each call, want %d to %d", c.what, used, c.least, c.most)
		}
		conn.WriteRSTStream(1, http2.ErrCodeCancel)
		conn.send(t, 3, true, nil, 1, 0) // ends the stream in the middle of a message
		if _, how := conn.outcome(t, 3); !strings.Contains(how, "unexpected EOF") {
			t.Errorf("%s: the incomplete message ends with %s", c.what, how)
		}
		conn.Conn.Close()
		p.empty(t)
	}
}

// TestPadding checks that padded messages are understood.
func TestPadding(t *testing.T) {
	s, p := serveBudget(t, "16MiB", nil, new(grpctest.Service))
	for padding := range 256 {
		conn := dialRaw(t, s.Addr)
		conn.open(t, 1, "UnaryCall")
		conn.send(t, 1, true, message(20_000), 1+padding*50, padding)
		if _, how := conn.outcome(t, 1); !strings.Contains(how, `"grpc-status" = "0"`) {
			t.Errorf("padding of %d: %s", padding, how)
		}
		conn.Conn.Close()
	}
	p.empty(t)
}

// TestStall checks that a call ends whose client stands still, and no other.
func TestStall(t *testing.T) {
	noWindow := http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}
	for _, c := range []struct {
		what     string
		settings []http2.Setting
		method   string
		sent     []byte
		end      bool
		want     string // "" for RESOURCE_EXHAUSTED
	}{
		{"no message", nil, "UnaryCall", nil, false, ""},
		{"a part of a header", nil, "StreamingInputCall", message(10)[:3], false, ""},
		{"a part of a message", nil, "UnaryCall", message(3 << 20)[:60<<10], false, ""},
		{"a part of a second message", nil, "FullDuplexCall", append(message(10), message(10)[:7]...), false, ""},
		{"a response that is not read", []http2.Setting{noWindow}, "UnaryCall", message(5000), true, "ENHANCE_YOUR_CALM"},
		{"a stream that is not read", []http2.Setting{noWindow}, "FullDuplexCall", message(5000), false, "ENHANCE_YOUR_CALM"},
		{"between messages", nil, "StreamingInputCall", nil, false, "none"},
		{"between messages of a stream", nil, "FullDuplexCall", append(message(0), compressed(message(100)[5:])...), false, "none"},
		{"a small response that is not read", []http2.Setting{noWindow}, "FullDuplexCall", message(100), false, "none"},
	} {
		t.Run(c.what, func(t *testing.T) {
			s, p := serveBudget(t, "16MiB", map[string]string{"PODINFO_GRPC_STALL_TIMEOUT": "50ms"}, new(grpctest.Service))
			conn := dialRaw(t, s.Addr, c.settings...)
			conn.open(t, 1, c.method, "grpc-encoding", "gzip")
			conn.send(t, 1, c.end, c.sent, 1<<14, 0)
			if c.want == "none" {
				for id := uint32(3); id < 7; id += 2 { // two other calls measure the time
					conn.open(t, id, "UnaryCall")
					st, _ := conn.outcome(t, id)
					retries(t, "another call", st)
				}
				conn.send(t, 1, true, nil, 1, 0)
				conn.WriteWindowUpdate(1, 1<<16)
				if _, how := conn.outcome(t, 1); !strings.Contains(how, `"grpc-status" = "0"`) {
					t.Error(how)
				}
			} else if st, how := conn.outcome(t, 1); how != c.want {
				t.Errorf("%s, want %s", how, c.want)
			} else if how == "" {
				retries(t, "", st)
			}
			conn.open(t, 99, "UnaryCall")
			conn.WriteWindowUpdate(99, 1<<16)
			conn.send(t, 99, true, message(0), 1<<14, 0)
			if _, how := conn.outcome(t, 99); !strings.Contains(how, `"grpc-status" = "0"`) {
				t.Error("another call on the connection:", how)
			}
			p.empty(t)
			if c.want != "none" && c.method+c.want != "UnaryCallENHANCE_YOUR_CALM" { // there the handler had returned
				eventually(t, func() bool { return strings.Contains(s.Log.String(), `"refused":"stall"`) }, "the call is not in the log")
			}
		})
	}
}

// TestRefusedCallsDropData checks that a call which was refused holds nothing of
// what the client still sends.
func TestRefusedCallsDropData(t *testing.T) {
	s, p := serveBudget(t, "256KiB", nil, new(grpctest.Service))
	conn := dialRaw(t, s.Addr)
	conn.open(t, 1, "UnaryCall")
	for id := uint32(3); id < 20; id += 2 {
		conn.open(t, id, "FullDuplexCall")
	}
	for id := uint32(3); id < 20; id += 2 {
		conn.send(t, id, false, message(1 << 20)[:60<<10], 1<<14, 0)
	}
	for id := uint32(15); id < 20; id += 2 {
		st, _ := conn.outcome(t, id)
		retries(t, fmt.Sprint(id), st)
		conn.send(t, id, false, make([]byte, 4<<10), 1<<14, 0)
	}
	conn.send(t, 1, true, message(100), 1<<14, 0)
	if _, how := conn.outcome(t, 1); !strings.Contains(how, `"grpc-status" = "0"`) {
		t.Error("another call on the connection:", how)
	}
	if p.Used() > p.Limit() {
		t.Errorf("%d bytes are reserved", p.Used())
	}
	conn.Conn.Close()
	p.empty(t)
}

// TestAbusiveConnections checks that the server closes the connection of a client
// that makes it queue too much.
func TestAbusiveConnections(t *testing.T) {
	for what, abuse := range map[string]func(c *rawClient){
		"streams": func(c *rawClient) {
			var b bytes.Buffer
			many := &rawClient{Framer: http2.NewFramer(&b, nil)}
			for id := uint32(1); id < 5000; id += 2 {
				many.open(t, id, "FullDuplexCall")
			}
			c.Conn.Write(b.Bytes())
		},
		"settings": func(c *rawClient) { c.WriteSettings(make([]http2.Setting, 33)...) },
		"CONTINUATION": func(c *rawClient) {
			c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1})
			for range 1000 {
				c.WriteContinuation(1, false, bytes.Repeat([]byte{0x80 | 15}, 1<<14))
			}
		},
		"pings that are not read": func(c *rawClient) {
			for c.WritePing(false, [8]byte{}) == nil {
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			s, p := serveBudget(t, "1MiB", map[string]string{"PODINFO_GRPC_STALL_TIMEOUT": "100ms"}, new(grpctest.Service))
			c := dialRaw(t, s.Addr)
			abuse(c)
			if _, how := c.outcome(t, 1<<31-1); how != "the connection ends" {
				t.Error(how)
			}
			if err := s.Call(t.Context(), "UnaryCall"); err != nil {
				t.Error(err)
			}
			p.empty(t)
		})
	}
}

// TestMaxConnections checks that idle and slow connections make room for another,
// and that their calls count as refused.
func TestMaxConnections(t *testing.T) {
	for what, calls := range map[string]int{"idle": 0, "slow": 1} {
		t.Run(what, func(t *testing.T) {
			s, _ := serveBudget(t, "1MiB", map[string]string{"PODINFO_GRPC_MAX_CONNECTIONS": "16"}, new(grpctest.Service))
			for range 16 {
				c := dialRaw(t, s.Addr)
				for id := range uint32(calls) {
					c.open(t, 2*id+1, "UnaryCall")
				}
				c.synced(t)
			}
			for err := s.Call(t.Context(), "UnaryCall"); err != nil; err = s.Call(t.Context(), "UnaryCall") {
				if status.Code(err) != codes.Unavailable { // until the clients are slow
					t.Fatal(err)
				}
			}
			if calls > 0 {
				eventually(t, func() bool { return strings.Contains(s.Log.String(), `"refused":"connections"`) }, "the call is not in the log")
			}
		})
	}
}
