package grpcserver

import (
	"bytes"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
)

// bareClient is an HTTP/2 connection to a grpc-go server without podinfo.
type bareClient struct {
	net.Conn
	*http2.Framer
}

// dialBare starts a grpc-go server whose calls are all handled by h, and connects
// to it.
func dialBare(t *testing.T, h grpc.StreamHandler) *bareClient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(h))
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	c := &bareClient{conn, http2.NewFramer(conn, conn)}
	c.Write([]byte(http2.ClientPreface))
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// call begins a call on a stream.
func (c *bareClient) call(t *testing.T, stream uint32) {
	t.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/a.B/C"}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
}

// TestResetCancelsTheCall is the canary for the reaction of grpc-go that reset.go
// relies on: after an RST_STREAM of the client the handler is cancelled, nothing
// more is sent on the stream, and the connection stays open.
func TestResetCancelsTheCall(t *testing.T) {
	entered, ended := make(chan bool), make(chan bool, 1)
	c := dialBare(t, func(_ any, s grpc.ServerStream) error {
		entered <- true
		<-s.Context().Done()
		ended <- true
		return nil
	})
	c.call(t, 1)
	<-entered
	if _, err := c.Write(resetFrame(1, codeCancel)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Errorf("grpc-go %s does not cancel the context of a stream that its client resets, which reset.go relies on", grpc.Version)
	}
	if err := c.WritePing(false, [8]byte{1}); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := c.ReadFrame()
		if err != nil {
			t.Fatalf("after RST_STREAM the connection is closed: %v", err)
		}
		if f.Header().StreamID == 1 {
			t.Errorf("grpc-go %s sends %v on a stream that its client has reset", grpc.Version, f)
		}
		if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
			return
		}
	}
}
