package faults

import (
	"encoding/binary"
	"time"
)

// frames parses the frames (RFC 6455, 5.2) that go in one direction over a
// WebSocket, as they come, and decides which of them are dropped.
type frames struct {
	header   []byte // beginning of the next header, as far as it has come
	left     uint64 // bytes of the payload to come
	lost     bool   // the current frame is dropped
	dropping bool   // the current message is dropped
	messages int    // messages begun
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

// judge decides what happens to the frame with header h, and sets f.lost. fate
// returns what happens to the i-th message.
func (f *frames) judge(h []byte, fate func(i int) (wait time.Duration, drop, end bool)) (wait time.Duration, end bool) {
	const opcode, control = 0x0f, 0x08
	switch {
	case h[0]&control != 0:
		f.lost = false
	case h[0]&opcode == 0: // continuation of a message
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
