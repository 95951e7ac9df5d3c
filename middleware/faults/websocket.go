package faults

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// frames is w with a connection whose messages are delayed, dropped or cut,
// for the handler that takes it over.
func (m *Module) frames(w http.ResponseWriter, s *scenario.Strike) http.ResponseWriter {
	return &hijacker{wrapped(w), m, s}
}

type hijacker struct {
	negroni.ResponseWriter
	m      *Module
	strike *scenario.Strike
}

// Unwrap is for http.ResponseController.
func (h *hijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return conn, rw, err
	}
	ctx, cancel := context.WithCancel(h.m.closing)
	c := &socket{Conn: conn, strike: h.strike, ctx: ctx, cancel: cancel}
	return c, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(c)), nil
}

// socket is a connection that looks for WebSocket frames (RFC 6455, 5.2) in
// what the server sends. The handshake and control frames pass.
type socket struct {
	net.Conn
	strike *scenario.Strike
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	pending  []byte        // what is not yet a whole frame, or handshake
	open     bool          // the handshake was sent
	messages int           // begun
	dropping bool          // the message being sent is lost
	patience time.Duration // of the one that writes; 0 for ever
	ended    bool
}

// Close also ends a wait.
func (c *socket) Close() error {
	c.cancel()
	return c.Conn.Close()
}

// NetConn is for those who close it in a hurry, below TLS.
func (c *socket) NetConn() net.Conn { return &under{raw(c.Conn), c.cancel} }

// under is the connection below TLS. Closing it ends a wait above.
type under struct {
	net.Conn
	cancel context.CancelFunc
}

func (c *under) Close() error {
	c.cancel()
	return c.Conn.Close()
}

// CloseWrite closes the server's side, where the connection can.
func (c *socket) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// SetWriteDeadline notes how long a write may take, as a wait comes before it.
func (c *socket) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.patience = 0
	if !t.IsZero() {
		c.patience = max(time.Until(t), time.Millisecond)
	}
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(t)
}

// maxFrame is the size of a frame that is waited for until it is whole.
// Larger ones pass as they come.
const maxFrame = 16 << 20

func (c *socket) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, b...)
	for len(c.pending) > 0 && !c.ended {
		n, frame := c.whole()
		if n == 0 {
			return len(b), nil
		}
		part := c.pending[:n]
		c.pending = c.pending[n:]
		if frame && c.hits(part) {
			continue
		}
		if _, err := c.Conn.Write(part); err != nil {
			return 0, err
		}
	}
	c.pending = nil
	return len(b), nil
}

// whole is the length of the frame or handshake that pending begins with, 0
// when more of it has to come.
func (c *socket) whole() (n int, frame bool) {
	p := c.pending
	if !c.open {
		for i := 3; i < len(p); i++ {
			if p[i] == '\n' && p[i-2] == '\n' {
				c.open = true
				return i + 1, false
			}
		}
		return 0, false
	}
	if len(p) < 2 {
		return 0, true
	}
	size, head := uint64(p[1]&0x7f), 2
	switch {
	case size == 126 && len(p) >= 4:
		size, head = uint64(binary.BigEndian.Uint16(p[2:])), 4
	case size == 127 && len(p) >= 10:
		size, head = binary.BigEndian.Uint64(p[2:]), 10
	case size >= 126:
		return 0, true
	}
	if size > maxFrame {
		return len(p), false
	}
	if uint64(len(p)) < uint64(head)+size {
		return 0, true
	}
	return head + int(size), true
}

// hits does to a frame what the rule says. It is true when the frame is not to
// be sent.
func (c *socket) hits(frame []byte) bool {
	const final, opcode, control = 0x80, 0x0f, 0x08
	if frame[0]&control != 0 {
		return false
	}
	if frame[0]&opcode == 0 { // it goes on with a message
		return c.dropping
	}
	wait, drop, end := c.strike.Frame(c.messages)
	c.messages++
	c.dropping = drop
	switch {
	case end:
		c.end()
		return true
	case drop:
		return true
	case wait > 0:
		if !registry.Sleep(c.ctx, wait) {
			c.ended = true
			return true
		}
		if c.patience > 0 {
			c.Conn.SetWriteDeadline(time.Now().Add(c.patience))
		}
	}
	return false
}

// end sends a close frame. The client closes then, as the one who got it has
// to; what the handler still writes is not sent.
func (c *socket) end() {
	w := c.strike.Fault.WebSocket
	body := binary.BigEndian.AppendUint16(nil, uint16(w.Close))
	body = append(body, w.Reason...)
	c.Conn.Write(append([]byte{0x88, byte(len(body))}, body...))
	c.ended = true
}
