package faults

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// frames parses the frames (RFC 6455, 5.2) that go in one direction over a
// WebSocket, as they come, and decides which of them are dropped.
type frames struct {
	header   []byte // beginning of the next header, as far as it has come
	left     uint64 // bytes of the payload to come
	lost     bool   // the current frame is dropped
	dropping bool   // the current message is dropped
	messages int    // messages begun
	last     bool   // the frame is the last one of its message
	control  bool   // the frame is a control frame
	copies   copies
}

// between reports whether the last frame is complete and no other has begun.
func (f *frames) between() bool { return f.left == 0 && len(f.header) == 0 }

// next takes the header of a frame, or some of its payload, from b. The part is
// empty when more bytes are needed, and valid until the next frame begins.
// begins reports that the part is a header.
func (f *frames) next(b []byte) (part, rest []byte, begins bool) {
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

// headerLen returns the length of the header that begins with h, or the part of
// it that h already determines.
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

// Opcodes of frames (RFC 6455, 5.2).
const (
	opcode       = 0x0f
	control      = 0x08
	continuation = 0x00
	closing      = 0x08
	ping         = 0x09
)

// judge decides what happens to the frame with header h, and sets f.lost. fate
// returns what happens to the i-th message. Pings are dropped if pings is true.
func (f *frames) judge(h []byte, fate func(i int) scenario.Fate, pings bool) (wait time.Duration, end bool) {
	f.control = h[0]&control != 0
	switch {
	case f.control:
		f.lost = pings && h[0]&opcode == ping
		return 0, false
	case h[0]&opcode == continuation:
		f.lost = f.dropping
	default:
		does := fate(f.messages)
		wait, end = does.Wait, does.End
		if f.lost, f.dropping = does.Drop, does.Drop; f.lost {
			wait = 0
		}
		f.copies.begin(does)
		f.messages++
	}
	f.last = h[0]&0x80 != 0
	return wait, end
}

// maxCopy is the length of the longest message that is sent twice or late, in
// bytes with its headers.
const maxCopy = 64 << 10

// copies sends messages twice or after the next one.
type copies struct {
	double, late bool   // of the current message
	message      []byte // the current message, as far as it has come
	held         []byte // message to send after the current one
}

func (c *copies) begin(f scenario.Fate) {
	c.double, c.late, c.message = f.Double, f.Late && c.held == nil, nil
}

// pass returns what is sent in place of a part of a frame that is not dropped.
func (f *frames) pass(part []byte, begins bool) []byte {
	c := &f.copies
	if f.control {
		if begins && part[0]&opcode == closing && c.held != nil { // no message follows
			part, c.held = slices.Concat(c.held, part), nil
		}
		return part
	}
	if c.double || c.late {
		if len(c.message)+len(part) > maxCopy { // sent once, in its place
			part = slices.Concat(c.sentLate(), part)
			c.double, c.late, c.message = false, false, nil
		} else if c.message = append(c.message, part...); c.late {
			part = nil
		}
	}
	if f.last && f.between() {
		if more := c.finish(); more != nil {
			return slices.Concat(part, more)
		}
	}
	return part
}

// sentLate returns the part of a late message that was held back so far.
func (c *copies) sentLate() []byte {
	if !c.late {
		return nil
	}
	return c.message
}

// finish ends a message. It returns what follows it.
func (c *copies) finish() (more []byte) {
	message := c.message
	c.message = nil
	switch {
	case c.late && c.double:
		c.held = slices.Concat(message, message)
	case c.late:
		c.held = message
	case c.double:
		more = slices.Concat(message, c.held)
		c.held = nil
	default:
		more, c.held = c.held, nil
	}
	return more
}
