package grpcserver

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/seed-4591fe7d/podinfo/internal/serve"
)

// connections wraps each connection in a frameConn. conns holds them by the
// client's address: the net.Addr value itself, which is unique to a connection.
type connections struct {
	credentials.TransportCredentials
	accounts   accounts
	ids        streamIDs
	conns      sync.Map
	handshakes handshakes
	draining   atomic.Bool // clients get a GOAWAY at the beginning of their connection
}

// ServerHandshake runs at the start of a connection. It wraps the connection that
// TLS returns, which carries plain HTTP/2 frames.
func (cs *connections) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	creds := cs.TransportCredentials
	pool, _ := raw.(*serve.Conn)
	if pool != nil {
		cs.handshakes.begin()
	} else {
		creds = insecure.NewCredentials() // an ownConn
	}
	conn, info, err := creds.ServerHandshake(raw)
	if err != nil {
		cs.handshakes.end(pool)
		return conn, info, err
	}
	c := &frameConn{Conn: conn, stall: cs.accounts.stall, begun: func() { cs.handshakes.end(pool) }}
	c.forget = func() { cs.handshakes.end(pool); cs.conns.Delete(conn.RemoteAddr()) }
	if pool != nil {
		c.draining = &cs.draining
	}
	c.account = account{accounts: &cs.accounts, conn: c, pool: pool, streams: map[uint32]*stream{}, class: serve.Slow}
	c.in = frames{left: preface, visit: c.account.read}
	c.out = frames{visit: c.account.written}
	cs.conns.Store(conn.RemoteAddr(), c)
	return c, info, nil
}

// of returns the connection of a call, nil if it is not known.
func (cs *connections) of(ctx context.Context) *frameConn {
	if p, ok := peer.FromContext(ctx); ok && cs != nil {
		if c, ok := cs.conns.Load(p.Addr); ok {
			return c.(*frameConn)
		}
	}
	return nil
}

// frameConn is an HTTP/2 connection into which frames can be inserted between
// those that the client and grpc-go exchange, in both directions.
type frameConn struct {
	net.Conn
	forget   func()
	begun    func()       // called after the first frame of the client, once; only the reader uses it
	draining *atomic.Bool // whether to send a GOAWAY; nil for never
	account  account
	stall    time.Duration // for a write, 0 for no limit
	control  int           // frames other than DATA since throttle has waited; only the reader uses it

	reading     sync.Mutex // guards the fields below; not held while waiting for data
	in          frames
	abusive     bool   // the client has violated a limit that no other client does
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
	c.account.close()
	return c.Conn.Close()
}

// Read implements net.Conn. There is only one reader.
func (c *frameConn) Read(b []byte) (int, error) {
	for {
		c.throttle()
		n, most, err := c.readInserted(b)
		if n > 0 || len(b) == 0 || err != nil {
			return n, err
		}
		n, err = c.Conn.Read(b[:most])
		retry := c.afterRead(b[:n], err)
		if err != nil && !retry {
			c.account.lost()
		}
		if n > 0 || !retry {
			return n, err
		}
	}
}

// throttle waits for a write that is in progress when the client has sent many
// frames that need a response. grpc-go queues up to 10,000 responses for a client
// that does not read, and they may be large.
func (c *frameConn) throttle() {
	if c.control >= maxControl {
		c.writing.Lock()
		c.control = 0
		c.writing.Unlock()
	}
}

// errAbusive ends the connection of a client that violates the server's limits.
var errAbusive = errors.New("the client exceeds the limits of the connection")

// readInserted copies inserted frames into b if the connection is between two
// frames. Otherwise it returns the number of bytes that may be read from the
// client before the next place for them.
func (c *frameConn) readInserted(b []byte) (n, most int, err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	switch {
	case c.abusive:
		return 0, 0, errAbusive
	case len(c.unread) == 0:
		return 0, len(b), nil
	case !c.in.between():
		return 0, min(len(b), c.in.remaining()), nil
	}
	n = copy(b, c.unread)
	c.unread = c.unread[n:]
	return n, 0, nil
}

// afterRead follows the frames in b, which was read from the client. It reports
// whether err only means that the read was interrupted for an inserted frame.
func (c *frameConn) afterRead(b []byte, err error) (retry bool) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(b) > 0 {
		b = b[c.in.advance(b):]
		if c.begun != nil && c.in.frame && c.in.between() {
			c.begun()
			c.begun = nil
		}
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
	if c.draining != nil && c.draining.Load() {
		c.queueGoAwayLocked()
	}
	sent := 0
	for at := 0; at < len(b); {
		at += c.out.advance(b[at:])
		if c.unsent == nil || !c.out.between() {
			continue
		}
		if _, err := c.write(append(b[sent:at:at], c.unsent...)); err != nil {
			return sent, err
		}
		sent, c.unsent = at, nil
	}
	if sent == len(b) {
		return sent, nil
	}
	n, err := c.write(b[sent:])
	return sent + n, err
}

// write writes within the stall timeout. The caller must hold c.writing.
func (c *frameConn) write(b []byte) (int, error) {
	if c.stall == 0 {
		return c.Conn.Write(b)
	}
	c.Conn.SetWriteDeadline(time.Now().Add(c.stall))
	n, err := c.Conn.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.account.stallAll()
		return n, err
	}
	c.Conn.SetWriteDeadline(time.Time{}) // TLS may have to write during a later read
	return n, err
}

// goAway sends the client a GOAWAY, at most once.
func (c *frameConn) goAway(code uint32, reason string) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if !c.goAwaySent {
		c.goAwaySent = true
		c.insertLocked(goAwayFrame(maxStreamID, code, reason))
	}
}

// queueGoAwayLocked makes Write send a GOAWAY after the current frame, unless one was
// sent. The caller must hold c.writing.
func (c *frameConn) queueGoAwayLocked() {
	if !c.goAwaySent {
		c.goAwaySent = true
		c.unsent = append(c.unsent, goAwayFrame(maxStreamID, codeNone, leaving)...)
	}
}

// leaving is why clients get a GOAWAY when the server is about to stop.
const leaving = "shutting down"

// leave asks the client to leave the connection, if it has begun.
func (c *frameConn) leave() {
	c.writing.Lock()
	begun := c.out.frame
	c.writing.Unlock()
	if begun {
		c.goAway(codeNone, leaving)
	}
}

// send sends the client a frame of the server's own.
func (c *frameConn) send(frame []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.insertLocked(frame)
}

// reset ends a stream for grpc-go as if the client had reset it, and for the
// client.
func (c *frameConn) reset(stream uint32) {
	c.receive(resetFrame(stream, codeCancel))
	c.account.end(stream)
	c.send(resetFrame(stream, codeCalm))
}

// insertLocked sends a frame immediately, or after the frame that grpc-go has
// written only a part of. The caller must hold c.writing.
func (c *frameConn) insertLocked(frame []byte) {
	if c.out.between() {
		c.write(frame) // an error also occurs in grpc-go's next write
	} else {
		c.unsent = append(c.unsent, frame...)
	}
}

// SetHeader adds a name and a value to the call's header, or to its trailer if it
// fails before the first message.
func (c *call) SetHeader(name, value string) {
	if c.header == nil {
		c.header = c.headerSpace[:0]
	}
	c.header = append(c.header, name, value)
}

// beginResponse passes the header on to grpc-go, before it sends the response.
func (c *call) beginResponse() {
	if c.header != nil {
		grpc.SetHeader(c.ctx, c.module.headers.metadata(c.header))
		c.header = nil
	}
}

// failBeforeResponse makes the header a part of the trailer. The two are then sent as
// one, which leaves clients free to retry: they may not once a response has begun
// (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
func (c *call) failBeforeResponse() {
	if c.header != nil {
		grpc.SetTrailer(c.ctx, c.module.headers.metadata(c.header))
		c.header = nil
	}
}

// lastHeader is the header of the last call as metadata. Most calls have the same one,
// which grpc-go copies.
type lastHeader struct{ atomic.Pointer[headerMetadata] }

type headerMetadata struct {
	pairs []string // names and values
	md    metadata.MD
}

// metadata returns the names and values as metadata, which must not be changed.
func (l *lastHeader) metadata(pairs []string) metadata.MD {
	last := l.Load()
	if last == nil || !slices.Equal(last.pairs, pairs) {
		last = &headerMetadata{slices.Clone(pairs), metadata.Pairs(pairs...)}
		l.Store(last)
	}
	return last.md
}

// SetTrailer adds a name and a value to the call's trailer.
func (c *call) SetTrailer(name, value string) {
	grpc.SetTrailer(c.ctx, metadata.Pairs(name, value))
}

// GoAway asks the client to leave the connection. Calls on the connection
// continue, and the server still serves calls that the client starts on it.
func (c *call) GoAway(code uint32, reason string) {
	if c.conn != nil {
		c.conn.goAway(code, reason)
	}
}

// Refuse tells the client that neither this call nor a later one on the connection was
// processed, and closes the connection.
func (c *call) Refuse(code uint32, reason string) {
	if c.conn != nil && c.id > 0 {
		c.conn.send(goAwayFrame(max(c.id, 2)-2, code, reason)) // clients have the odd numbers
	}
	c.Close()
}

// Close closes the connection, with all calls on it.
func (c *call) Close() {
	if c.conn != nil {
		c.conn.Close()
	}
}
