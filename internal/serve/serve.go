// Package serve runs an http.Server that loses no request when it stops.
package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
)

// Quiet is how long a draining server waits after the last sign of life on its
// open connections before it closes them: what a client had sent before the
// port closed is read and answered in that time.
const Quiet = 250 * time.Millisecond

// Server serves one listener.
type Server struct {
	http     *http.Server
	listener net.Listener
	served   chan struct{} // closed when nothing is accepted any more
	closing  atomic.Bool

	mu     sync.Mutex
	states map[net.Conn]http.ConnState
	last   time.Time    // of a change of states
	gone   drain.Signal // started when no connection will be added
}

// New prepares srv to be served on l. It takes over srv.Handler and
// srv.ConnState.
func New(srv *http.Server, l net.Listener) *Server {
	s := &Server{http: srv, listener: l, served: make(chan struct{}), states: map[net.Conn]http.ConnState{}, gone: drain.New()}
	inner := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.closing.Load() {
			w.Header().Set("Connection", "close") // over HTTP/2 it becomes GOAWAY
		}
		inner.ServeHTTP(w, r)
	})
	srv.ConnState = s.track
	return s
}

// Listen listens on TCP. An empty host is every address; an IPv6 address may
// stand in brackets.
func Listen(ctx context.Context, host string, port int) (net.Listener, error) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	var c net.ListenConfig
	c.SetMultipathTCP(false) // which cannot be closed without a gap
	l, err := c.Listen(ctx, "tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		return nil, err
	}
	return &lastCall{Listener: l}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve serves until Drain or Close, once. With srv.TLSConfig set it speaks TLS.
func (s *Server) Serve() error {
	defer close(s.served)
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if s.closing.Load() || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(s.states, c)
	} else {
		s.states[c] = state
	}
	s.gone.Left(len(s.states))
}

// Drain closes the port of a server that serves, answers who had connected
// before that, and closes the connections. What is still being served when ctx is done is cut, and counted
// in the error.
func (s *Server) Drain(ctx context.Context) error {
	s.closing.Store(true)
	if own, ok := s.listener.(*lastCall); ok {
		own.end()
		defer own.drop()
	} else {
		s.listener.Close() // others may have the socket too: what it holds is theirs
	}
	select {
	case <-s.served:
		s.linger(ctx)
	case <-ctx.Done():
	}
	err := s.http.Shutdown(ctx)
	if err == nil {
		return nil
	}
	n := s.active()
	s.http.Close()
	if n > 0 {
		return fmt.Errorf("%d requests cut: %w", n, err)
	}
	return nil
}

// linger waits until no connection is open or all are quiet. It is for when
// nothing is accepted any more.
func (s *Server) linger(ctx context.Context) {
	s.mu.Lock()
	s.gone.Start(len(s.states))
	s.last = time.Now()
	s.mu.Unlock()
	if end, ok := ctx.Deadline(); ok { // half of the time is for those still being served
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	for {
		s.mu.Lock()
		left := Quiet - time.Since(s.last)
		s.mu.Unlock()
		if left <= 0 {
			return
		}
		select {
		case <-time.After(left):
		case <-s.gone.Empty():
			return
		case <-ctx.Done():
			return
		}
	}
}

// active counts the connections that are being served.
func (s *Server) active() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, state := range s.states {
		if state == http.StateActive {
			n++
		}
	}
	return n
}

// Close closes the port and every connection.
func (s *Server) Close() error {
	s.closing.Store(true)
	s.listener.Close() // which the server knows only once it serves
	err := s.http.Close()
	if own, ok := s.listener.(*lastCall); ok {
		own.drop()
	}
	return err
}
