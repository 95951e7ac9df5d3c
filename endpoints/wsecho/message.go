package wsecho

import (
	"bytes"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
)

const (
	room     = ws.MaxHeaderSize - 4 // bytes of the longest header without a mask
	keepable = 64 << 10             // bytes of the largest message that is kept for reuse
)

// message is what a connection needs only while it has one in hand.
type message struct {
	op      ws.OpCode
	in, out []byte
}

func (m *Module) newMessage(op ws.OpCode) *message {
	msg, ok := m.messages.Get().(*message)
	if !ok {
		msg = new(message)
	}
	msg.op, msg.in = op, msg.in[:0]
	return msg
}

func (m *Module) freeMessage(msg *message) {
	if cap(msg.in)+cap(msg.out) <= keepable {
		m.messages.Put(msg)
	}
}

// echo is the frame that answers msg, good until msg is freed.
func (msg *message) echo(now time.Time) []byte {
	msg.out = append(msg.out[:0], make([]byte, room)...)
	msg.out = appendText(msg.out, now, "msg", string(msg.in))
	return seal(msg.out)
}

func statusFrame(now time.Time, hostname string) []byte {
	return seal(appendText(make([]byte, room), now, "server", hostname))
}

func appendText(b []byte, now time.Time, key, value string) []byte {
	b = append(b, `{"ts":"`...)
	b = now.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","`...)
	b = append(b, key...)
	b = append(b, `":`...)
	b = jsonlog.AppendString(b, value)
	return append(b, "}\n"...)
}

// seal puts the header of a text frame into the room before b's payload, so
// that the whole is one write.
func seal(b []byte) []byte {
	h := ws.Header{Fin: true, OpCode: ws.OpText, Length: int64(len(b) - room)}
	b = b[room-ws.HeaderSize(h):]
	ws.WriteHeader(bytes.NewBuffer(b[:0]), h)
	return b
}

// grow is b with n more bytes.
func grow(b []byte, n int) []byte { return slices.Grow(b, n)[:len(b)+n] }
