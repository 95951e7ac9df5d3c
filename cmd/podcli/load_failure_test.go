package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// accept serves each connection with f, and closes it.
func accept(t *testing.T, f func(*net.TCPConn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

// afterRequest reads a request and then calls f.
func afterRequest(f func(*net.TCPConn)) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.Copy(io.Discard, req.Body)
			f(conn)
		}
	}
}

func reset(conn *net.TCPConn) { conn.SetLinger(0) }

func write(text string) func(*net.TCPConn) {
	return func(conn *net.TCPConn) { io.WriteString(conn, text) }
}

// http2Server answers each request by respond, which reports whether the connection
// stays open.
func http2Server(respond func(f *http2.Framer, stream uint32) (more bool)) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(conn, conn)
		f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if headers, ok := frame.(*http2.HeadersFrame); ok && !respond(f, headers.StreamID) {
				return
			}
		}
	}
}

// grpcStatus ends a call with a status.
func grpcStatus(code string) func(*http2.Framer, uint32) bool {
	return func(f *http2.Framer, stream uint32) bool {
		var block strings.Builder
		e := hpack.NewEncoder(&block)
		for _, h := range [][2]string{{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", code}} {
			e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte(block.String()), EndHeaders: true, EndStream: true}) == nil
	}
}

func TestLoadClasses(t *testing.T) {
	resetStream := http2Server(func(f *http2.Framer, id uint32) bool { return f.WriteRSTStream(id, http2.ErrCodeInternal) == nil })
	goAway := http2Server(func(f *http2.Framer, id uint32) bool {
		f.WriteGoAway(id, http2.ErrCodeEnhanceYourCalm, nil)
		return false
	})
	hang := http2Server(func(*http2.Framer, uint32) bool { return true })
	closed := func(*net.TCPConn) {}
	for _, c := range []struct {
		name, address string
		args          []string
		class         string
	}{
		{"refused", refused(t), nil, "refused"},
		{"silence", silent(t), nil, "timeout"},
		{"reset", accept(t, afterRequest(reset)), nil, "reset"},
		{"end", accept(t, afterRequest(closed)), nil, "eof"},
		{"cut", accept(t, afterRequest(write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"))), nil, "eof"},
		{"status", accept(t, afterRequest(write("HTTP/1.1 503 No\r\nConnection: close\r\n\r\n"))), nil, "status"},
		{"not HTTP", accept(t, afterRequest(write("hello\r\n\r\n"))), nil, "other"},
		{"unknown host", "host.invalid.", nil, "other"},
		{"HTTP/2 refused", refused(t), []string{"--http2"}, "refused"},
		{"HTTP/2 silence", accept(t, hang), []string{"--http2"}, "timeout"},
		{"RST_STREAM", accept(t, resetStream), []string{"--http2"}, "reset"},
		{"GOAWAY", accept(t, goAway), []string{"--http2"}, "reset"},
		{"gRPC refused", refused(t), []string{"--grpc=echo"}, "refused"},
		{"gRPC silence", accept(t, hang), []string{"--grpc=stream"}, "timeout"},
		{"gRPC RST_STREAM", accept(t, resetStream), []string{"--grpc=stream"}, "reset"},
		{"gRPC status", accept(t, http2Server(grpcStatus("14"))), []string{"--grpc=stream"}, "status"},
		{"gRPC deadline", accept(t, http2Server(grpcStatus("4"))), []string{"--grpc=echo"}, "status"},
	} {
		args := append([]string{"load", c.address, "--rate=50", "--duration=60ms", "--connections=3", "--timeout=200ms", "-o=json"}, c.args...)
		o := run(t, args...).object(t)
		want := map[string]any{"refused": 0.0, "reset": 0.0, "eof": 0.0, "timeout": 0.0, "status": 0.0, "other": 0.0}
		want[c.class] = 3.0
		if diff := cmp.Diff(want, o["classes"]); diff != "" {
			t.Errorf("%s: %v %s", c.name, o["errors"], diff)
		}
	}
}

func TestReason(t *testing.T) {
	_, err := tls.Dial("tcp", refused(t), nil)
	if class, got := reason(err); got != "connection refused" || class != classRefused {
		t.Errorf("%s %q", class, got)
	}
	_, err = http.Get("http://host.invalid./")
	if class, got := reason(err); class != classOther || strings.Contains(got, "127.") || strings.Contains(got, "http:") {
		t.Errorf("%s %q", class, got)
	}
}
