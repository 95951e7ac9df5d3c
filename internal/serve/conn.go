package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// Limits bounds what the clients of a Server may hold.
type Limits struct {
	Pool *Pool

	// Streams is the number of requests that an HTTP/2 connection may carry at
	// the same time. The connection counts as that many in the pool.
	Streams int

	// Stall is how long a request's body or a response may stand still. The
	// deadlines of the http.Server apply as well.
	Stall time.Duration

	// Budget is where memory for long request headers is reserved.
	Budget *budget.Budget

	// Header is added to the responses to clients that there is no room for.
	Header http.Header
}

// refusal returns the response to a client that there is no room for.
func (limits *Limits) refusal() string {
	return limits.unavailable("Retry-After: 1\r\n", "the server is overloaded: try again later")
}

// unavailable returns the text of a response with status 503 that ends the connection,
// with a line for its header. It is written to the connection itself where net/http
// cannot respond.
func (limits *Limits) unavailable(line, message string) string {
	var header strings.Builder
	limits.Header.Write(&header) // a strings.Builder returns no error
	body := fmt.Sprintf("{\n  \"code\": 503,\n  \"message\": %q\n}", message)
	return fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\n%sConnection: close\r\nContent-Length: %d\r\n"+
		"Content-Type: application/json; charset=utf-8\r\n%sX-Content-Type-Options: nosniff\r\n\r\n%s", header.String(), len(body), line, body)
}

// What a request's header takes before it is complete. net/http reads the text
// into a buffer of 4 KiB and makes a map of its lines, in which short lines take
// many times their size.
const (
	freeHeader = 4 << 10 // bytes
	freeLines  = 64
	byteCost   = 2   // bytes of memory for each further byte
	lineCost   = 128 // bytes of memory for each further line
	tlsCost    = 20  // bytes of memory for each further byte when the lines are encrypted
)

// Frames that net/http does not write.
const (
	http2Ahead   = 4 << 10                                  // bytes read over HTTP/2 while a write waits for the client
	http2Refusal = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + // SETTINGS
		http2GoAway + "\x00\x00\x00\x00" + "\x00\x00\x00\x0b" // ENHANCE_YOUR_CALM
	http2Goodbye = http2GoAway + "\x7f\xff\xff\xff" + "\x00\x00\x00\x00" // NO_ERROR
	http2GoAway  = "\x00\x00\x08\x07\x00\x00\x00\x00\x00"

	// http2Preface begins a connection that speaks HTTP/2 (RFC 9113, section 3.4).
	http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// conn is a connection of a Server with Limits. net/http calls Read and ConnState
// in one goroutine, or for HTTP/2 in two of which only the first uses the fields
// that have no lock.
type conn struct {
	Conn
	limits  *Limits
	tls     bool
	state   atomic.Int32 // an http.ConnState
	h2c     bool         // the server accepts HTTP/2 without TLS
	preface int          // bytes of http2Preface that have arrived
	active  bool         // has been
	http2   atomic.Bool
	header  int // bytes of the current request's header
	lines   int // of it
	lease   budget.Lease
	leaving atomic.Bool // the request was refused
	reply   atomic.Int32

	requests atomic.Int32            // whose handlers run
	cancel   context.CancelCauseFunc // of their contexts
	hijacked net.Conn                // as net/http knows it; the lock of the Server guards it
	telling  sync.Mutex              // while cut responds

	writing chan struct{} // full while data is written over HTTP/2
	ahead   atomic.Int64  // bytes read since then
}

// What has happened to the response to the current request of a conn, over HTTP/1. Only
// refused is used over HTTP/2.
const (
	noReply int32 = iota
	begun         // a part of it was written
	refused       // cut writes another one, or none, and the handler's is dropped
)

// limited is a listener that adds the connections to the pool and closes those
// that there is no room for.
type limited struct {
	net.Listener
	pool   *Pool
	wrap   func(raw net.Conn) (wrapped net.Conn, member *Conn)
	refuse func(raw net.Conn)
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			if noFiles(err) && l.pool.closeOne() {
				continue
			}
			return nil, err
		}
		c, member := l.wrap(raw)
		if l.pool.add(member, 1, l.pool.max, patience) {
			limitUnsent(raw)
			return c, nil
		}
		l.refuse(raw)
	}
}

// listen returns the listener for a server.
func (limits *Limits) listen(l net.Listener, secure, h2c bool) net.Listener {
	wrap := func(raw net.Conn) (net.Conn, *Conn) {
		c := &conn{limits: limits, tls: secure, h2c: h2c, lease: limits.Budget.Lease()}
		c.join(limits.Pool, raw)
		return c, &c.Conn
	}
	refuse := func(raw net.Conn) {
		if !secure {
			writeLast(raw, limits.refusal())
		}
		raw.Close()
	}
	return &limited{l, limits.Pool, wrap, refuse}
}

// writeLast writes to a connection that is closed next.
func writeLast(c net.Conn, text string) {
	writeSoon(c, text)
	discard(c)
}

// writeSoon writes a text for which the kernel has room.
func writeSoon(c net.Conn, text string) { writeWithin(retry, c, text) }

func writeWithin(d time.Duration, c net.Conn, text string) {
	c.SetWriteDeadline(time.Now().Add(d))
	io.WriteString(c, text)
	c.SetWriteDeadline(time.Time{})
}

// connOf returns the conn of a connection that net/http knows, which may be a
// TLS connection above it. It returns nil if there are no limits.
func connOf(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	own, _ := c.(*conn)
	return own
}

// socket returns what is below the connection that net/http knows.
func socket(c net.Conn) net.Conn {
	if own := connOf(c); own != nil {
		return own.Conn.Conn
	}
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

type contextKey struct{}

// withConn is an http.Server's ConnContext hook.
func withConn(ctx context.Context, c net.Conn) context.Context {
	own := connOf(c)
	ctx, own.cancel = context.WithCancelCause(ctx)
	return context.WithValue(ctx, contextKey{}, own)
}

// LimitsOf returns the limits that a request was accepted with, nil for none.
func LimitsOf(r *http.Request) *Limits {
	if c, ok := r.Context().Value(contextKey{}).(*conn); ok {
		return c.limits
	}
	return nil
}

// Leave closes the connection of r after the response, whatever the client still
// sends. A handler calls it when it refuses the request. Over HTTP/2 it does
// nothing, because the connection has other requests.
func Leave(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(contextKey{}).(*conn); ok && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
		c.leaving.Store(true)
	}
}

// serve calls the handler of a request, which is net/http's own.
func (limits *Limits) serve(next http.Handler, c *conn, w http.ResponseWriter, r *http.Request) {
	unread := r.Body != http.NoBody
	next.ServeHTTP(w, r)
	if r.ProtoMajor > 1 || http.ConnState(c.state.Load()) == http.StateHijacked {
		return
	}
	if unread && limits.Pool.Overloaded() {
		c.leaving.Store(true)
	}
	switch {
	case c.leaving.Load():
		// net/http would read the rest of the body, or wait half a second so that
		// the client reads the response before the connection is reset.
		r.Body = http.NoBody
		c.SetReadDeadline(time.Unix(1, 0))
	case unread:
		c.SetReadDeadline(time.Now().Add(patience)) // net/http reads the rest, which nobody needs
	}
}

// changed follows the states of the connection. as is the connection that net/http
// knows.
func (c *conn) changed(state http.ConnState, as net.Conn) {
	c.state.Store(int32(state))
	if state == http.StateActive {
		c.reply.CompareAndSwap(begun, noReply)
	}
	if state != http.StateActive && !c.http2.Load() {
		c.header, c.lines = 0, 0
		c.lease.Free()
	}
	if idle, ok := c.Conn.Conn.(interface{ Idle() }); ok && state == http.StateIdle {
		idle.Idle()
	}
	if state != http.StateNew {
		c.pool.move(&c.Conn, state == http.StateIdle)
	}
	if state == http.StateActive && !c.active {
		c.active = true
		if c.speaksHTTP2(as) {
			c.writing = make(chan struct{}, 1)
			c.http2.Store(true)
			c.beginHTTP2(as)
		}
	}
}

// speaksHTTP2 reports whether the connection speaks HTTP/2. It is called when the
// first request begins.
func (c *conn) speaksHTTP2(as net.Conn) bool {
	if t, ok := as.(*tls.Conn); ok {
		return t.ConnectionState().NegotiatedProtocol == "h2"
	}
	return c.h2c && c.preface == len(http2Preface)
}

// beginHTTP2 gives the connection its weight, outside of the reserve. It closes the
// connection if there is no room.
func (c *conn) beginHTTP2(as net.Conn) {
	c.lease.Free()
	c.pool.mu.Lock()
	c.goodbye = func() { writeSoon(as, http2Goodbye) }
	c.pool.mu.Unlock()
	if !c.pool.add(&c.Conn, c.limits.Streams-1, c.pool.shared(), fresh) {
		writeSoon(as, http2Refusal)
		as.Close()
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	state := http.ConnState(c.state.Load())
	if inHeader := state == http.StateNew || state == http.StateIdle; !inHeader && !c.http2.Load() {
		c.reading.Store(true)
		defer c.reading.Store(false)
		return c.Conn.Conn.Read(p)
	}
	n, err := c.Conn.Read(p)
	switch {
	case n == 0:
	case !c.http2.Load():
		if refused := c.arrived(p[:n]); refused != nil {
			// net/http does not respond to this error.
			return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: refused}
		}
	case c.ahead.Add(int64(n)) > http2Ahead:
		c.waitForWrite()
	}
	return n, err
}

// waitForWrite waits until the client has room for what is being written.
// Otherwise net/http would queue a response to each of its frames.
func (c *conn) waitForWrite() {
	c.blocked.Store(true)
	c.writing <- struct{}{}
	c.ahead.Store(0)
	<-c.writing
	c.blocked.Store(false)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if !c.http2.Load() {
		c.reply.CompareAndSwap(noReply, begun)
	}
	if c.reply.Load() == refused {
		return 0, net.ErrClosed
	}
	if !c.http2.Load() {
		return c.Conn.Write(p)
	}
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	defer c.ahead.Store(0)
	return c.Conn.Write(p)
}

// arrived counts bytes of a request's header.
func (c *conn) arrived(b []byte) error {
	if c.header == 0 {
		c.pool.move(&c.Conn, true) // it waits since now
	}
	if n := min(len(b), len(http2Preface)-c.preface); c.preface == c.header && string(b[:n]) == http2Preface[c.preface:c.preface+n] {
		c.preface += n
	}
	c.header += len(b)
	cost := tlsCost * (c.header - freeHeader)
	if !c.tls {
		c.lines += bytes.Count(b, []byte{'\n'})
		cost = byteCost*max(c.header-freeHeader, 0) + lineCost*(c.lines-freeLines)
	}
	if need := cost - c.lease.Held(); need > 0 {
		if err := c.lease.Grow(need); err != nil {
			if c.tls {
				c.Conn.Conn.Close() // net/http would respond with 400
			} else {
				writeLast(c.Conn.Conn, c.limits.refusal())
			}
			return err
		}
	}
	return nil
}

// cut ends the requests of the connection. It closes a connection that a handler has
// taken over, which net/http does not.
func (c *conn) cut(state http.ConnState) {
	switch {
	case state == http.StateHijacked:
		c.cancel(record.ServerCut{})
		c.Close()
	case c.takeReply():
		c.telling.Lock() // net/http closes the connection of a handler that returns
		defer c.telling.Unlock()
		c.cancel(record.ServerCut{Status: http.StatusServiceUnavailable}) // first: a client that has its response closes the connection
		c.leaving.Store(true)
		// The kernel has room for it, but the process may get little time.
		writeWithin(fresh, c.Conn.Conn, c.limits.unavailable("", "the server is shutting down; the request may have been processed"))
	default:
		c.reply.Store(refused) // first: a handler that returns would make the response look complete
		c.cancel(record.ServerCut{})
	}
}

// takeReply keeps the handler of the current request from responding, and returns true,
// if no part of its response was written yet. It does not where another response would
// have to be encrypted or framed.
func (c *conn) takeReply() bool {
	return !c.tls && !c.http2.Load() && c.reply.CompareAndSwap(noReply, refused)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.telling.Lock()
	defer c.telling.Unlock()
	if c.leaving.Load() {
		discard(c.Conn.Conn)
	}
	return c.Conn.Close()
}

// CloseWrite closes the server's side of the connection, if that is possible.
func (c *conn) CloseWrite() error {
	c.telling.Lock()
	defer c.telling.Unlock()
	return c.Conn.CloseWrite()
}

// ReadFrom implements io.ReaderFrom, so that files are sent without copying them to
// user space.
func (c *conn) ReadFrom(src io.Reader) (int64, error) { return io.Copy(c.Conn.Conn, src) }
