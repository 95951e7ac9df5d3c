package wsecho

import (
	"bytes"
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

const (
	headerRoom = ws.MaxHeaderSize - 4 // bytes of the longest header without a mask
	pieceSize  = 16 << 10             // bytes for a part of a message and for the part of the reply that is written at once
	partSize   = 512                  // bytes of a message that are escaped at once
)

// longest is the most bytes that one byte of a message becomes.
const longest = len(`\u0000`)

// message is what a connection needs only during a message. The memory of in is
// reserved in the App's budget.
type message struct {
	op      ws.OpCode
	in      *budget.Buffer
	payload payload
}

func (m *Module) newMessage(op ws.OpCode) *message {
	msg, ok := m.messages.Get().(*message)
	if !ok {
		msg = new(message)
	}
	msg.op, msg.in = op, m.host.Budget().Buffer()
	return msg
}

func (m *Module) freeMessage(msg *message) {
	msg.in.Close()
	*msg = message{}
	m.messages.Put(msg)
}

// piece is the memory that a reply is encoded in.
type piece [pieceSize]byte

// readPayload appends the payload of a frame, as it arrives.
func (msg *message) readPayload(r io.Reader, h ws.Header) error {
	msg.payload = payload{r: r, mask: h.Mask, left: h.Length}
	_, err := msg.in.ReadFrom(&msg.payload)
	return err
}

// payload reads the payload of a frame.
type payload struct {
	r    io.Reader
	mask [4]byte
	done int
	left int64
}

// Read implements io.Reader.
func (p *payload) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.left)])
	ws.Cipher(b[:n], p.mask, p.done)
	p.done, p.left = p.done+n, p.left-int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// errNotUTF8 is the error of a text message that is not UTF-8.
var errNotUTF8 = errors.New("text is not UTF-8")

// writeEcho writes the frame that echoes msg to w. It encodes a piece at a time: a
// reply may have six times the size of the message, and a client that does not
// read must not hold that.
func (m *Module) writeEcho(w io.Writer, msg *message, now time.Time) error {
	if err := msg.in.Reserve(pieceSize); err != nil {
		return err
	}
	p, ok := m.pieces.Get().(*piece)
	if !ok {
		p = new(piece)
	}
	defer m.pieces.Put(p)
	part, out := p[:partSize], appendStart(p[partSize:partSize+headerRoom], now, "msg")
	if len(out)+longest*msg.in.Len()+len(textEnd) <= cap(out) {
		return msg.writeShort(w, out)
	}
	length := len(out) - headerRoom + len(textEnd)
	err := eachPart(msg.in.Reader(), part, func(b []byte) error {
		if msg.op == ws.OpText && !utf8.Valid(b) {
			return errNotUTF8
		}
		length += jsonlog.EscapedLen(b)
		return nil
	})
	if err != nil {
		return err
	}
	out = seal(out, length)
	err = eachPart(msg.in.Reader(), part, func(b []byte) (err error) {
		if len(out)+longest*len(b)+len(textEnd) > cap(out) {
			_, err = w.Write(out)
			out = out[:0]
		}
		out = jsonlog.AppendEscaped(out, b)
		return err
	})
	if err != nil {
		return err
	}
	_, err = w.Write(append(out, textEnd...))
	return err
}

// writeShort is writeEcho for a reply that fits into the memory after start, which
// is its beginning.
func (msg *message) writeShort(w io.Writer, start []byte) error {
	text, err := msg.in.Bytes()
	if err != nil {
		return err
	}
	if msg.op == ws.OpText && !utf8.Valid(text) {
		return errNotUTF8
	}
	b := append(jsonlog.AppendEscaped(start, text), textEnd...)
	_, err = w.Write(seal(b, len(b)-headerRoom))
	return err
}

// eachPart reads r into part and calls do for what it contains, which is never a
// part of a character unless the text is not UTF-8.
func eachPart(r io.Reader, part []byte, do func(b []byte) error) error {
	rest := 0 // bytes of an incomplete character at the beginning of part
	for {
		n, err := r.Read(part[rest:])
		b := part[:rest+n]
		if err == nil {
			b = whole(b)
		}
		if err := do(b); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
		rest = copy(part, part[len(b):rest+n])
	}
}

// whole returns b without a character at its end that is incomplete.
func whole(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			return b
		}
	}
	return b
}

// statusFrame returns the frame of a status message.
func statusFrame(now time.Time, hostname string) []byte {
	b := appendStart(make([]byte, headerRoom), now, "server")
	b = append(jsonlog.AppendEscaped(b, hostname), textEnd...)
	return seal(b, len(b)-headerRoom)
}

// appendStart appends the beginning of a message in upstream's format.
func appendStart(b []byte, now time.Time, key string) []byte {
	b = append(b, `{"ts":"`...)
	b = now.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","`...)
	b = append(b, key...)
	return append(b, `":"`...)
}

const textEnd = "\"}\n"

// seal returns the beginning of a text frame whose payload has length bytes and
// begins after the first headerRoom bytes of b. It writes the header directly
// before the payload, so that both need one write.
func seal(b []byte, length int) []byte {
	h := ws.Header{Fin: true, OpCode: ws.OpText, Length: int64(length)}
	b = b[headerRoom-ws.HeaderSize(h):]
	ws.WriteHeader(bytes.NewBuffer(b[:0]), h)
	return b
}
