package grpcserver

import (
	"net"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
)

// handshakes are the connections on which the client has not sent its first frame.
type handshakes struct {
	mu       sync.Mutex
	accepted map[*serve.Conn]time.Time // when each connection was
	queued   int                       // connections that were accepted and that grpc-go has not begun to serve
	begun    drain.Signal              // of queued
}

// listener returns a listener whose connections are added.
func (hs *handshakes) listener(l net.Listener) net.Listener { return &counted{l, hs} }

type counted struct {
	net.Listener
	handshakes *handshakes
}

// Accept implements net.Listener.
func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if pooled, ok := c.(*serve.Conn); ok && err == nil {
		l.handshakes.add(pooled)
	}
	return c, err
}

func (hs *handshakes) add(c *serve.Conn) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.accepted[c] = time.Now()
	hs.queued++
}

// begin notes that grpc-go has begun to serve a connection.
func (hs *handshakes) begin() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.queued--
	hs.begun.Left(hs.queued)
}

// end notes that the client has sent its first frame, or that the connection has
// ended. It may be called more than once, also with nil.
func (hs *handshakes) end(c *serve.Conn) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	delete(hs.accepted, c)
}

// allBegun returns a channel that is closed when grpc-go has begun to serve every
// connection. It must be called after the last connection was accepted.
func (hs *handshakes) allBegun() <-chan struct{} {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.begun.Start(hs.queued)
	return hs.begun.Empty()
}

// closeSilent closes the connections that were accepted some time ago and whose
// clients have sent nothing that was not read.
func (hs *handshakes) closeSilent() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for c, accepted := range hs.accepted {
		if time.Since(accepted) >= serve.Quiet && c.Silent() {
			c.Close()
		}
	}
}

// closeSilent closes, until done is closed, the connections whose clients would keep
// a drain from its end: grpc-go waits 10 seconds for a client's first frame, and 5
// seconds for the response to a ping that comes with the GOAWAY. A client that has
// begun no call and sent nothing for longer than a call can be under way is not
// waited for.
func (cs *connections) closeSilent(done <-chan struct{}) {
	const interval = serve.Quiet / 20
	for began := time.Now(); ; {
		cs.handshakes.closeSilent()
		if time.Since(began) >= serve.Quiet {
			cs.conns.Range(func(_, c any) bool {
				c.(*frameConn).closeIfSilent()
				return true
			})
		}
		select {
		case <-time.After(interval):
		case <-done:
			return
		}
	}
}

// closeIfSilent closes the connection if no call is open and no data has arrived
// that was not read.
func (c *frameConn) closeIfSilent() {
	if pool := c.account.pool; pool != nil && c.account.empty() && pool.Silent() {
		c.Close()
	}
}
