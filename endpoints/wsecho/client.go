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

	"github.com/gobwas/ws"
	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/closecode"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

const (
	writeTimeout = 10 * time.Second // for one write to a client that reads slowly
	closeTimeout = 5 * time.Second  // for a client to close after it was told its protocol error
	readBuffer   = 512              // bytes
)

var (
	errIdle   = errors.New("idle timeout")
	errFailed = errors.New("the client has not closed its side after a protocol error")
)

// client is a connection. Only its reader may use it, except for pending.
type client struct {
	net.Conn
	m        *Module
	early    []byte        // data that the client sent together with the handshake
	in       *bufio.Reader // reads by Read
	header   [ws.MaxHeaderSize]byte
	message  *message      // the message being received
	received time.Time     // when the last complete frame arrived
	closeBy  time.Time     // after a close frame was sent: when to stop waiting for the client's
	failed   bool          // the connection ends without the client's close frame
	pending  atomic.Uint32 // flags set by other goroutines
}

// closing is the error that ends a connection with a close frame (RFC 6455,
// section 7.4).
type closing struct {
	code    ws.StatusCode // 0 for none
	reason  string
	isReply bool // the client sent its close frame
}

func (c closing) Error() string { return fmt.Sprintf("closed with %d %s", c.code, c.reason) }

func violation(code ws.StatusCode, reason string) closing {
	return closing{code: code, reason: reason}
}

// serve reads until the connection ends.
func (c *client) serve() {
	c.in = bufio.NewReaderSize(c, readBuffer)
	c.received = time.Now()
	err := c.handlePending()
	for err == nil {
		err = c.readFrame()
	}
	if cl, ok := errors.AsType[closing](err); ok {
		c.fail(cl)
	}
	c.end(err)
}

func (c *client) end(err error) {
	c.freeMessage()
	c.Close()
	c.m.clients.remove(c)
	refused := ""
	switch cl, _ := errors.AsType[closing](err); {
	case cl.code == statusTryAgainLater && !cl.isReply:
		refused = record.RefusedMemory // the budget counts it
	case errors.Is(err, os.ErrDeadlineExceeded): // of a write: reads handle theirs
		refused = record.RefusedStall
		c.m.stalled.Load().Inc()
	}
	if log := c.m.host.Log; log.Logger.IsLevelEnabled(logrus.DebugLevel) {
		if log = log.WithField("remote", c.RemoteAddr().String()); refused != "" {
			log = log.WithField("refused", refused)
		}
		log.WithError(err).Debug("websocket connection closed")
	}
}

// Read reads from the client. While it waits for data, it handles the pending
// flags.
func (c *client) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
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
		if err := c.handlePending(); err != nil {
			return 0, err
		}
	}
}

// handlePending runs when the read deadline has passed, either because of a
// timeout or because another goroutine has set a flag. It resets the deadline
// before it reads the flags, so that a flag set later interrupts the reader
// again.
func (c *client) handlePending() error {
	end := c.closeBy
	if end.IsZero() {
		end = c.received.Add(c.m.IdleTimeout)
	}
	if !time.Now().Before(end) {
		return errIdle
	}
	if err := c.SetReadDeadline(end); err != nil {
		return err
	}
	flags := c.pending.Swap(0)
	if flags == 0 {
		return nil
	}
	if flags&goAway != 0 {
		if c.failed {
			return errFailed
		}
		return c.sendClose(closing{code: ws.StatusGoingAway, reason: "going away"}, c.m.IdleTimeout)
	}
	var out []byte
	if flags&sendStatus != 0 {
		out = append(out, *c.m.status.Load()...)
	}
	if flags&sendPing != 0 {
		out = append(out, ws.CompiledPing...)
	}
	return c.write(out)
}

// write sends complete frames in one write. It sends nothing after a close frame,
// which no frame may follow (RFC 6455, section 5.5.1).
func (c *client) write(b []byte) error {
	if !c.closeBy.IsZero() {
		return nil
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := c.Conn.Write(b); err != nil {
		return err
	}
	// Reset the deadline: TLS may have to write during a later read.
	return c.SetWriteDeadline(time.Time{})
}

// readFrame reads one frame (RFC 6455, section 5.2) and handles it. Control
// frames may come between the frames of a fragmented message.
func (c *client) readFrame() error {
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
	p := make([]byte, h.Length) // at most 125
	if _, err := io.ReadFull(&payload{r: c.in, mask: h.Mask, left: h.Length}, p); err != nil {
		return err
	}
	c.received = time.Now()
	switch h.OpCode {
	case ws.OpPing:
		return c.write(ws.MustCompileFrame(ws.NewPongFrame(p)))
	case ws.OpClose:
		return closeReply(p)
	}
	return nil // a pong needs no handling beyond updating c.received
}

// closeReply returns the reply to a close frame with payload p: the same code if
// the payload is valid.
func closeReply(p []byte) closing {
	if len(p) == 0 {
		return closing{isReply: true}
	}
	if len(p) == 1 {
		return violation(ws.StatusProtocolError, "incomplete status code")
	}
	code, reason := ws.ParseCloseFrameData(p)
	switch err := closecode.Check(code, reason); {
	case errors.Is(err, ws.ErrProtocolInvalidUTF8):
		return violation(ws.StatusInvalidFramePayloadData, err.Error())
	case err != nil:
		return violation(ws.StatusProtocolError, err.Error())
	}
	return closing{code: code, isReply: true}
}

func (c *client) data(h ws.Header) error {
	if c.message == nil {
		c.message = c.m.newMessage(h.OpCode)
	}
	msg := c.message
	if h.Length > int64(c.m.MaxMessage-msg.in.Len()) {
		return violation(ws.StatusMessageTooBig, "message too big")
	}
	if err := msg.readPayload(c.in, h); err != nil {
		return overBudget(err)
	}
	c.received = time.Now()
	if !h.Fin {
		return nil
	}
	defer c.freeMessage()
	err := c.m.writeEcho((*pieces)(c), msg, c.received)
	if errors.Is(err, errNotUTF8) {
		return violation(ws.StatusInvalidFramePayloadData, err.Error())
	}
	if err != nil {
		return overBudget(err)
	}
	// Reset the deadline: TLS may have to write during a later read.
	return c.SetWriteDeadline(time.Time{})
}

// overBudget returns the error that ends a connection with err.
func overBudget(err error) error {
	if errors.Is(err, budget.ErrExceeded) {
		return violation(statusTryAgainLater, "no memory for this message now")
	}
	return err
}

// statusTryAgainLater is the close code of a server that is overloaded, from the
// registry that RFC 6455 set up (section 11.7).
const statusTryAgainLater ws.StatusCode = 1013

// freeMessage drops the message being received, if there is one.
func (c *client) freeMessage() {
	if c.message != nil {
		c.m.freeMessage(c.message)
		c.message = nil
	}
}

// pieces writes the pieces of a frame to a client, each within the write timeout.
// Like write it sends nothing after a close frame.
type pieces client

// Write implements io.Writer.
func (p *pieces) Write(b []byte) (int, error) {
	if !p.closeBy.IsZero() {
		return len(b), nil
	}
	if err := p.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// sendClose sends a close frame and closes the sending side, if the server has not
// done so already. It sets how long the client may take for its own close frame.
// After both close frames the connection is closed (RFC 6455, section 7.1.1).
func (c *client) sendClose(cl closing, wait time.Duration) error {
	if !c.closeBy.IsZero() {
		return nil
	}
	var body []byte
	if cl.code != 0 {
		body = ws.NewCloseFrameBody(cl.code, cl.reason)
	}
	if err := c.write(ws.MustCompileFrame(ws.NewCloseFrame(body))); err != nil {
		return err
	}
	c.closeBy = time.Now().Add(wait)
	if cl.isReply {
		return nil
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	return c.SetReadDeadline(c.closeBy)
}

// fail sends a close frame, as a reply or because of an error. After an error it
// waits until the client closes its side, and ignores what else the client sends
// (RFC 6455, section 7.1.7): closing the socket while data is unread would reset
// the connection, and the client could lose the frame.
func (c *client) fail(cl closing) {
	c.freeMessage()
	sent := !c.closeBy.IsZero()
	if c.sendClose(cl, closeTimeout) != nil || cl.isReply || sent {
		return
	}
	c.failed = true
	if c.pending.Load()&goAway == 0 { // a later request interrupts the reader
		io.Copy(io.Discard, c.in)
	}
}
