package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/internal/hangup"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// breakMessages applies the kind websocket: the handler that hijacks the
// connection gets one whose messages are delayed, dropped or changed, or that is closed.
func breakMessages(m *Module, w http.ResponseWriter, r *http.Request, next http.HandlerFunc, s *scenario.Strike) {
	next(&hijacker{wrapped(w), m, s}, r)
}

// hijacker is a response writer whose hijacked connection is a socket.
type hijacker struct {
	negroni.ResponseWriter
	m      *Module
	strike *scenario.Strike
}

// Unwrap implements the convention of http.ResponseController.
func (h *hijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return conn, rw, err
	}
	ctx, cancel := context.WithCancel(h.m.closing)
	c := &socket{leaving: leaving{conn, cancel}, m: h.m, strike: h.strike, ctx: ctx, began: time.Now()}
	c.cut = sync.OnceFunc(func() {
		c.isCut.Store(true)
		c.m.saw(c.strike, connClosed)
		c.Conn.SetWriteDeadline(time.Unix(1, 0)) // ends a write, which hangup would wait for with TLS
		hangup.Close(c.Conn)
	})
	if h.Written() { // by WriteHeader, before Hijack
		c.open, c.refused = true, h.Status() != http.StatusSwitchingProtocols
		c.endInTime()
	}
	reader := rw.Reader
	if w := h.strike.Fault.WebSocket; w.SwallowPings || w.Direction.Has(scenario.In) {
		early, _ := reader.Peek(reader.Buffered()) // sent along with the handshake
		c.reading = &incoming{buf: make([]byte, 4<<10), raw: bytes.Clone(early), changed: make(chan struct{})}
		reader = bufio.NewReader(c)
	}
	return c, bufio.NewReadWriter(reader, bufio.NewWriter(c)), nil
}

// socket is a connection that breaks the WebSocket messages on it. The handshake
// and control frames pass.
type socket struct {
	leaving
	m      *Module
	strike *scenario.Strike
	ctx    context.Context // canceled when the connection is closed
	began  time.Time
	cut    func() // closes the connection without a close frame
	isCut  atomic.Bool

	reading *incoming // nil when the client's messages pass

	mu            sync.Mutex
	handshake     []byte // what was written of it; nil once all was sent
	open          bool   // the handshake was sent
	refused       bool   // the handshake was an error response
	out           frames
	writeTimeout  time.Duration // 0 for none
	endAfterFrame bool          // the frame being written is the last one
	ended         bool
}

// Close implements net.Conn. A connection that is cut is closed already, or once what
// the client has sent is read, as a close before would reset it.
func (c *socket) Close() error {
	if c.isCut.Load() {
		c.leave()
		return nil
	}
	return c.leaving.Close()
}

// SetDeadline implements net.Conn.
func (c *socket) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetWriteDeadline also remembers how long a write may take, to move the deadline
// when a message was delayed.
func (c *socket) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.writeTimeout = 0
	if !t.IsZero() {
		c.writeTimeout = max(time.Until(t), time.Millisecond)
	}
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(t)
}

// Write implements net.Conn.
func (c *socket) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return c.beginLocked(b)
	}
	if c.refused {
		return c.Conn.Write(b)
	}
	return len(b), c.sendLocked(b)
}

// beginLocked sends the handshake, a response without a body, once it is
// complete. The caller must hold c.mu.
func (c *socket) beginLocked(b []byte) (int, error) {
	c.handshake = append(c.handshake, b...)
	end := bytes.Index(c.handshake, []byte("\r\n\r\n"))
	if end < 0 {
		return len(b), nil
	}
	all := c.handshake
	c.open, c.handshake = true, nil
	if !bytes.HasPrefix(all, []byte("HTTP/1.1 101 ")) { // no frames follow
		c.refused = true
		_, err := c.Conn.Write(all)
		return len(b), err
	}
	if _, err := c.Conn.Write(all[:end+4]); err != nil {
		return 0, err
	}
	c.endInTime()
	return len(b), c.sendLocked(all[end+4:])
}

// endInTime ends the connection after the time of the rule, if it has one.
func (c *socket) endInTime() {
	w := c.strike.Fault.WebSocket
	if w.AfterTime == 0 || w.Close == 0 && !w.Cut {
		return
	}
	timer := time.AfterFunc(time.Duration(w.AfterTime)-time.Since(c.began), func() {
		if w.Cut {
			c.cut() // a message may be half written
		} else {
			c.endBetweenFrames()
		}
	})
	context.AfterFunc(c.ctx, func() { timer.Stop() })
}

// untouched reports whether the time of the rule for which messages pass has not
// passed.
func (c *socket) untouched() bool {
	return time.Since(c.began) < time.Duration(c.strike.Fault.WebSocket.AfterTime)
}

// fate returns the function that decides what happens to messages.
func (c *socket) fate(way scenario.Direction) func(i int) scenario.Fate {
	return func(i int) scenario.Fate {
		if c.untouched() {
			return scenario.Fate{}
		}
		return c.strike.Frame(way, i)
	}
}

// swallows reports whether pings of the client are dropped now.
func (c *socket) swallows() bool {
	w := c.strike.Fault.WebSocket
	return w.SwallowPings && c.reading.messages >= w.After && !c.untouched()
}

// sendLocked writes the frames that are not dropped, each when it is due. The
// caller must hold c.mu.
func (c *socket) sendLocked(b []byte) error {
	var ready []byte
	flush := func() error {
		if len(ready) == 0 {
			return nil
		}
		_, err := c.Conn.Write(ready)
		ready = ready[:0]
		return err
	}
	for len(b) > 0 && !c.ended {
		part, rest, begins := c.out.next(b)
		b = rest
		if begins {
			wait, end := c.out.judge(part, c.fate(scenario.Out), false)
			if end || wait > 0 {
				if err := flush(); err != nil {
					return err
				}
			}
			if end {
				c.endLocked()
				return nil
			}
			if !c.pauseLocked(wait) {
				return nil
			}
		}
		if !c.out.lost {
			ready = append(ready, c.out.pass(part, begins)...)
		}
		if c.endAfterFrame && c.out.between() {
			err := flush()
			c.endLocked()
			return err
		}
	}
	return flush()
}

// hold takes a slot for a message that is to be delayed. When all are taken it
// returns false and counts the delay as skipped.
func (c *socket) hold() bool {
	ok := c.m.engine.Hold()
	if !ok {
		c.m.counts.add(c.strike.Rule, "skipped")
	}
	return ok
}

// pauseLocked waits before a frame. It returns false when the connection was
// closed meanwhile. The caller must hold c.mu.
func (c *socket) pauseLocked(wait time.Duration) bool {
	if wait <= 0 || !c.hold() {
		return true
	}
	defer c.m.engine.Release()
	if !registry.Sleep(c.ctx, wait) {
		c.ended = true
		return false
	}
	if c.writeTimeout > 0 {
		c.Conn.SetWriteDeadline(time.Now().Add(c.writeTimeout))
	}
	return true
}

// endLocked sends a close frame, or cuts the connection. The client then closes the connection (RFC 6455,
// 5.5.1), and what the handler still writes is not sent. The caller must hold
// c.mu.
func (c *socket) endLocked() {
	w := c.strike.Fault.WebSocket
	c.ended = true
	if w.Cut {
		c.cut()
		return
	}
	body := binary.BigEndian.AppendUint16(nil, uint16(w.Close))
	body = append(body, w.Reason...)
	c.Conn.Write(append([]byte{0x88, byte(len(body))}, body...))
}

// endBetweenFrames sends a close frame for the reader, once no frame is half
// written.
func (c *socket) endBetweenFrames() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.endAfterFrame {
		return
	}
	if c.endAfterFrame = true; c.out.between() {
		c.endLocked()
	}
}
