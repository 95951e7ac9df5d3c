package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed-4591fe7d/podinfo/internal/closecode"
)

// maxFrame is the longest accepted WebSocket message in bytes.
const maxFrame = 16 << 20

// wsConn is a WebSocket connection. One goroutine may receive while others send.
type wsConn struct {
	net.Conn
	reader *wsutil.Reader

	mu     sync.Mutex // serializes writes and guards closed
	closed bool       // a close frame was sent
}

func dialWS(ctx context.Context, u *url.URL, header http.Header, conf *tls.Config) (*wsConn, error) {
	d := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header), TLSConfig: conf}
	conn, early, _, err := d.Dial(ctx, u.String())
	if err != nil {
		return nil, err
	}
	c := &wsConn{Conn: conn}
	var from io.Reader = conn
	if early != nil { // the server sent frames together with the handshake
		from = io.MultiReader(io.LimitReader(early, int64(early.Buffered())), conn)
	}
	c.reader = &wsutil.Reader{
		Source: bufio.NewReader(from), State: ws.StateClientSide,
		CheckUTF8: true, MaxMessageSize: maxFrame, OnIntermediate: c.control,
	}
	return c, nil
}

// send sends a message in one frame. After a close frame it does nothing.
func (c *wsConn) send(op ws.OpCode, data []byte) error {
	frame, err := ws.CompileFrame(ws.MaskFrame(ws.NewFrame(op, true, data)))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed { // RFC 6455, section 5.5.1: no frame may follow a close frame
		return nil
	}
	c.closed = op == ws.OpClose
	_, err = c.Write(frame)
	return err
}

// sendClose starts or completes the closing handshake.
func (c *wsConn) sendClose(code ws.StatusCode) error {
	return c.send(ws.OpClose, ws.NewCloseFrameBody(code, ""))
}

// receive returns the next message and handles control frames before it. The error
// is a wsutil.ClosedError when the server closed the connection with a close frame.
func (c *wsConn) receive() (ws.OpCode, []byte, error) {
	for {
		head, err := c.reader.NextFrame()
		if err == nil && head.OpCode.IsControl() {
			err = c.control(head, c.reader)
			if err == nil {
				continue
			}
		}
		var data []byte
		if err == nil {
			data, err = io.ReadAll(c.reader)
		}
		if err != nil {
			c.closeFor(err)
			return 0, nil, err
		}
		return head.OpCode, data, nil
	}
}

// control replies to a ping with a pong, and to a close frame with the same code.
func (c *wsConn) control(head ws.Header, payload io.Reader) error {
	data := make([]byte, head.Length) // at most 125, as the reader has checked
	if _, err := io.ReadFull(payload, data); err != nil {
		return err
	}
	switch head.OpCode {
	case ws.OpPing:
		c.send(ws.OpPong, data) // after a failure there may be more to receive
	case ws.OpClose:
		code, reason := ws.StatusNoStatusRcvd, ""
		if len(data) > 0 {
			code, reason = ws.ParseCloseFrameData(data)
			if err := closecode.Check(code, reason); err != nil {
				return err
			}
			data = data[:2]
		}
		c.send(ws.OpClose, data)
		return wsutil.ClosedError{Code: code, Reason: reason}
	}
	return nil
}

// closeFor sends a close frame with the code for a protocol error of the server.
func (c *wsConn) closeFor(err error) {
	var protocol ws.ProtocolError
	switch {
	case errors.Is(err, wsutil.ErrMessageTooLarge):
		c.sendClose(ws.StatusMessageTooBig)
	case errors.Is(err, wsutil.ErrInvalidUTF8):
		c.sendClose(ws.StatusInvalidFramePayloadData)
	case errors.As(err, &protocol):
		c.sendClose(ws.StatusProtocolError)
	}
}

// closeName returns a close code with its meaning (RFC 6455, section 7.4.1).
func closeName(code ws.StatusCode) string {
	names := map[ws.StatusCode]string{
		1000: "normal closure", 1001: "going away", 1002: "protocol error", 1003: "unsupported data",
		1005: "no status", 1007: "invalid data", 1008: "policy violation", 1009: "message too big",
		1010: "extension missing", 1011: "server error", 1012: "service restart", 1013: "try again later",
	}
	if name, ok := names[code]; ok {
		return fmt.Sprintf("%d (%s)", code, name)
	}
	return fmt.Sprint(uint16(code))
}

// expire makes reads and writes fail when ctx ends, until stop is called.
func (c *wsConn) expire(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
}
