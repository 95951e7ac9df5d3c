package podinfotest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how many bytes may be in flight in one direction, like the buffers of
// a TCP connection.
const window = 64 << 10

// memory is a listener for in-memory connections. All waits use a sync.Cond, so
// that the fake clock of a testing/synctest bubble advances during them. The
// errors are those of TCP.
type memory struct {
	addr *net.TCPAddr

	mu      sync.Mutex
	arrived *sync.Cond
	backlog []*conn
	port    int // port of the next client
	closed  bool
}

// The addresses of in-memory connections are reserved for documentation
// (TEST-NET-1, RFC 5737).
var (
	serverIP = net.IPv4(192, 0, 2, 1)
	clientIP = net.IPv4(192, 0, 2, 2)
)

const (
	firstPort = 1024
	lastPort  = 65535
)

func newMemory(port int) *memory {
	l := &memory{addr: &net.TCPAddr{IP: serverIP, Port: port}, port: firstPort}
	l.arrived = sync.NewCond(&l.mu)
	return l
}

// dial connects to the listener. Each connection has a different client address.
func (l *memory) dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: l.addr, Err: err}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: l.addr, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	client, server := connect(&net.TCPAddr{IP: clientIP, Port: l.port}, l.addr)
	if l.port++; l.port > lastPort {
		l.port = firstPort
	}
	l.backlog = append(l.backlog, server)
	l.arrived.Signal()
	return client, nil
}

// Accept implements net.Listener.
func (l *memory) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.backlog) == 0 {
		if l.closed {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
		}
		l.arrived.Wait()
	}
	c := l.backlog[0]
	l.backlog = l.backlog[1:]
	return c, nil
}

// Close closes the listener and resets the connections in its backlog.
func (l *memory) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.backlog {
		c.SetLinger(0)
		c.Close()
	}
	l.closed, l.backlog = true, nil
	l.arrived.Broadcast()
	return nil
}

// Addr implements net.Listener.
func (l *memory) Addr() net.Addr { return l.addr }

// conn is one end of an in-memory connection. It behaves like a TCP connection on
// Linux: Close after SetLinger(0), or with unread bytes, is a reset. The peer can
// still read the bytes that had arrived before the reset.
type conn struct {
	both          *sync.Cond // shared by both ends; signals every change
	peer          *conn
	local, remote *net.TCPAddr

	// both.L guards the fields below.
	in       []byte // arrived and not yet read
	eof      bool   // no bytes follow in
	reset    bool   // the peer has reset the connection
	shut     bool   // this end sends no more bytes
	closed   bool
	abortive bool // Close is a reset

	reading, writing deadline
}

// deadline is the time after which reads, or writes, fail.
type deadline struct {
	timer  *time.Timer
	passed bool
}

func connect(client, server *net.TCPAddr) (*conn, *conn) {
	both := sync.NewCond(new(sync.Mutex))
	c, s := &conn{both: both, local: client, remote: server}, &conn{both: both, local: server, remote: client}
	c.peer, s.peer = s, c
	return c, s
}

func (c *conn) fail(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	c.both.L.Lock()
	defer c.both.L.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.fail("read", net.ErrClosed)
		case c.reading.passed:
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		case len(c.in) > 0:
			n := copy(b, c.in)
			if c.in = c.in[n:]; len(c.in) == 0 {
				c.in = nil
			}
			c.both.Broadcast()
			return n, nil
		case c.reset:
			return 0, c.fail("read", syscall.ECONNRESET)
		case c.eof:
			return 0, io.EOF
		}
		c.both.Wait()
	}
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (n int, err error) {
	c.both.L.Lock()
	defer c.both.L.Unlock()
	for {
		switch room := window - len(c.peer.in); {
		case c.closed:
			return n, c.fail("write", net.ErrClosed)
		case c.writing.passed:
			return n, c.fail("write", os.ErrDeadlineExceeded)
		case c.reset:
			return n, c.fail("write", syscall.ECONNRESET)
		case c.shut, c.peer.closed:
			return n, c.fail("write", syscall.EPIPE)
		case n == len(b):
			return n, nil
		case room > 0:
			part := b[n:min(len(b), n+room)]
			c.peer.in = append(c.peer.in, part...)
			n += len(part)
			c.both.Broadcast()
			continue
		}
		c.both.Wait()
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.both.L.Lock()
	defer c.both.L.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	if c.abortive || len(c.in) > 0 {
		c.peer.reset = true
	}
	c.closed, c.in, c.peer.eof = true, nil, true
	c.reading.stop()
	c.writing.stop()
	c.both.Broadcast()
	return nil
}

// CloseWrite ends this end's direction: the peer reads EOF.
func (c *conn) CloseWrite() error {
	c.both.L.Lock()
	defer c.both.L.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	c.shut, c.peer.eof = true, true
	c.both.Broadcast()
	return nil
}

// SetLinger makes Close a reset if seconds is 0.
func (c *conn) SetLinger(seconds int) error {
	c.both.L.Lock()
	defer c.both.L.Unlock()
	c.abortive = seconds == 0
	return nil
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.limit(&c.reading, t) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.limit(&c.writing, t) }

func (c *conn) limit(d *deadline, t time.Time) error {
	c.both.L.Lock()
	defer c.both.L.Unlock()
	if c.closed {
		return c.fail("set", net.ErrClosed)
	}
	d.stop()
	left := time.Until(t)
	if d.passed = !t.IsZero() && left <= 0; d.passed || t.IsZero() {
		c.both.Broadcast()
		return nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		c.both.L.Lock()
		defer c.both.L.Unlock()
		if d.timer == timer { // no later deadline was set
			d.passed = true
			c.both.Broadcast()
		}
	})
	d.timer = timer
	return nil
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
