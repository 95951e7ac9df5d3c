package faults_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// rawClient speaks HTTP/2 frame by frame.
type rawClient struct {
	t    *testing.T
	conn net.Conn
	fr   *http2.Framer
}

func dialRaw(t *testing.T, addr string, conf *tls.Config) *rawClient {
	t.Helper()
	var conn net.Conn
	var err error
	if conf == nil {
		conn, err = net.Dial("tcp", addr)
	} else {
		conf = conf.Clone()
		conf.NextProtos = []string{"h2"}
		conn, err = tls.Dial("tcp", addr, conf)
	}
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := &rawClient{t, conn, http2.NewFramer(conn, conn)}
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = io.WriteString(conn, http2.ClientPreface)
	must(t, err, c.fr.WriteSettings())
	return c
}

// open begins a call with a header x, which rules match.
func (c *rawClient) open(stream uint32, method, x string) {
	c.t.Helper()
	c.headers(stream, false, ":method", "POST", ":scheme", "http", ":path", "/grpc.testing.TestService/"+method, ":authority", "x",
		"content-type", "application/grpc", "te", "trailers", "x", x)
}

// headers opens a stream with pairs of names and values.
func (c *rawClient) headers(stream uint32, end bool, fields ...string) {
	c.t.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	must(c.t, c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end}))
}

// sendEmpty sends a message without fields.
func (c *rawClient) sendEmpty(stream uint32, end bool) {
	c.t.Helper()
	must(c.t, c.fr.WriteData(stream, end, make([]byte, 5)))
}

// next returns the next relevant frame: "HEADERS 1", "DATA 1", "TRAILERS 1 0"
// with the status, "RST_STREAM 3 PROTOCOL_ERROR", "GOAWAY …".
func (c *rawClient) next() string {
	for {
		f, err := c.fr.ReadFrame()
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			for _, h := range f.Fields {
				if h.Name == "grpc-status" {
					return fmt.Sprintf("TRAILERS %d %s", f.StreamID, h.Value)
				}
			}
			return fmt.Sprintf("HEADERS %d", f.StreamID)
		case *http2.DataFrame:
			return fmt.Sprintf("DATA %d", f.StreamID)
		case *http2.RSTStreamFrame:
			return fmt.Sprintf("RST_STREAM %d %v", f.StreamID, f.ErrCode)
		case *http2.GoAwayFrame:
			return fmt.Sprintf("GOAWAY %d %v %s", f.LastStreamID, f.ErrCode, f.DebugData())
		case nil:
			if errors.Is(err, io.EOF) {
				return "EOF"
			}
			return err.Error()
		}
	}
}

// frames returns the next n relevant frames.
func (c *rawClient) frames(n int) (out []string) {
	for range n {
		out = append(out, c.next())
	}
	return out
}

// ruleForHits returns a rule for calls with the header "x: hit".
func ruleForHits(fault string) string {
	return "rules: [{name: r, match: {grpc: '*', headers: {x: hit}}, fault: {" + fault + "}}]"
}

// The frames on a connection when one of its calls is broken while another one
// is in flight.
func TestFramesOfBrokenCalls(t *testing.T) {
	for fault, want := range map[string][]string{
		"reset: true": {
			"RST_STREAM 3 PROTOCOL_ERROR",
			"HEADERS 1", "DATA 1", "TRAILERS 1 0", // the call that was in flight
			"HEADERS 5", "DATA 5", "TRAILERS 5 0",
		},
		"goaway: true": {
			"GOAWAY 2147483647 NO_ERROR fault r", // no stream is rejected
			"HEADERS 3", "DATA 3", "TRAILERS 3 0",
			"HEADERS 1", "DATA 1", "TRAILERS 1 0",
			"HEADERS 5", "DATA 5", "TRAILERS 5 0", // the client may not have read the GOAWAY yet
		},
		"empty: true": {"EOF"},
	} {
		for _, secure := range []bool{false, true} {
			env, conf := rules(ruleForHits(fault)), (*tls.Config)(nil)
			if secure {
				dir := t.TempDir()
				conf = &tls.Config{RootCAs: registrytest.WriteCert(t, dir, "server")}
				env["PODINFO_GRPC_TLS"], env["PODINFO_CERT_PATH"] = "true", dir
			}
			s := grpctest.Serve(t, env, new(faults.Module), new(grpctest.Service))
			c := dialRaw(t, s.Addr, conf)
			c.open(1, "FullDuplexCall", "")
			c.open(3, "UnaryCall", "hit")
			c.sendEmpty(3, true)
			n := len(want)
			got := c.frames(min(n, max(1, n-6)))
			if n > 1 {
				c.sendEmpty(1, true)
				got = append(got, c.frames(3)...)
				c.open(5, "UnaryCall", "")
				c.sendEmpty(5, true)
				got = append(got, c.frames(3)...)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, TLS %v: %s", fault, secure, diff)
			}
		}
	}
}

// GOAWAYs and resets do not corrupt frames on a connection with much traffic in
// both directions.
func TestBrokenCallsAmongOthers(t *testing.T) {
	s := grpctest.Serve(t, rules(`
rules:
- { name: reset, match: { headers: { x: reset } }, fault: { reset: true } }
- { name: leave, match: { headers: { x: leave } }, fault: { goaway: true } }
`), new(faults.Module), new(grpctest.Service))
	c := pb.NewTestServiceClient(s.Conn)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	body := bytes.Repeat([]byte("0123456789"), 10_000) // several frames each, and several writes
	results := make(chan error, 8)
	for i := range cap(results) {
		go func() {
			stream, err := c.FullDuplexCall(ctx)
			for range 30 {
				if err == nil {
					err = stream.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: body}})
				}
				if err == nil {
					var m *pb.StreamingOutputCallResponse
					if m, err = stream.Recv(); err == nil && !bytes.Equal(m.GetPayload().GetBody(), body) {
						err = errors.New("another message")
					}
				}
				x := "reset"
				if i%4 == 3 {
					x = "leave"
				}
				_, e := c.UnaryCall(metadata.AppendToOutgoingContext(ctx, "x", x), &pb.SimpleRequest{})
				if want := map[string]codes.Code{"reset": codes.Internal, "leave": codes.OK}[x]; status.Code(e) != want {
					err = errors.Join(err, fmt.Errorf("%s: %w", x, e))
				}
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// The status that a grpc-go client gets, and the one that the server records.
func TestBrokenCalls(t *testing.T) {
	for fault, want := range map[string]struct {
		code codes.Code
		text string
		same bool // the connection remains usable
	}{
		"reset: true":                    {codes.Internal, "RST_STREAM", true},
		"empty: true":                    {codes.Unavailable, "", false},
		"goaway: true":                   {codes.OK, "", false},
		"grpc: NOT_FOUND, goaway: true":  {codes.NotFound, "fault r", true}, // grpc wins
		"grpc: UNAVAILABLE, status: 503": {codes.Unavailable, "fault r", true},
	} {
		e := new(recorder)
		s := grpctest.Serve(t, rules(ruleForHits(fault)), e, new(faults.Module), new(grpctest.Service))
		c := pb.NewTestServiceClient(s.Conn)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x", "hit")
		var first, second peer.Peer
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{}, grpc.Peer(&first))
		if st := status.Convert(err); st.Code() != want.code || !strings.Contains(st.Message(), want.text) {
			t.Errorf("%s: %v", fault, err)
		}
		for _, method := range []string{"StreamingOutputCall", "StreamingInputCall", "FullDuplexCall"} {
			if err := s.Call(ctx, method); status.Code(err) != want.code {
				t.Errorf("%s: %s: %v", fault, method, err)
			}
		}
		if _, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{}, grpc.Peer(&second), grpc.WaitForReady(true)); err != nil {
			t.Errorf("%s: the next: %v", fault, err)
		}
		if same := first.LocalAddr.String() == second.LocalAddr.String(); same != want.same {
			t.Errorf("%s: the same connection: %v", fault, same)
		}
		got := e.codes(5) // the server may record the first call after its client saw the end
		slices.Sort(got)
		if diff := cmp.Diff(append([]rpc.Code{rpc.OK}, slices.Repeat([]rpc.Code{rpc.Code(want.code)}, 4)...), got); diff != "" {
			t.Errorf("%s: recorded as %s", fault, diff)
		}
		must(t, s.App.Stop(t.Context()))
	}
}

// After goaway the client finishes its calls on the connection, and starts the
// next ones on a new one.
func TestGoAwayOfCalls(t *testing.T) {
	dir := t.TempDir()
	pool := registrytest.WriteCert(t, dir, "server")
	for _, secure := range []bool{false, true} {
		env, creds := rules(ruleForHits("goaway: true")), insecure.NewCredentials()
		if secure {
			env["PODINFO_GRPC_TLS"], env["PODINFO_CERT_PATH"] = "true", dir
			creds = credentials.NewTLS(&tls.Config{RootCAs: pool})
		}
		s := grpctest.Serve(t, env, new(faults.Module), new(grpctest.Service))
		c := pb.NewTestServiceClient(grpctest.Dial(t, s.Addr, grpc.WithTransportCredentials(creds)))
		stream, err := c.FullDuplexCall(metadata.AppendToOutgoingContext(t.Context(), "x", "hit"))
		must(t, err)
		addrs := map[string]bool{}
		for range 3 { // a round trip, after which the GOAWAY has arrived
			must(t, stream.Send(&pb.StreamingOutputCallRequest{}))
			_, err := stream.Recv()
			must(t, err)
			var p peer.Peer
			_, err = c.UnaryCall(t.Context(), &pb.SimpleRequest{}, grpc.Peer(&p))
			must(t, err)
			addrs[p.LocalAddr.String()] = true
		}
		if p, _ := peer.FromContext(stream.Context()); len(addrs) != 1 || addrs[p.LocalAddr.String()] {
			t.Errorf("TLS %v: the call used %v, later ones %v", secure, p, addrs)
		}
		must(t, stream.CloseSend())
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("TLS %v: %v", secure, err)
		}
	}
}
