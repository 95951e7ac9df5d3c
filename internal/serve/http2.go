package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"
)

// Names in the table of protocols of an http.Server. The second one is not
// documented: TestBreakHTTP2 fails when a version of Go no longer has it.
const (
	protocolHTTP2     = "h2"
	protocolPlainText = "unencrypted_http2"
)

// Parts of HTTP/2 (RFC 9113, sections 3.4, 4.1 and 6).
const (
	clientPreface    = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeaderLen   = 9
	typeHeaders      = 0x1
	typeRSTStream    = 0x3
	typePushPromise  = 0x5
	typeGoAway       = 0x7
	typeContinuation = 0x9
	flagEndHeaders   = 0x4
	maxStreamID      = 1<<31 - 1
)

const (
	prefaceTimeout = 10 * time.Second
	linger         = 500 * time.Millisecond // for a client to read the last frame and close
)

// BreakHTTP2 makes the connections over HTTP/2 available to handlers as
// [HTTP2Conn]. Call it before Serve. net/http has no API to end a stream or a
// connection by a chosen code, so the frames that it writes are changed on their way.
func (s *Server) BreakHTTP2() {
	srv, conf := s.http, s.http.TLSConfig
	srv.TLSConfig = nil     // with one that lacks NextProtos, Serve would turn HTTP/2 off
	srv.Serve(noListener{}) // fills TLSNextProto
	srv.TLSConfig = conf
	serve := srv.TLSNextProto[protocolPlainText]
	if serve == nil { // HTTP/2 is off
		return
	}
	srv.TLSNextProto[protocolPlainText] = func(srv *http.Server, fake *tls.Conn, h http.Handler) {
		if p, ok := fake.NetConn().(interface{ UnencryptedNetConn() net.Conn }); ok {
			c := &HTTP2Conn{Conn: p.UnencryptedNetConn()}
			serve(srv, tls.Client(plainText{conn: c}, nil), c.handler(h))
		}
	}
	if srv.TLSNextProto[protocolHTTP2] != nil {
		srv.TLSNextProto[protocolHTTP2] = func(srv *http.Server, conn *tls.Conn, h http.Handler) {
			if !readPreface(conn) { // which net/http expects to be read without TLS
				conn.Close()
				return
			}
			c := &HTTP2Conn{Conn: conn}
			serve(srv, tls.Client(plainText{conn: &secure{c, conn}}, nil), c.handler(h))
		}
	}
	if track := srv.ConnState; track != nil {
		srv.ConnState = func(c net.Conn, state http.ConnState) {
			switch own := c.(type) {
			case *HTTP2Conn:
				c = own.Conn
			case *secure:
				c = own.Conn
			}
			track(c, state)
		}
	}
}

// noListener is a listener without connections.
type noListener struct{}

func (noListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (noListener) Close() error              { return nil }
func (noListener) Addr() net.Addr            { return &net.TCPAddr{} }

// plainText gives net/http a connection that carries HTTP/2 without further TLS, in
// the way in which it does so itself.
type plainText struct {
	net.Conn // nil
	conn     net.Conn
}

func (p plainText) UnencryptedNetConn() net.Conn { return p.conn }

// secure is a connection above TLS. net/http gives requests the state of TLS.
type secure struct {
	*HTTP2Conn
	tls *tls.Conn
}

func (s *secure) ConnectionState() tls.ConnectionState { return s.tls.ConnectionState() }

func readPreface(c net.Conn) bool {
	c.SetReadDeadline(time.Now().Add(prefaceTimeout))
	defer c.SetReadDeadline(time.Time{})
	b := make([]byte, len(clientPreface))
	_, err := io.ReadFull(c, b)
	return err == nil && string(b) == clientPreface
}

// HTTP2Conn is a connection over HTTP/2 whose frames can be changed.
type HTTP2Conn struct {
	net.Conn

	mu      sync.Mutex // guards the fields below
	header  [frameHeaderLen]byte
	begun   bool // a frame was written
	have    int  // bytes of header that are known
	left    int  // bytes of the payload that are still to come
	inBlock bool // CONTINUATION frames are still to come (RFC 9113, section 4.3)
	codes   map[uint32]uint32
	code    []byte // of the RST_STREAM frame that is being written, as far as it is still to come
	last    []byte // frame to send at the end of the current one, before the end
	ending  bool
	ended   bool
}

type http2Key struct{}

// handler returns the handler of the connection's requests, which find the
// connection in their context.
func (c *HTTP2Conn) handler(h http.Handler) http.Handler {
	ctx := context.Background()
	if b, ok := h.(interface{ BaseContext() context.Context }); ok {
		ctx = b.BaseContext()
	}
	return &withContext{h, context.WithValue(ctx, http2Key{}, c)}
}

// withContext is a handler with the base context of its connection.
type withContext struct {
	http.Handler
	ctx context.Context
}

// BaseContext is the method by which net/http finds the context.
func (h *withContext) BaseContext() context.Context { return h.ctx }

// HTTP2Of returns the connection of a request over HTTP/2 and the number of its
// stream. It returns nil when the server does not call BreakHTTP2.
func HTTP2Of(w http.ResponseWriter, r *http.Request) (c *HTTP2Conn, stream uint32) {
	c, _ = r.Context().Value(http2Key{}).(*HTTP2Conn)
	if c == nil {
		return nil, 0
	}
	return c, streamOf(w)
}

// streamOf returns the number of the stream that w responds on, or 0 when it cannot
// be found. net/http has no API for it, so it is read by reflection from its
// unexported fields. TestBreakHTTP2 fails when a version of Go no longer has them.
func streamOf(w http.ResponseWriter) uint32 {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	v := reflect.ValueOf(w)
	for _, name := range []string{"rws", "stream", "id"} {
		if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return 0
		}
		v = v.Elem().FieldByName(name)
	}
	if v.Kind() != reflect.Uint32 {
		return 0
	}
	return uint32(v.Uint())
}

// ResetAs sets the code of the RST_STREAM frame that ends a stream when its handler
// panics with http.ErrAbortHandler.
func (c *HTTP2Conn) ResetAs(stream, code uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.codes == nil {
		c.codes = map[uint32]uint32{}
	}
	c.codes[stream] = code
}

// LastStream is the highest number of a stream.
const LastStream = maxStreamID

// GoAway sends the client a GOAWAY frame with a code and the last stream that the
// server may have processed, and ends the connection, with every request on it.
func (c *HTTP2Conn) GoAway(code, last uint32) {
	frame := binary.BigEndian.AppendUint32([]byte{0, 0, 8, typeGoAway, 0, 0, 0, 0, 0}, last)
	c.end(binary.BigEndian.AppendUint32(frame, code))
}

// End ends the connection, with every request on it.
func (c *HTTP2Conn) End() { c.end(nil) }

func (c *HTTP2Conn) end(last []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return
	}
	c.ending, c.last = true, last
	c.Conn.SetWriteDeadline(time.Now().Add(linger))
	if c.between() {
		c.finishLocked()
	}
}

// between reports whether a frame may be inserted here: not before the server's
// SETTINGS, which are the first frame (RFC 9113, section 3.4).
func (c *HTTP2Conn) between() bool { return c.begun && c.have == 0 && c.left == 0 && !c.inBlock }

// finishLocked closes the server's side of the connection. The client reads the last
// frame and closes its own. The caller must hold c.mu.
func (c *HTTP2Conn) finishLocked() {
	c.ended = true
	c.Conn.Write(c.last)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		c.Conn.Close()
		return
	}
	if t, ok := c.Conn.(*tls.Conn); ok { // which only sends close_notify
		if half, ok := t.NetConn().(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
	}
	time.AfterFunc(linger, func() { c.Conn.Close() })
}

// Write implements net.Conn. What net/http writes after the end is dropped.
func (c *HTTP2Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return len(b), nil
	}
	out := b
	for at := 0; at < len(b); {
		if c.left > 0 {
			k := min(c.left, len(b)-at)
			if len(c.code) > 0 {
				if &out[0] == &b[0] {
					out = bytes.Clone(b)
				}
				c.code = c.code[copy(out[at:], c.code):]
			}
			at, c.left = at+k, c.left-k
		} else {
			k := copy(c.header[c.have:], b[at:])
			at, c.have = at+k, c.have+k
			if c.have < frameHeaderLen {
				break
			}
			c.begin()
		}
		if c.ending && c.between() {
			_, err := c.Conn.Write(out[:at])
			c.finishLocked()
			return len(b), err
		}
	}
	return c.Conn.Write(out)
}

// begin reads the complete header of a frame.
func (c *HTTP2Conn) begin() {
	c.begun = true
	c.have, c.left = 0, int(binary.BigEndian.Uint32(c.header[:])>>8)
	switch c.header[3] {
	case typeHeaders, typePushPromise, typeContinuation:
		c.inBlock = c.header[4]&flagEndHeaders == 0
	case typeRSTStream:
		stream := binary.BigEndian.Uint32(c.header[5:]) & maxStreamID
		if code, ok := c.codes[stream]; ok {
			c.code = binary.BigEndian.AppendUint32(nil, code)
			delete(c.codes, stream)
		}
	}
}
