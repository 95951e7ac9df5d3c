package grpcserver

import "encoding/binary"

// The parts of HTTP/2 frames (RFC 9113, 4.1 and 6) that matter below.
const (
	frameHead    = 9 // bytes: length, type, flags, stream
	preface      = 24
	typeHeaders  = 0x1
	typePush     = 0x5
	typeGoAway   = 0x7
	typeWindow   = 0x8
	typeContinue = 0x9
	endHeaders   = 0x4
	noMore       = 1<<31 - 1 // last stream of a GOAWAY that refuses none
)

// frames follows one direction of a connection and knows where a frame may be
// put between the others.
type frames struct {
	head  [frameHead]byte
	have  int  // bytes of head
	left  int  // bytes of the frame, or the preface, to come
	block bool // more of a header block has to come (RFC 9113, 4.3)
}

// between reports whether a frame may stand here.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 && !f.block }

// step is how many bytes there are at least until a frame may stand.
func (f *frames) step() int {
	if f.left > 0 {
		return f.left
	}
	return frameHead - f.have
}

// pass takes what goes over the connection, up to the first place where a
// frame may stand, and returns its length.
func (f *frames) pass(b []byte) (n int) {
	for n < len(b) {
		if f.left > 0 {
			k := min(f.left, len(b)-n)
			n, f.left = n+k, f.left-k
		} else {
			k := copy(f.head[f.have:], b[n:])
			n, f.have = n+k, f.have+k
			if f.have < frameHead {
				return n
			}
			f.begin()
		}
		if f.between() {
			return n
		}
	}
	return n
}

func (f *frames) begin() {
	f.have, f.left = 0, int(binary.BigEndian.Uint32(f.head[:])>>8)
	switch f.head[3] {
	case typeHeaders, typePush, typeContinue:
		f.block = f.head[4]&endHeaders == 0
	}
}

// goAway is a GOAWAY frame (RFC 9113, 6.8) that takes nothing back: streams
// that the client opened before it came are served. text is for people.
func goAway(text string) []byte {
	b := head(8+len(text), typeGoAway, 0)
	b = binary.BigEndian.AppendUint32(b, noMore)
	b = binary.BigEndian.AppendUint32(b, 0) // NO_ERROR
	return append(b, text...)
}

// mistake is a WINDOW_UPDATE frame that opens the window by nothing, which is
// an error of the stream: it is to be answered by RST_STREAM (RFC 9113, 6.9).
func mistake(stream uint32) []byte {
	return binary.BigEndian.AppendUint32(head(4, typeWindow, stream), 0)
}

func head(length int, kind byte, stream uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(length)<<8|uint32(kind))
	return binary.BigEndian.AppendUint32(append(b, 0), stream)
}
