package serve

import (
	"net"
	"sync"
)

// listener is a TCP listener that loses no connection when it closes. Closing a
// socket resets the connections in its backlog: those that clients have opened and
// the server has not accepted yet. A listener accepts them first. It must be the
// only user of its socket. See docs/shutdown.md for what that saves.
type listener struct {
	net.Listener

	mu       sync.Mutex
	accepted []net.Conn // from the backlog, for Accept to return
}

// drain closes the port. Accept still returns the connections of the backlog, until
// drop is called.
func (l *listener) drain() {
	if tcp, ok := l.Listener.(*net.TCPListener); ok {
		l.mu.Lock()
		l.accepted = append(l.accepted, acceptBacklog(tcp)...)
		l.mu.Unlock()
	}
	l.Close()
}

// drop closes the connections of the backlog that Accept has not returned.
func (l *listener) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.accepted {
		c.Close()
	}
	l.accepted = nil
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		return c, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.accepted) == 0 {
		return nil, err
	}
	c, l.accepted = l.accepted[0], l.accepted[1:]
	return c, nil
}
