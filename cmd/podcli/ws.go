package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// closeWait is how long the client waits for the server's close frame, and after a
// failed write for what the server sent before.
const closeWait = time.Second

// wsClient is the command ws.
type wsClient struct {
	origin        string
	header        http.Header
	tls           *tlsFlags
	timeout, wait time.Duration
	out           *output
}

// console is where the user enters and sees messages.
type console interface {
	// readLine returns the next message, or io.EOF at the end of the input.
	readLine() (string, error)
	show(op ws.OpCode, data []byte)
}

func wsCommand() *command {
	c := newCommand("ws", "URL", "Open a WebSocket session.")
	c.details = `Each line of the input is sent as a message. Received messages are printed one
per line, binary ones in hexadecimal. On a terminal, they follow "< ", Ctrl-D ends
the session, and the arrow keys edit the line and recall earlier lines. In a pipe,
the output is the messages and nothing else. URL without a scheme means ws://URL. The exit code is 0 if the session was ended by the user, or by the
server with code 1000.`
	c.examples = []string{"podcli ws localhost:9898/ws/echo", "echo hello | podcli ws wss://localhost:9899/ws/echo --cacert ca.crt"}
	w := new(wsClient)
	c.flags.StringVarP(&w.origin, "origin", "o", "", "Origin header to send (default: the URL's host)")
	w.header, w.tls = addHeader(c.flags), addTLS(c.flags)
	c.flags.DurationVar(&w.timeout, "timeout", 5*time.Second, "time limit for connecting")
	c.flags.DurationVar(&w.wait, "wait", time.Second, "time to wait for messages after the end of piped input")
	w.out = addOutput(c.flags, "")
	c.do = func(ctx context.Context, args []string) error {
		u, err := parseURL(args[0], "ws", "wss")
		if err == nil && (w.timeout <= 0 || w.wait < 0) {
			err = errors.New("--timeout must be above 0, --wait must not be negative")
		}
		if err != nil {
			return c.usagef("%w", err)
		}
		return w.run(ctx, u)
	}
	return c
}

func (w *wsClient) run(ctx context.Context, u *url.URL) error {
	conn, err := w.dial(ctx, u)
	if err != nil {
		return w.finish(err, false)
	}
	defer conn.Close()
	if isTerminal(os.Stdin) && isTerminal(os.Stdout) && !w.out.json {
		t, err := newTerminal()
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "connected to %s; press Ctrl-D to quit\r\n", oneLine(u.Redacted()))
		err = converse(ctx, conn, t, 0)
		t.restore()
		return w.finish(err, true)
	}
	return w.finish(converse(ctx, conn, newPipe(w.out.json), w.wait), false)
}

func (w *wsClient) dial(ctx context.Context, u *url.URL) (*wsConn, error) {
	conf, err := w.tls.config()
	if err != nil {
		return nil, usage(err)
	}
	w.header.Set("Origin", originOf(u, w.origin))
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	return dialWS(ctx, u, w.header, conf)
}

// originOf returns the given origin, or else that of a page on the same host
// (RFC 6454).
func originOf(u *url.URL, given string) string {
	if given != "" {
		return given
	}
	return strings.Replace(u.Scheme, "ws", "http", 1) + "://" + u.Host
}

// converse sends and shows messages until the server closes the connection or the
// input ends. It returns nil at the end of the input, and a wsutil.ClosedError when
// the server closed the connection.
func converse(ctx context.Context, conn *wsConn, c console, wait time.Duration) error {
	received, typed := make(chan error, 1), make(chan error, 1)
	go func() { received <- showAll(conn, c) }()
	go func() { typed <- sendAll(conn, c) }()
	select {
	case err := <-received:
		return err
	case err := <-typed:
		if err != nil {
			return endOf(received, err)
		}
	case <-ctx.Done():
	}
	select {
	case err := <-received:
		return err
	case <-time.After(wait):
	case <-ctx.Done():
	}
	if err := conn.sendClose(ws.StatusNormalClosure); err != nil {
		return endOf(received, err)
	}
	select {
	case <-received:
	case <-time.After(closeWait):
	}
	return ctx.Err()
}

// endOf returns why the connection ended after a failed write: what the server sent
// before is shown first, and a close frame among it tells more than the failure.
func endOf(received <-chan error, failed error) error {
	select {
	case err := <-received:
		if closed := (wsutil.ClosedError{}); errors.As(err, &closed) {
			return err
		}
	case <-time.After(closeWait):
	}
	return failed
}

func showAll(conn *wsConn, c console) error {
	for {
		op, data, err := conn.receive()
		if err != nil {
			return err
		}
		c.show(op, data)
	}
}

func sendAll(conn *wsConn, c console) error {
	for {
		line, err := c.readLine()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = conn.send(ws.OpText, []byte(line))
		}
		if err != nil {
			return err
		}
	}
}

// finish prints why the session has ended.
func (w *wsClient) finish(err error, terminal bool) error {
	closed := wsutil.ClosedError{Code: ws.StatusNormalClosure}
	if err != nil && !errors.As(err, &closed) {
		if w.out.json {
			printJSON(map[string]string{"type": "error", "error": err.Error()})
			return errFailed
		}
		return fmt.Errorf("podcli ws: %w", err)
	}
	if w.out.json {
		printJSON(map[string]any{"type": "close", "code": closed.Code, "reason": closed.Reason})
	} else if terminal || closed.Code != ws.StatusNormalClosure { // in a pipe, nothing but the messages
		fmt.Fprintln(os.Stderr, oneLine("closed: "+closeName(closed.Code)+" "+closed.Reason))
	}
	if closed.Code != ws.StatusNormalClosure {
		return errFailed
	}
	return nil
}

// body returns a message as text.
func body(op ws.OpCode, data []byte) string {
	if op == ws.OpBinary {
		return fmt.Sprintf("% x", data)
	}
	return string(data)
}

// frameObject returns a message for JSON output.
func frameObject(op ws.OpCode, data []byte) map[string]string {
	if op == ws.OpBinary {
		return map[string]string{"type": "binary", "data": hex.EncodeToString(data)}
	}
	return map[string]string{"type": "text", "data": string(data)}
}
