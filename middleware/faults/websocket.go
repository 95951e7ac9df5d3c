package faults

import (
	"bufio"
	"bytes"
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
	c := &socket{leaving: leaving{conn, cancel}, m: h.m, strike: h.strike, ctx: ctx}
	reader := rw.Reader
	if h.strike.Fault.WebSocket.Direction.Has(scenario.In) {
		come, _ := reader.Peek(reader.Buffered()) // with the handshake
		c.reading = &incoming{buf: make([]byte, 4<<10), raw: bytes.Clone(come), changed: make(chan struct{})}
		reader = bufio.NewReader(c)
	}
	return c, bufio.NewReadWriter(reader, bufio.NewWriter(c)), nil
}

// socket is a connection that looks for WebSocket frames in what goes over it.
// The handshake and control frames pass.
type socket struct {
	leaving
	m      *Module
	strike *scenario.Strike
	ctx    context.Context // until it is closed

	reading *incoming // nil when nothing is done to what the client sends

	mu        sync.Mutex
	handshake []byte // the part of it that was written; nil once all was sent
	open      bool   // it was sent
	refused   bool   // it was an error
	out       flow
	patience  time.Duration // of the one that writes; 0 for ever
	leave     bool          // close behind the frame that is being written
	ended     bool
}

// SetDeadline implements net.Conn.
func (c *socket) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
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

// Write implements net.Conn.
func (c *socket) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return c.begin(b)
	}
	if c.refused {
		return c.Conn.Write(b)
	}
	return len(b), c.send(b)
}

// begin sends the handshake, which is an answer without a body.
func (c *socket) begin(b []byte) (int, error) {
	c.handshake = append(c.handshake, b...)
	end := bytes.Index(c.handshake, []byte("\r\n\r\n"))
	if end < 0 {
		return len(b), nil
	}
	all := c.handshake
	c.open, c.handshake = true, nil
	if !bytes.HasPrefix(all, []byte("HTTP/1.1 101 ")) { // there will be no frames
		c.refused = true
		_, err := c.Conn.Write(all)
		return len(b), err
	}
	if _, err := c.Conn.Write(all[:end+4]); err != nil {
		return 0, err
	}
	return len(b), c.send(all[end+4:])
}

// send writes the frames that are not lost, each when it is due.
func (c *socket) send(b []byte) error {
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
			wait, end := c.out.judge(part, c.strike.Frame)
			if end || wait > 0 {
				if err := flush(); err != nil {
					return err
				}
			}
			if end {
				c.end()
				return nil
			}
			if !c.pause(wait) {
				return nil
			}
		}
		if !c.out.lost {
			ready = append(ready, part...)
		}
		if c.leave && c.out.between() {
			err := flush()
			c.end()
			return err
		}
	}
	return flush()
}

// hold takes a place among those that wait, for a message that is to.
func (c *socket) hold() bool {
	ok := c.m.engine.Hold()
	if !ok {
		c.m.counts.add(c.strike.Rule, "skipped")
	}
	return ok
}

// pause waits before a frame. It is false when the connection ended.
func (c *socket) pause(wait time.Duration) bool {
	if wait <= 0 || !c.hold() {
		return true
	}
	defer c.m.engine.Release()
	if !registry.Sleep(c.ctx, wait) {
		c.ended = true
		return false
	}
	if c.patience > 0 {
		c.Conn.SetWriteDeadline(time.Now().Add(c.patience))
	}
	return true
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

// endSoon is end for the one that reads: between the frames that are written.
func (c *socket) endSoon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.leave {
		return
	}
	if c.leave = true; c.out.between() {
		c.end()
	}
}
