package grpcserver

import "encoding/binary"

// Parts of HTTP/2 frames (RFC 9113, sections 4.1 and 6).
const (
	headerLen        = 9  // bytes: length, type, flags, stream
	preface          = 24 // bytes of the client's connection preface
	typeData         = 0x0
	typeHeaders      = 0x1
	typeRSTStream    = 0x3
	typeSettings     = 0x4
	typePushPromise  = 0x5
	typeGoAway       = 0x7
	typeWindowUpdate = 0x8
	typeContinuation = 0x9
	flagEndStream    = 0x1
	flagEndHeaders   = 0x4
	flagPadded       = 0x8
	codeNone         = 0x0
	codeCancel       = 0x8
	codeCalm         = 0xb // ENHANCE_YOUR_CALM, which clients report as RESOURCE_EXHAUSTED
	maxStreamID      = 1<<31 - 1
)

// frames follows the frames in one direction of a connection to find the places
// where another frame may be inserted.
type frames struct {
	visit   func(f *frames, b []byte) // called for each header, with nil, and each part of a payload without padding; may be nil
	header  [headerLen]byte
	have    int  // bytes of header that are known
	left    int  // bytes of the frame's payload, or of the preface, that are still to come
	inBlock bool // CONTINUATION frames are still to come (RFC 9113, section 4.3)
	frame   bool // a frame has begun: what is left is not the preface
	padding int  // bytes at the end of the payload, -1 if they are not known yet
}

// kind returns the type of the current frame.
func (f *frames) kind() byte { return f.header[3] }

// flags returns the flags of the current frame.
func (f *frames) flags() byte { return f.header[4] }

// stream returns the stream of the current frame.
func (f *frames) stream() uint32 {
	return binary.BigEndian.Uint32(f.header[5:]) & maxStreamID
}

// between reports whether a frame may be inserted here.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 && !f.inBlock }

// remaining returns the least number of bytes before a frame may be inserted.
func (f *frames) remaining() int {
	if f.left > 0 {
		return f.left
	}
	return headerLen - f.have
}

// advance follows b up to the first place where a frame may be inserted, or to its
// end. It returns the number of bytes up to there.
func (f *frames) advance(b []byte) (n int) {
	for n < len(b) {
		if f.left > 0 {
			k := min(f.left, len(b)-n)
			f.left -= k
			if f.visit != nil && f.frame {
				f.visitPayload(b[n : n+k])
			}
			n += k
		} else {
			k := copy(f.header[f.have:], b[n:])
			n, f.have = n+k, f.have+k
			if f.have < headerLen {
				return n
			}
			f.parseHeader()
		}
		if f.between() {
			return n
		}
	}
	return n
}

// parseHeader reads the complete header of a frame.
func (f *frames) parseHeader() {
	f.have, f.left, f.frame, f.padding = 0, int(binary.BigEndian.Uint32(f.header[:])>>8), true, 0
	switch f.kind() {
	case typeData:
		if f.flags()&flagPadded != 0 {
			f.padding = -1
		}
	case typeHeaders, typePushPromise, typeContinuation:
		f.inBlock = f.flags()&flagEndHeaders == 0
	}
	if f.visit != nil {
		f.visit(f, nil)
	}
}

// visitPayload calls visit with a part of a payload, without the padding and its
// length (RFC 9113, section 6.1).
func (f *frames) visitPayload(b []byte) {
	if f.padding < 0 {
		f.padding, b = int(b[0]), b[1:]
	}
	if b = b[:max(len(b)-max(f.padding-f.left, 0), 0)]; len(b) > 0 {
		f.visit(f, b)
	}
}

// goAwayFrame returns a GOAWAY frame (RFC 9113, section 6.8) that rejects the streams
// after the last one. reason is debug data.
func goAwayFrame(last, code uint32, reason string) []byte {
	b := frameHeader(8+len(reason), typeGoAway, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, code)
	return append(b, reason...)
}

// frameHeader returns the header of a frame without flags.
func frameHeader(length int, frameType byte, stream uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(length)<<8|uint32(frameType))
	return binary.BigEndian.AppendUint32(append(b, 0), stream)
}

// endFrame returns an empty DATA frame that ends a stream.
func endFrame(stream uint32) []byte {
	b := frameHeader(0, typeData, stream)
	b[4] = flagEndStream
	return b
}

// resetFrame returns an RST_STREAM frame (RFC 9113, section 6.4).
func resetFrame(stream, code uint32) []byte {
	return binary.BigEndian.AppendUint32(frameHeader(4, typeRSTStream, stream), code)
}
