package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// tunnel dials a port of a pod through the API server, as kubectl port-forward does,
// but opens no port on this machine. Its connection to the API server is kept.
type tunnel struct {
	dialer httpstream.Dialer
	port   int32

	mu     sync.Mutex
	conn   httpstream.Connection // nil before the first use
	next   int                   // identifier of the next stream
	closed bool
}

// newTunnel returns a tunnel. to is the address of the pod's subresource portforward.
// It uses a WebSocket, or SPDY where the API server or a proxy knows only that.
func newTunnel(config *rest.Config, to *url.URL, port int32) (*tunnel, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	websocket, err := portforward.NewSPDYOverWebsocketDialer(to, config)
	if err != nil {
		return nil, err
	}
	dialer := portforward.NewFallbackDialer(websocket, spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, to), func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	return &tunnel{dialer: dialer, port: port}, nil
}

// dial implements http.Transport.DialContext. If it takes longer than its context
// allows, the next dial uses another connection to the API server.
func (t *tunnel) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := t.open()
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
		t.drop()
		go func() {
			if r := <-done; r.err == nil {
				r.conn.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// open opens the two streams of a connection to the port.
func (t *tunnel) open() (net.Conn, error) {
	conn, id, err := t.connection()
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	header.Set(v1.PortHeader, strconv.Itoa(int(t.port)))
	header.Set(v1.PortForwardRequestIDHeader, strconv.Itoa(id))
	header.Set(v1.StreamType, v1.StreamTypeError)
	failure, err := conn.CreateStream(header)
	if err != nil {
		t.drop()
		return nil, err
	}
	failure.Close() // nothing is written to it
	header.Set(v1.StreamType, v1.StreamTypeData)
	data, err := conn.CreateStream(header)
	if err != nil {
		t.drop()
		return nil, err
	}
	s := &stream{Stream: data, failure: failure, tunnel: t, conn: conn, message: make(chan string, 1), done: make(chan struct{})}
	go func() {
		text, _ := io.ReadAll(failure) // an error here is one of the data stream too
		s.message <- string(text)
		close(s.message)
	}()
	return s, nil
}

// connection returns the connection to the API server, and the identifier of a
// stream on it.
func (t *tunnel) connection() (httpstream.Connection, int, error) {
	t.mu.Lock()
	conn := t.conn
	t.next++
	id := t.next
	t.mu.Unlock()
	if conn != nil {
		select {
		case <-conn.CloseChan():
		default:
			return conn, id, nil
		}
	}
	conn, protocol, err := t.dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, 0, err
	}
	if protocol != portforward.PortForwardProtocolV1Name {
		conn.Close()
		return nil, 0, errors.New("the API server speaks another protocol for port forwarding: " + strconv.Quote(protocol))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		conn.Close()
		return nil, 0, net.ErrClosed
	}
	t.conn = conn
	return conn, id, nil
}

// drop closes the connection to the API server. The next dial opens another.
func (t *tunnel) drop() {
	t.mu.Lock()
	conn := t.conn
	t.conn = nil
	t.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

// close closes the tunnel for good.
func (t *tunnel) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.drop()
}

// stream is a connection to the port.
type stream struct {
	httpstream.Stream
	failure httpstream.Stream
	tunnel  *tunnel
	conn    httpstream.Connection
	message chan string // why the connection failed, or ""
	done    chan struct{}
	once    sync.Once
}

// Read implements net.Conn. At the end of the data it returns the error that the
// node reports, such as a port on which nothing listens.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	if err == nil {
		return n, nil
	}
	select {
	case text := <-s.message:
		if text != "" {
			s.tunnel.drop() // nodes of some versions close it after an error, others do not respond any more
			return n, faultclient.Cause(text)
		}
	case <-s.conn.CloseChan():
	case <-s.done:
	}
	return n, err
}

// Close implements net.Conn.
func (s *stream) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.Stream.Reset()
		s.failure.Reset()
		s.conn.RemoveStreams(s.Stream, s.failure)
	})
	return nil
}

func (*stream) LocalAddr() net.Addr              { return &net.IPAddr{} }
func (*stream) RemoteAddr() net.Addr             { return &net.IPAddr{} }
func (*stream) SetDeadline(time.Time) error      { return nil }
func (*stream) SetReadDeadline(time.Time) error  { return nil }
func (*stream) SetWriteDeadline(time.Time) error { return nil }
