package grpcserver

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// breakable wraps each connection in a frameConn. conns holds them by the
// client's address: the net.Addr value itself, which is unique to a connection.
type breakable struct {
	credentials.TransportCredentials
	conns sync.Map
}

// ServerHandshake runs at the start of a connection. It wraps the connection that
// TLS returns, which carries plain HTTP/2 frames.
func (b *breakable) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := b.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return conn, info, err
	}
	c := &frameConn{Conn: conn, in: frames{left: preface}}
	c.forget = func() { b.conns.Delete(conn.RemoteAddr()) }
	b.conns.Store(conn.RemoteAddr(), c)
	return c, info, nil
}

// frameConn is an HTTP/2 connection into which frames can be inserted between
// those that the client and grpc-go exchange, in both directions.
type frameConn struct {
	net.Conn
	forget func()

	reading     sync.Mutex // guards the fields below; not held while waiting for data
	in          frames
	unread      []byte // inserted frames that grpc-go reads before further data from the client
	interrupted bool   // the read deadline was moved to make the reader look at unread

	writing    sync.Mutex // guards the fields below
	out        frames
	unsent     []byte // inserted frames that wait for the end of a frame
	goAwaySent bool
}

// Close implements net.Conn.
func (c *frameConn) Close() error {
	c.forget()
	return c.Conn.Close()
}

// Read implements net.Conn. There is only one reader.
func (c *frameConn) Read(b []byte) (int, error) {
	for {
		n, most := c.readInserted(b)
		if n > 0 || len(b) == 0 {
			return n, nil
		}
		n, err := c.Conn.Read(b[:most])
		if retry := c.afterRead(b[:n], err); n > 0 || !retry {
			return n, err
		}
	}
}

// readInserted copies inserted frames into b if the connection is between two
// frames. Otherwise it returns the number of bytes that may be read from the
// client before the next place for them.
func (c *frameConn) readInserted(b []byte) (n, most int) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.unread) == 0 {
		return 0, len(b)
	}
	if !c.in.between() {
		return 0, min(len(b), c.in.remaining())
	}
	n = copy(b, c.unread)
	c.unread = c.unread[n:]
	return n, 0
}

// afterRead follows the frames in b, which was read from the client. It reports
// whether err only means that the read was interrupted for an inserted frame.
func (c *frameConn) afterRead(b []byte, err error) (retry bool) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(b) > 0 {
		b = b[c.in.advance(b):]
	}
	if c.interrupted && errors.Is(err, os.ErrDeadlineExceeded) {
		c.interrupted = false
		c.Conn.SetReadDeadline(time.Time{}) // grpc-go sets none after the handshake
		return true
	}
	return false
}

// receive makes grpc-go read a frame as if the client had sent it.
func (c *frameConn) receive(frame []byte) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.unread = append(c.unread, frame...)
	c.interrupted = true
	c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// Write implements net.Conn. It inserts waiting frames at the end of a frame.
func (c *frameConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	sent := 0
	for at := 0; at < len(b); {
		at += c.out.advance(b[at:])
		if c.unsent == nil || !c.out.between() {
			continue
		}
		if _, err := c.Conn.Write(append(b[sent:at:at], c.unsent...)); err != nil {
			return sent, err
		}
		sent, c.unsent = at, nil
	}
	if sent == len(b) {
		return sent, nil
	}
	n, err := c.Conn.Write(b[sent:])
	return sent + n, err
}

// goAway sends the client a GOAWAY, at most once.
func (c *frameConn) goAway(code uint32, reason string) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.goAwaySent {
		return
	}
	c.goAwaySent = true
	c.insertLocked(goAwayFrame(code, reason))
}

// send sends the client a frame of the server's own.
func (c *frameConn) send(frame []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.insertLocked(frame)
}

// insertLocked sends a frame immediately, or after the frame that grpc-go has
// written only a part of. The caller must hold c.writing.
func (c *frameConn) insertLocked(frame []byte) {
	if c.out.between() {
		c.Conn.Write(frame) // an error also occurs in grpc-go's next write
	} else {
		c.unsent = append(c.unsent, frame...)
	}
}

// conn returns the connection of a call, or nil when no module breaks
// connections.
func (c *call) conn() *frameConn {
	if p, ok := peer.FromContext(c.ctx); ok && c.breakable != nil {
		if fc, ok := c.breakable.conns.Load(p.Addr); ok {
			return fc.(*frameConn)
		}
	}
	return nil
}

// SetTrailer adds a name and a value to the call's trailer.
func (c *call) SetTrailer(name, value string) {
	grpc.SetTrailer(c.ctx, metadata.Pairs(name, value))
}

// GoAway asks the client to leave the connection. Calls on the connection
// continue, and the server still serves calls that the client starts on it.
func (c *call) GoAway(code uint32, reason string) {
	if fc := c.conn(); fc != nil {
		fc.goAway(code, reason)
	}
}

// Close closes the connection, with all calls on it.
func (c *call) Close() {
	if fc := c.conn(); fc != nil {
		fc.Close()
	}
}
