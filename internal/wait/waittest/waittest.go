// Package waittest runs an http.Server over in-memory connections, so that its
// timeouts use the fake clock of a testing/synctest bubble.
package waittest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Serve serves h with the given read and write timeout until the test ends. It
// returns a client that is connected to the server.
func Serve(t testing.TB, h http.Handler, timeout time.Duration) *http.Client {
	return serve(t, h, timeout, false)
}

// ServeHTTP2 is Serve over HTTP/2 without TLS.
func ServeHTTP2(t testing.TB, h http.Handler, timeout time.Duration) *http.Client {
	return serve(t, h, timeout, true)
}

func serve(t testing.TB, h http.Handler, timeout time.Duration, h2 bool) *http.Client {
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	srv := &http.Server{Handler: h, ReadTimeout: timeout, WriteTimeout: timeout, Protocols: protocols}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	transport := &http.Transport{DisableKeepAlives: !h2, DialContext: l.dial, Protocols: protocols}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Close()
		<-done
	})
	return &http.Client{Transport: transport}
}

type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
