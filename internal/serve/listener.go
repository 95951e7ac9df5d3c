package serve

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// listener is a TCP listener that loses no connection when it closes. Closing a
// socket resets the connections in its backlog: those that clients have opened and
// the server has not accepted yet. A listener accepts them first. It must be the
// only user of its socket. See docs/shutdown.md for what that saves.
//
// While the process or the system lacks what a connection needs, above all file
// descriptors, Accept waits and tries again.
type listener struct {
	net.Listener
	failed func(error) // is called at most once per reportInterval
	closed chan struct{}
	close  func() // closes closed

	reported time.Time // last call of failed, used by Accept only, which has one caller

	mu       sync.Mutex
	accepted []net.Conn // from the backlog, for Accept to return
}

// Times of a listener that lacks resources.
const (
	retryInterval  = 10 * time.Millisecond
	reportInterval = time.Second
)

func newListener(l net.Listener, failed func(error)) *listener {
	closed := make(chan struct{})
	return &listener{Listener: l, failed: failed, closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.close()
	return l.Listener.Close()
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

// CloseAfterBacklog closes a listener of [Listen]. Its Accept still returns the
// connections that clients had already opened, and then an error. It closes any other
// listener as usual.
func CloseAfterBacklog(l net.Listener) {
	if own, ok := l.(*listener); ok {
		own.drain()
		return
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
	c, err := l.accept()
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

// accept accepts a connection, if need be when there are resources for it.
func (l *listener) accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if !exhausted(err) {
			return c, err
		}
		if time.Since(l.reported) >= reportInterval {
			l.reported = time.Now()
			l.failed(err)
		}
		select {
		case <-l.closed:
		case <-time.After(retryInterval):
		}
	}
}

// exhausted reports whether err is a lack of resources, which may pass.
func exhausted(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
