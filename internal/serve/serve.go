// Package serve runs an http.Server that drains without losing requests.
package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
)

// Quiet is how long the connections of a draining server must be without activity
// before it closes them. It is longer than a request can be under way. In that time
// the server reads and answers the requests that clients had already sent.
const Quiet = time.Second

// Server serves one listener.
type Server struct {
	http     *http.Server
	listener net.Listener
	limits   *Limits                 // nil for none
	accepts  func(net.Conn) net.Conn // nil for none
	Cuts     *drain.Cuts             // of Drain; nil counts none
	served   chan struct{}           // closed when the server accepts no more connections
	leaving  atomic.Bool             // responses ask clients to leave
	closing  atomic.Bool

	mu         sync.Mutex
	states     map[net.Conn]http.ConnState
	lastChange time.Time    // of states, while draining
	gone       drain.Signal // started when no connection will be added to states
}

// New returns a Server that serves srv on l, within limits unless they are nil. It
// replaces srv.Handler, srv.ConnState, srv.ConnContext and srv.IdleTimeout.
func New(srv *http.Server, l net.Listener, limits *Limits) *Server {
	s := &Server{http: srv, listener: l, limits: limits, served: make(chan struct{}), states: map[net.Conn]http.ConnState{}, gone: drain.New()}
	inner := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() && r.Header["Upgrade"] == nil {
			w.Header().Set("Connection", "close") // net/http sends GOAWAY instead over HTTP/2
		}
		c, ok := r.Context().Value(contextKey{}).(*conn)
		if !ok {
			inner.ServeHTTP(w, r)
			return
		}
		c.requests.Add(1)
		defer s.handled(c)
		limits.serve(inner, c, w, r)
	})
	srv.ConnState = s.track
	if limits != nil {
		srv.ConnContext = withConn
		// net/http keeps the memory of an HTTP/2 connection for this time after it was
		// closed, if it had streams. The pool closes idle connections instead.
		if srv.IdleTimeout > 0 {
			limits.Pool.closeIdle(max(srv.IdleTimeout, limits.Stall))
		}
		srv.IdleTimeout = -1
	}
	return s
}

// Listen listens on a TCP port. An empty host means all addresses. An IPv6 address
// may be in brackets. failed is called, at most once a second, while connections
// cannot be accepted.
func Listen(ctx context.Context, host string, port int, failed func(error)) (net.Listener, error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false) // an MPTCP listener cannot be drained without a gap
	l, err := c.Listen(ctx, "tcp", Address(host, port))
	if err != nil {
		return nil, err
	}
	return newListener(l, failed), nil
}

// Addr returns the address of the listener.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve serves until Drain or Close is called. It uses TLS if the http.Server has a
// TLSConfig. It must be called at most once.
func (s *Server) Serve() error {
	defer close(s.served)
	l := s.listener
	if s.accepts != nil {
		l = hooked{l, s.accepts}
	}
	var err error
	if s.limits != nil {
		h2c := s.http.Protocols != nil && s.http.Protocols.UnencryptedHTTP2()
		l = s.limits.listen(l, s.http.TLSConfig != nil, h2c)
	}
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if s.closing.Load() || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// track is the http.Server's ConnState hook.
func (s *Server) track(c net.Conn, state http.ConnState) {
	if own := connOf(c); own != nil {
		own.changed(state, c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() { // only linger looks at it, which sets it first
		s.lastChange = time.Now()
	}
	if own := connOf(c); state == http.StateHijacked && own != nil {
		own.hijacked = c // until its handler returns
		s.states[c] = state
	} else if state == http.StateClosed || state == http.StateHijacked {
		delete(s.states, c)
	} else {
		s.states[c] = state
	}
	s.gone.Left(len(s.states))
}

// handled notes that the handler of a request has returned. If it took the
// connection over, whoever has the connection now drains it.
func (s *Server) handled(c *conn) {
	c.requests.Add(-1)
	if http.ConnState(c.state.Load()) != http.StateHijacked {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.states, c.hijacked)
	s.gone.Left(len(s.states))
}

// Leave makes each response ask its client to open a new connection for the next
// request.
func (s *Server) Leave() { s.leaving.Store(true) }

// Drain closes the port, serves the requests of clients that had already connected,
// and closes the connections. It cuts requests that are in flight when ctx is done,
// also those whose handler has taken the connection over, and returns an error with
// their number. Clients that have got no part of a response get one with status 503,
// over HTTP/1 without TLS. The contexts of the requests then have a [record.ServerCut] as
// their cause.
func (s *Server) Drain(ctx context.Context) error {
	s.Leave()
	s.closing.Store(true)
	if l, ok := s.listener.(*listener); ok {
		l.drain()
		defer l.drop()
	} else {
		s.listener.Close() // leaves the backlog alone: the socket may be shared with another process
	}
	select {
	case <-s.served:
		s.linger(ctx)
	case <-ctx.Done():
	}
	if s.http.Shutdown(ctx) == nil {
		select {
		case <-s.gone.Empty(): // Shutdown does not wait for connections that were taken over
			return nil
		case <-ctx.Done():
		}
	}
	n, conns := s.cut()
	s.http.Close()
	await(conns)
	return s.Cuts.Count(n, "requests", ctx.Err())
}

// linger waits until no connection is open or all are quiet and have been read: a
// process that gets little time finds requests late. It must be called after the
// last connection was accepted.
func (s *Server) linger(ctx context.Context) {
	s.mu.Lock()
	s.gone.Start(len(s.states))
	s.lastChange = time.Now()
	s.mu.Unlock()
	if end, ok := ctx.Deadline(); ok { // leave half of the time for requests in flight
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	for {
		s.mu.Lock()
		left := Quiet - time.Since(s.lastChange)
		s.mu.Unlock()
		if left <= 0 {
			if !s.unread() {
				return
			}
			left = retry
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

// unread reports whether a request has arrived that the server has not begun to read.
func (s *Server) unread() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, state := range s.states {
		if state != http.StateActive && state != http.StateHijacked && pending(socket(c)) {
			return true
		}
	}
	return false
}

// cut responds to the requests in flight, and returns their number and connections.
func (s *Server) cut() (n int, conns []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, state := range s.states {
		if state != http.StateActive && state != http.StateHijacked {
			continue
		}
		own := connOf(c)
		if own == nil {
			n++
			continue
		}
		n += max(1, int(own.requests.Load())) // none while a header arrives
		own.cut(state)
		conns = append(conns, own)
	}
	return n, conns
}

// await gives the handlers of requests that were cut a moment to return, so that
// these requests are logged and counted before the process ends.
func await(conns []*conn) {
	running := func(c *conn) bool { return c.requests.Load() > 0 }
	for end := time.Now().Add(fresh); slices.ContainsFunc(conns, running) && time.Now().Before(end); {
		time.Sleep(retry)
	}
}

// Close closes the port and all connections.
func (s *Server) Close() error {
	s.closing.Store(true)
	s.listener.Close() // the http.Server knows its listener only after Serve
	err := s.http.Close()
	if l, ok := s.listener.(*listener); ok {
		l.drop()
	}
	return err
}
