package faults

import (
	"encoding/binary"
	"os"
	"sync"
	"time"
)

// flow is the frames (RFC 6455, 5.2) that go one way over a WebSocket, as far
// as they have come.
type flow struct {
	header   []byte // the part of the next one that has come
	left     uint64 // bytes of the payload to come
	lost     bool   // the frame does not arrive
	dropping bool   // nor does the message that it is of
	messages int    // begun
}

func (f *flow) between() bool { return f.left == 0 && len(f.header) == 0 }

// next takes the header of a frame off b, or some of its payload, or nothing
// when more has to come. The part is good until the next frame begins.
func (f *flow) next(b []byte) (part, rest []byte, begins bool) {
	if f.left > 0 {
		n := int(min(f.left, uint64(len(b))))
		f.left -= uint64(n)
		return b[:n], b[n:], false
	}
	for len(f.header) < headerLen(f.header) {
		if len(b) == 0 {
			return nil, nil, false
		}
		f.header, b = append(f.header, b[0]), b[1:]
	}
	part = f.header
	f.header, f.left = f.header[len(f.header):], payloadLen(part)
	return part, b, true
}

// headerLen is the length of the header that begins with h, as far as that can
// be said.
func headerLen(h []byte) int {
	n := 2
	if len(h) < n {
		return n
	}
	switch h[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if masked := h[1]&0x80 != 0; masked {
		n += 4
	}
	return n
}

func payloadLen(h []byte) uint64 {
	switch n := h[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		return binary.BigEndian.Uint64(h[2:])
	default:
		return uint64(n)
	}
}

// judge says what happens to the frame with this header, and notes whether it
// is lost. fate is that of a message.
func (f *flow) judge(h []byte, fate func(i int) (time.Duration, bool, bool)) (wait time.Duration, end bool) {
	const opcode, control = 0x0f, 0x08
	switch {
	case h[0]&control != 0:
		f.lost = false
	case h[0]&opcode == 0: // it goes on with a message
		f.lost = f.dropping
	default:
		wait, f.dropping, end = fate(f.messages)
		f.messages++
		if f.lost = f.dropping; f.lost {
			wait = 0
		}
	}
	return wait, end
}

// incoming is what the client sends over a socket.
type incoming struct {
	flow
	buf   []byte
	raw   []byte    // in buf, not yet looked at
	ready []byte    // to be read
	due   time.Time // when; zero for now

	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed when the deadline is
}

// Read implements net.Conn.
func (c *socket) Read(b []byte) (int, error) {
	in := c.reading
	if in == nil || len(b) == 0 {
		return c.Conn.Read(b)
	}
	for {
		if err := c.await(in.due); err != nil {
			return 0, err
		}
		in.due = time.Time{}
		if n := copy(b, in.ready); n > 0 {
			in.ready = in.ready[n:]
			return n, nil
		}
		if len(in.raw) == 0 {
			n, err := c.Conn.Read(in.buf)
			if n == 0 {
				return 0, err
			}
			in.raw = in.buf[:n]
		}
		c.look()
	}
}

// look takes the next part of what has come.
func (c *socket) look() {
	in := c.reading
	part, rest, begins := in.next(in.raw)
	in.raw = rest
	if begins {
		wait, end := in.judge(part, c.strike.FrameIn)
		if end {
			c.endSoon()
			in.lost, in.dropping = true, true
		}
		if wait > 0 {
			in.due = time.Now().Add(wait)
		}
	}
	if !in.lost {
		in.ready = part
	}
}

// await waits until then, the read deadline or the end of the connection. The
// deadline is also how a reader is woken from outside.
func (c *socket) await(then time.Time) error {
	if time.Until(then) <= 0 || !c.hold() {
		return nil
	}
	defer c.m.engine.Release()
	in := c.reading
	for {
		wait := time.Until(then)
		if wait <= 0 {
			return nil
		}
		in.mu.Lock()
		deadline, changed := in.deadline, in.changed
		in.mu.Unlock()
		if !deadline.IsZero() {
			if wait = min(wait, time.Until(deadline)); wait <= 0 {
				return os.ErrDeadlineExceeded
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-c.ctx.Done():
			timer.Stop()
			return c.ctx.Err()
		}
		timer.Stop()
	}
}

// SetReadDeadline implements net.Conn.
func (c *socket) SetReadDeadline(t time.Time) error {
	if in := c.reading; in != nil {
		in.mu.Lock()
		in.deadline = t
		close(in.changed)
		in.changed = make(chan struct{})
		in.mu.Unlock()
	}
	return c.Conn.SetReadDeadline(t)
}
