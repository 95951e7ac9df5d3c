package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
)

// A client does the same thing again and again over a connection.
type client interface {
	do() error
	io.Closer
}

// first does what a new client does first.
func first(c client) error {
	switch c := c.(type) {
	case idle:
		return c.client.do()
	case *wsWaiter: // many of them would wait one after the other
		return nil
	}
	return c.do()
}

// limited sets a time limit, so that a server that does not respond is an error.
func limited(conn net.Conn) net.Conn {
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	return conn
}

// httpClient sends one request again and again, with as little CPU time as can be:
// it shares the processors with the server.
type httpClient struct {
	net.Conn
	in      *bufio.Reader
	request []byte
	status  string
}

func dialHTTP(addr, method, path, body, status string) (client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: podinfo\r\nUser-Agent: bench\r\n", method, path)
	if method != "GET" {
		request = fmt.Appendf(request, "Content-Length: %d\r\n", len(body))
	}
	return &httpClient{limited(conn), bufio.NewReader(conn), append(append(request, "\r\n"...), body...), status}, nil
}

func (c *httpClient) do() error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(line), "HTTP/1.1 "+c.status) {
		return fmt.Errorf("%s: got %q, want %s", c.request[:bytes.IndexByte(c.request, '\r')], line, c.status)
	}
	length, chunked := 0, false
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
		chunked = chunked || bytes.HasPrefix(line, []byte("Transfer-Encoding: chunked"))
	}
	if chunked {
		return c.skipChunks()
	}
	_, err = c.in.Discard(length)
	return err
}

// skipChunks reads a body of chunks and no trailer.
func (c *httpClient) skipChunks() error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return err
		}
		if _, err := c.in.Discard(int(n) + 2); err != nil || n == 0 {
			return err
		}
	}
}

// wsClient sends a message and reads until its echo: the server also sends messages
// by itself.
type wsClient struct {
	net.Conn
	in    io.Reader
	frame []byte
}

func dialWS(addr string) (client, error) {
	conn, buffered, _, err := ws.Dial(context.Background(), "ws://"+addr+"/ws/echo")
	if err != nil {
		return nil, err
	}
	var in io.Reader = conn
	if buffered != nil { // with messages that came with the handshake
		in = buffered
	}
	return &wsClient{limited(conn), in, ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(wsMessage))))}, nil
}

const wsMessage = "hello, world"

func (c *wsClient) do() error {
	if _, err := c.Write(c.frame); err != nil {
		return err
	}
	for {
		message, err := c.receive()
		if err != nil {
			return err
		}
		if bytes.Contains(message, []byte(wsMessage)) { // podinfo wraps it in JSON
			return nil
		}
	}
}

func (c *wsClient) receive() ([]byte, error) {
	return wsutil.ReadServerText(struct {
		io.Reader
		io.Writer
	}{c.in, c.Conn})
}

// wsWaiter waits for a message that the server sends by itself.
type wsWaiter struct{ *wsClient }

func dialWSWaiter(addr string) (client, error) {
	c, err := dialWS(addr)
	if err != nil {
		return nil, err
	}
	return &wsWaiter{c.(*wsClient)}, nil
}

func (c *wsWaiter) do() error {
	_, err := c.receive()
	return err
}

// eventClient waits for an event.
type eventClient struct {
	net.Conn
	in    *bufio.Reader
	bytes int // of the last event
}

func dialEvents(addr string, size int) (client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "GET /ui/events?bytes=%d HTTP/1.1\r\nHost: %s\r\n\r\n", size, addr)
	c := &eventClient{Conn: limited(conn), in: bufio.NewReader(conn)}
	line, err := textproto.NewReader(c.in).ReadLine()
	if err == nil && line != "HTTP/1.1 200 OK" {
		err = errors.New("/ui/events: " + line)
	}
	for err == nil && line != "" {
		line, err = textproto.NewReader(c.in).ReadLine()
	}
	return c, err
}

func (c *eventClient) do() error {
	c.bytes = 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		c.bytes += len(line)
		if len(line) == 1 { // the chunks end their lines with CR LF
			return nil
		}
	}
}

// grpcClient calls Echo over one connection, or sends a message on a stream.
type grpcClient struct {
	*grpc.ClientConn
	call func() error
}

func (c *grpcClient) do() error { return c.call() }

var message = &echopb.Message{Body: "hello, world"}

func dialGRPC(addr string) (client, error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	echo := echopb.NewEchoServiceClient(conn)
	return &grpcClient{conn, func() error {
		_, err := echo.Echo(context.Background(), message)
		return err
	}}, nil
}
