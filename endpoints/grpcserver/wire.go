package grpcserver

import (
	"context"
	"errors"
	"net"
	"os"
	"reflect"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// breakable are the connections whose calls can be broken, by the address of
// their client: the very value, which is each connection's own.
type breakable struct {
	credentials.TransportCredentials
	conns sync.Map
}

// ServerHandshake is called at the beginning of a connection. What it returns
// is above TLS.
func (b *breakable) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := b.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return conn, info, err
	}
	c := &wire{Conn: conn, in: frames{left: preface}}
	c.forget = func() { b.conns.Delete(conn.RemoteAddr()) }
	b.conns.Store(conn.RemoteAddr(), c)
	return c, info, nil
}

// wire is a connection into which frames can be put, on either side, between
// those that the client and grpc-go exchange.
type wire struct {
	net.Conn
	forget func()

	reading sync.Mutex // guards what follows, but is not held while waiting for bytes
	in      frames
	unread  []byte // frames to read before what the client sends next
	woken   bool   // the deadline was moved, to look at them

	writing sync.Mutex
	out     frames
	unsent  []byte // a GOAWAY that waits for its place
	told    bool   // the client got one
}

// Close implements net.Conn.
func (c *wire) Close() error {
	c.forget()
	return c.Conn.Close()
}

// Read implements net.Conn. There is only one reader.
func (c *wire) Read(b []byte) (int, error) {
	for {
		n, most := c.put(b)
		if n > 0 || len(b) == 0 {
			return n, nil
		}
		n, err := c.Conn.Read(b[:most])
		if again := c.took(b[:n], err); n > 0 || !again {
			return n, err
		}
	}
}

// put copies frames that wait into b, if they may stand here, or says how much
// to read at most until they may.
func (c *wire) put(b []byte) (n, most int) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.unread) == 0 {
		return 0, len(b)
	}
	if !c.in.between() {
		return 0, min(len(b), c.in.step())
	}
	n = copy(b, c.unread)
	c.unread = c.unread[n:]
	return n, 0
}

// took notes what was read. It is true when there was only the wish that the
// reader looks again.
func (c *wire) took(b []byte, err error) (again bool) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(b) > 0 {
		b = b[c.in.pass(b):]
	}
	if c.woken && errors.Is(err, os.ErrDeadlineExceeded) {
		c.woken = false
		c.Conn.SetReadDeadline(time.Time{}) // there is none of grpc-go once there are calls
		return true
	}
	return false
}

// receive lets grpc-go read a frame as if the client had sent it.
func (c *wire) receive(frame []byte) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.unread = append(c.unread, frame...)
	c.woken = true
	c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// Write implements net.Conn.
func (c *wire) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	sent := 0
	for at := 0; at < len(b); {
		at += c.out.pass(b[at:])
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

// goAway sends the client a GOAWAY, once. It comes before what grpc-go writes
// next, or behind the frame that it is in the middle of.
func (c *wire) goAway(text string) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.told {
		return
	}
	c.told = true
	if frame := goAway(text); c.out.between() {
		c.Conn.Write(frame) // grpc-go meets the error too
	} else {
		c.unsent = frame
	}
}

// wire is the connection of a call, nil when there is no way to break it.
func (c *call) wire() *wire {
	if p, ok := peer.FromContext(c.ctx); ok && c.breakable != nil {
		if w, ok := c.breakable.conns.Load(p.Addr); ok {
			return w.(*wire)
		}
	}
	return nil
}

// SetTrailer adds to the metadata that ends the call.
func (c *call) SetTrailer(name, value string) {
	grpc.SetTrailer(c.ctx, metadata.Pairs(name, value))
}

// GoAway tells the client to leave the connection. Calls on it go on, also
// those that it still begins.
func (c *call) GoAway(why string) {
	if w := c.wire(); w != nil {
		w.goAway(why)
	}
}

// Close closes the connection, with every call on it.
func (c *call) Close() {
	if w := c.wire(); w != nil {
		w.Close()
	}
}

// resetWithin is how long a client may leave a frame half sent before a reset
// of a stream becomes the end of the connection.
const resetWithin = time.Second

// Reset ends the call by RST_STREAM. There is no way to ask grpc-go for that,
// but it answers a mistake of the client in a stream so. The client made none:
// the frame is put behind what it sent.
func (c *call) Reset() {
	w, stream := c.wire(), streamOf(c.ctx)
	if w == nil || stream == 0 {
		c.Close()
		return
	}
	w.receive(mistake(stream))
	select {
	case <-c.ctx.Done(): // nothing of the call is sent any more
	case <-time.After(resetWithin):
		w.Close()
	}
}

// streamOf is the number of the stream of a call, 0 when it cannot be found.
// grpc-go keeps it to itself.
func streamOf(ctx context.Context) uint32 {
	s := reflect.Indirect(reflect.ValueOf(grpc.ServerTransportStreamFromContext(ctx)))
	if s.Kind() != reflect.Struct {
		return 0
	}
	id := s.FieldByName("id")
	if id.Kind() != reflect.Uint32 {
		return 0
	}
	return uint32(id.Uint())
}
