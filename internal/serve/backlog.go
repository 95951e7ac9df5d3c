package serve

import (
	"net"
	"sync"
)

// lastCall is a listener that is closed without losing connections: those that
// clients have opened and nobody has accepted yet, which a listener resets when
// it closes, are accepted first. It is for a socket that nobody else has.
type lastCall struct {
	net.Listener

	mu   sync.Mutex
	left []net.Conn
}

// end closes the listener. Accept goes on for what is left, until drop.
func (l *lastCall) end() {
	if tcp, ok := l.Listener.(*net.TCPListener); ok {
		l.mu.Lock()
		l.left = append(l.left, backlog(tcp)...)
		l.mu.Unlock()
	}
	l.Close()
}

// drop closes what is left.
func (l *lastCall) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.left {
		c.Close()
	}
	l.left = nil
}

// Accept implements net.Listener.
func (l *lastCall) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		return c, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.left) == 0 {
		return nil, err
	}
	c, l.left = l.left[0], l.left[1:]
	return c, nil
}
