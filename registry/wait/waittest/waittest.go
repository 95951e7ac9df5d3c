// Package waittest serves over pipes, so that a test in a bubble of
// testing/synctest sees an http.Server's timeouts pass in no time.
package waittest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Serve serves h with a write timeout to the client it returns, until the end
// of the test.
func Serve(t testing.TB, h http.Handler, timeout time.Duration) *http.Client {
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h, ReadTimeout: timeout, WriteTimeout: timeout}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: l.dial}
	t.Cleanup(func() {
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
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
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
