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

// closeWait is how long the other side has to answer a close frame.
const closeWait = time.Second

// wsClient is the ws command.
type wsClient struct {
	origin        string
	header        http.Header
	tls           *tlsFlags
	timeout, wait time.Duration
	out           *output
}

// console is where messages are typed and shown.
type console interface {
	// readLine is the next message. io.EOF is the end of them.
	readLine() (string, error)
	show(op ws.OpCode, data []byte)
}

func wsCommand() *command {
	c := newCommand("ws", "URL", "Talk to a WebSocket.")
	c.more = `Each line typed, or read from a pipe, is sent as one message; each message that
comes is shown behind "< ", a binary one in hexadecimal. On a terminal Ctrl-D
ends it, and the arrow keys edit the line and bring back those before. Without
a scheme, URL is ws://URL. It exits with 0 when it was ended here, or by the
server with code 1000.`
	c.examples = []string{"podcli ws localhost:9898/ws/echo", "echo hello | podcli ws wss://localhost:9899/ws/echo --cacert ca.crt"}
	w := new(wsClient)
	c.flags.StringVarP(&w.origin, "origin", "o", "", "Origin to send, instead of the URL's own")
	w.header, w.tls = addHeader(c.flags), addTLS(c.flags)
	c.flags.DurationVar(&w.timeout, "timeout", 5*time.Second, "time to connect")
	c.flags.DurationVar(&w.wait, "wait", time.Second, "time to wait for answers after the end of a piped input")
	w.out = addOutput(c.flags, "")
	c.do = func(ctx context.Context, args []string) error {
		u, err := parseURL(args[0], "ws", "wss")
		if err == nil && (w.timeout <= 0 || w.wait < 0) {
			err = errors.New("--timeout wants more than 0, --wait 0 or more")
		}
		if err != nil {
			return c.errorf("%w", err)
		}
		return w.run(ctx, u)
	}
	return c
}

func (w *wsClient) run(ctx context.Context, u *url.URL) error {
	conn, err := w.dial(ctx, u)
	if err != nil {
		return w.ended(err)
	}
	defer conn.Close()
	if isTerminal(os.Stdin) && isTerminal(os.Stdout) && !w.out.json {
		t, err := newTerminal()
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "connected to %s, Ctrl-D ends\r\n", oneLine(u.Redacted()))
		err = converse(ctx, conn, t, 0)
		t.restore()
		return w.ended(err)
	}
	return w.ended(converse(ctx, conn, newPipe(w.out.json), w.wait))
}

func (w *wsClient) dial(ctx context.Context, u *url.URL) (*wsConn, error) {
	conf, err := w.tls.config()
	if err != nil {
		return nil, err
	}
	origin := w.origin
	if origin == "" { // RFC 6454: the scheme and the host of the page it would be on
		origin = strings.Replace(u.Scheme, "ws", "http", 1) + "://" + u.Host
	}
	w.header.Set("Origin", origin)
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	return dialWS(ctx, u, w.header, conf)
}

// converse sends what is typed and shows what comes until either side ends it.
// The error is what ended it: a wsutil.ClosedError when the server did, nil
// when the input did.
func converse(ctx context.Context, conn *wsConn, c console, wait time.Duration) error {
	received, typed := make(chan error, 1), make(chan error, 1)
	go func() { received <- showAll(conn, c) }()
	go func() { typed <- sendAll(conn, c) }()
	select {
	case err := <-received:
		return err
	case err := <-typed:
		if err != nil {
			return err
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
		return err
	}
	select {
	case <-received:
	case <-time.After(closeWait):
	}
	return ctx.Err()
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

// ended tells why the conversation is over.
func (w *wsClient) ended(err error) error {
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
	} else {
		fmt.Fprintln(os.Stderr, oneLine("closed: "+closeName(closed.Code)+" "+closed.Reason))
	}
	if closed.Code != ws.StatusNormalClosure {
		return errFailed
	}
	return nil
}

// body is a message as text.
func body(op ws.OpCode, data []byte) string {
	if op == ws.OpBinary {
		return fmt.Sprintf("% x", data)
	}
	return string(data)
}

// frameObject is a message for programs.
func frameObject(op ws.OpCode, data []byte) map[string]string {
	if op == ws.OpBinary {
		return map[string]string{"type": "binary", "data": hex.EncodeToString(data)}
	}
	return map[string]string{"type": "text", "data": string(data)}
}
