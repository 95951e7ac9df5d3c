package wsecho

import (
	"bytes"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
)

const (
	headerRoom = ws.MaxHeaderSize - 4 // bytes of the longest header without a mask
	maxPooled  = 64 << 10             // bytes of the largest message that is reused
)

// message holds the buffers that a connection needs only during a message.
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
	if cap(msg.in)+cap(msg.out) <= maxPooled {
		m.messages.Put(msg)
	}
}

// echo returns the frame that echoes msg. It is valid until msg is freed.
func (msg *message) echo(now time.Time) []byte {
	msg.out = append(msg.out[:0], make([]byte, headerRoom)...)
	msg.out = appendText(msg.out, now, "msg", string(msg.in))
	return seal(msg.out)
}

// statusFrame returns the frame of a status message.
func statusFrame(now time.Time, hostname string) []byte {
	return seal(appendText(make([]byte, headerRoom), now, "server", hostname))
}

// appendText appends the payload of a message in upstream's format.
func appendText(b []byte, now time.Time, key, value string) []byte {
	b = append(b, `{"ts":"`...)
	b = now.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","`...)
	b = append(b, key...)
	b = append(b, `":`...)
	b = jsonlog.AppendString(b, value)
	return append(b, "}\n"...)
}

// seal returns the text frame whose payload follows the first headerRoom bytes of
// b. It writes the header directly before the payload, so that the frame needs
// one write.
func seal(b []byte) []byte {
	h := ws.Header{Fin: true, OpCode: ws.OpText, Length: int64(len(b) - headerRoom)}
	b = b[headerRoom-ws.HeaderSize(h):]
	ws.WriteHeader(bytes.NewBuffer(b[:0]), h)
	return b
}

// grow returns b with n more bytes.
func grow(b []byte, n int) []byte { return slices.Grow(b, n)[:len(b)+n] }
