package wsecho

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/sirupsen/logrus"
)

const (
	writeTimeout = 10 * time.Second // for one write to a client that is slow to read
	closeTimeout = 5 * time.Second  // for a client to close after its error was named
	readBuffer   = 512              // bytes a connection keeps for what it reads
)

var errIdle = errors.New("nothing heard for too long")

// client is a connection. But for asked, it belongs to its reader.
type client struct {
	net.Conn
	m       *Module
	head    []byte        // what came behind the handshake
	in      *bufio.Reader // reads by Read
	header  [ws.MaxHeaderSize]byte
	message *message      // the one being received
	heard   time.Time     // when the last whole frame had come
	until   time.Time     // once a close frame was sent: when waiting for the client's ends
	asked   atomic.Uint32 // by others
}

// closing ends a connection with a close frame (RFC 6455, 7.4).
type closing struct {
	code     ws.StatusCode // 0 for none
	reason   string
	answer   bool // the client closed first
	patience time.Duration
}

func (c closing) Error() string { return fmt.Sprintf("closed with %d %s", c.code, c.reason) }

func violation(code ws.StatusCode, reason string) closing {
	return closing{code: code, reason: reason, patience: closeTimeout}
}

// serve reads until the connection ends.
func (c *client) serve() {
	c.in = bufio.NewReaderSize(c, readBuffer)
	c.heard = time.Now()
	err := c.wake()
	for err == nil {
		err = c.frame()
	}
	if bye, ok := errors.AsType[closing](err); ok {
		c.bye(bye)
	}
	c.end(err)
}

func (c *client) end(why error) {
	c.Close()
	c.m.clients.remove(c)
	if log := c.m.host.Log; log.Logger.IsLevelEnabled(logrus.DebugLevel) {
		log.WithField("remote", c.RemoteAddr().String()).WithError(why).Debug("websocket ended")
	}
}

// Read reads from the client, and does between two reads what was asked for.
func (c *client) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		if c.head = c.head[n:]; len(c.head) == 0 {
			c.head = nil
		}
		return n, nil
	}
	for {
		n, err := c.Conn.Read(p)
		if n > 0 {
			return n, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		if err := c.wake(); err != nil {
			return 0, err
		}
	}
}

// wake comes when the read deadline has passed: time is up, or something was
// asked for. The deadline is set anew before asked is read, so that what is
// asked for from here on is a deadline passed again.
func (c *client) wake() error {
	end := c.until
	if end.IsZero() {
		end = c.heard.Add(c.m.IdleTimeout)
	}
	if !time.Now().Before(end) {
		return errIdle
	}
	if err := c.SetReadDeadline(end); err != nil {
		return err
	}
	asked := c.asked.Swap(0)
	if asked == 0 || !c.until.IsZero() {
		return nil // nothing may follow a close frame
	}
	if asked&goAway != 0 {
		return closing{code: ws.StatusGoingAway, reason: "going away", patience: c.m.IdleTimeout}
	}
	var out []byte
	if asked&sendStatus != 0 {
		out = append(out, *c.m.status.Load()...)
	}
	if asked&sendPing != 0 {
		out = append(out, ws.CompiledPing...)
	}
	return c.write(out)
}

// write sends whole frames in one piece.
func (c *client) write(b []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := c.Conn.Write(b); err != nil {
		return err
	}
	// TLS may have to write while it reads, when this deadline is long gone.
	return c.SetWriteDeadline(time.Time{})
}

// frame takes one frame (RFC 6455, 5.2). A fragmented message may have control
// frames between its parts.
func (c *client) frame() error {
	h, err := ws.ReadHeaderBuffer(c.in, c.header[:])
	if errors.Is(err, ws.ErrHeaderLengthMSB) {
		return violation(ws.StatusProtocolError, "frame length out of range")
	}
	if err != nil {
		return err
	}
	state := ws.StateServerSide
	if c.message != nil {
		state = state.Set(ws.StateFragmented)
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return violation(ws.StatusProtocolError, err.Error())
	}
	if h.OpCode.IsControl() {
		return c.control(h)
	}
	return c.data(h)
}

func (c *client) control(h ws.Header) error {
	p, err := c.payload(nil, h)
	if err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		return c.write(ws.MustCompileFrame(ws.NewPongFrame(p)))
	case ws.OpClose:
		return answer(p)
	}
	return nil // a pong has said all by coming
}

// answer mirrors a close frame that is sound.
func answer(p []byte) closing {
	if len(p) == 0 {
		return closing{answer: true}
	}
	if len(p) == 1 {
		return violation(ws.StatusProtocolError, "half a status code")
	}
	code, reason := ws.ParseCloseFrameData(p)
	switch err := ws.CheckCloseFrameData(code, reason); {
	case errors.Is(err, ws.ErrProtocolInvalidUTF8):
		return violation(ws.StatusInvalidFramePayloadData, err.Error())
	case err != nil:
		return violation(ws.StatusProtocolError, err.Error())
	}
	return closing{code: code, answer: true}
}

func (c *client) data(h ws.Header) (err error) {
	if c.message == nil {
		c.message = c.m.newMessage(h.OpCode)
	}
	msg := c.message
	if h.Length > int64(c.m.MaxMessage-len(msg.in)) {
		return violation(ws.StatusMessageTooBig, "message too big")
	}
	if msg.in, err = c.payload(msg.in, h); err != nil || !h.Fin {
		return err
	}
	c.message = nil
	defer c.m.freeMessage(msg)
	if msg.op == ws.OpText && !utf8.Valid(msg.in) {
		return violation(ws.StatusInvalidFramePayloadData, "text is not UTF-8")
	}
	return c.write(msg.echo(c.heard))
}

// payload appends h's payload to b. It believes no length: memory grows as the
// bytes come.
func (c *client) payload(b []byte, h ws.Header) ([]byte, error) {
	const step = 32 << 10
	for done := 0; int64(done) < h.Length; {
		n := int(min(h.Length-int64(done), step))
		at := len(b)
		b = grow(b, n)
		if _, err := io.ReadFull(c.in, b[at:]); err != nil {
			return b, err
		}
		ws.Cipher(b[at:], h.Mask, done)
		done += n
	}
	c.heard = time.Now()
	return b, nil
}

// bye sends the close frame. A client that has not closed yet is given time to
// read it: to close the socket over its unread bytes would reset the
// connection and take the frame away from it.
func (c *client) bye(b closing) {
	var body []byte
	if b.code != 0 {
		body = ws.NewCloseFrameBody(b.code, b.reason)
	}
	if c.write(ws.MustCompileFrame(ws.NewCloseFrame(body))) != nil || b.answer {
		return
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	c.message = nil
	c.until = time.Now().Add(b.patience)
	if c.SetReadDeadline(c.until) == nil {
		io.Copy(io.Discard, c.in)
	}
}
