package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
)

// A protocol is one that podinfo serves, and what a client of it does: it sends a
// request, waits, and repeats both until a connection is refused.
type protocol struct {
	name    string
	clients int
	client  func(*result, address)
}

// address is where a server listens, and the way to it.
type address struct {
	link
	http, grpc string
}

const pause = 200 * time.Millisecond // between two requests of a client, on average

var protocols = []protocol{
	{"HTTP/1.1 POST, kept connections", 32, func(r *result, a address) { r.http(a, post, true) }},
	{"HTTP/1.1 POST, new connections", 16, func(r *result, a address) { r.http(a, post, false) }},
	{"chunked reply of 1 s", 32, func(r *result, a address) { r.http(a, "GET /chunked/1", true) }},
	{"server-sent events", 32, (*result).events},
	{"WebSocket messages", 32, (*result).webSocket},
	{"gRPC calls", 32, (*result).unary},
	{"gRPC stream messages", 32, (*result).stream},
}

const post = "POST /api/echo"

// result counts what the clients of a protocol saw.
type result struct {
	answered, told, lost, refused atomic.Int64
}

var (
	errTold   = errors.New("the server says that it leaves") // instead of a response; gRPC: GOAWAY, then UNAVAILABLE
	errStatus = errors.New("unexpected status")
	errAbsent = errors.New("the server does not serve this")
)

// note counts a request by its error. It reports whether the client goes on.
func (r *result) note(what string, err error) bool {
	switch {
	case err == nil:
		r.answered.Add(1)
	case errors.Is(err, errAbsent) || status.Code(err) == codes.Unimplemented:
		return false
	case errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "connection refused"):
		r.refused.Add(1)
		return false
	case errors.Is(err, errTold) || status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "goaway"):
		r.told.Add(1)
	default:
		if r.lost.Add(1) <= 3 {
			fmt.Fprintf(os.Stderr, "lost: %s: %v\n", what, err)
		}
	}
	return true
}

func rest() { time.Sleep(pause/2 + rand.N(pause)) }

// http sends requests on one connection, or one for each.
func (r *result) http(a address, request string, keep bool) {
	var conn net.Conn
	var in *bufio.Reader
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for ; ; rest() {
		if conn == nil {
			var err error
			if conn, err = a.dial(context.Background(), a.http); err != nil {
				r.note(request, err)
				return
			}
			in = bufio.NewReader(conn)
		}
		closed, err := send(conn, in, request, keep)
		r.note(request, err)
		if err != nil || closed {
			conn.Close()
			conn = nil
		}
	}
}

// events reads the page's events until the next sample, and connects again.
func (r *result) events(a address) {
	for ; ; rest() {
		conn, err := a.dial(context.Background(), a.http)
		if err != nil {
			r.note("events", err)
			return
		}
		r.note("events", readEvents(conn))
		conn.Close()
	}
}

// readEvents reads events until the first sample. A stream that ends before must end
// with the event that says so, and as a complete response.
func readEvents(conn net.Conn) error {
	fmt.Fprint(conn, "GET /ui/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if res.StatusCode == http.StatusServiceUnavailable {
		return errTold
	}
	if res.StatusCode == http.StatusNotFound {
		return errAbsent
	}
	bye := false
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		bye = bye || lines.Text() == "event: bye"
		if lines.Text() == "event: sample" {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if !bye {
		return errors.New("ended without an event that says so")
	}
	return errTold
}

// webSocket sends messages, each after the echo of the one before.
func (r *result) webSocket(a address) {
	dialer := ws.Dialer{NetDial: func(ctx context.Context, _, addr string) (net.Conn, error) { return a.dial(ctx, addr) }}
	for {
		conn, buffered, _, err := dialer.Dial(context.Background(), "ws://"+a.http+"/ws/echo")
		if rejected := ws.StatusError(0); errors.As(err, &rejected) && rejected == http.StatusServiceUnavailable {
			err = errTold
		}
		if err != nil {
			if !r.note("WebSocket", err) {
				return
			}
			rest()
			continue
		}
		in := bufio.NewReader(conn)
		if buffered != nil {
			in = buffered
		}
		for err == nil {
			err = echoes(conn, in)
			if err == nil {
				r.note("WebSocket", nil)
			}
			if err == nil {
				rest()
			}
		}
		r.note("WebSocket", err)
		conn.Close()
	}
}

// echoes sends a message and reads frames until its echo.
func echoes(conn net.Conn, in io.Reader) error {
	text := fmt.Append(nil, "message ", rand.Int())
	if err := wsutil.WriteClientMessage(conn, ws.OpText, bytes.Clone(text)); err != nil {
		return err
	}
	for {
		f, err := ws.ReadFrame(in)
		switch {
		case err != nil:
			return err
		case f.Header.OpCode == ws.OpClose:
			code, _ := ws.ParseCloseFrameData(f.Payload)
			wsutil.WriteClientMessage(conn, ws.OpClose, f.Payload)
			if code == ws.StatusGoingAway {
				return errTold
			}
			return fmt.Errorf("closed with %d", code)
		case f.Header.OpCode == ws.OpPing:
			wsutil.WriteClientMessage(conn, ws.OpPong, f.Payload)
		case f.Header.OpCode == ws.OpText && bytes.Contains(f.Payload, text):
			return nil
		}
	}
}

// dialGRPC returns a client, which connects again whenever the server says GOAWAY.
func (a address) dialGRPC() (echopb.EchoServiceClient, *grpc.ClientConn) {
	conn, err := grpc.NewClient("passthrough:///"+a.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(a.dial))
	if err != nil {
		panic(err) // the options are constant
	}
	return echopb.NewEchoServiceClient(conn), conn
}

func (r *result) unary(a address) {
	client, conn := a.dialGRPC()
	defer conn.Close()
	for ; ; rest() {
		_, err := client.Echo(context.Background(), &echopb.Message{Body: "x"})
		if !r.note("gRPC call", err) {
			return
		}
	}
}

// stream opens streams, each for three messages.
func (r *result) stream(a address) {
	client, conn := a.dialGRPC()
	defer conn.Close()
	for {
		ctx, cancel := context.WithCancel(context.Background())
		stream, err := client.Stream(ctx)
		for range 3 {
			if err == nil {
				err = stream.Send(&echopb.Message{Body: "x"})
			}
			if err == nil || errors.Is(err, io.EOF) { // the reason is in Recv
				_, err = stream.Recv()
			}
			if err != nil {
				break
			}
			r.note("gRPC message", nil)
			rest()
		}
		if err == nil {
			stream.CloseSend()
			if _, end := stream.Recv(); !errors.Is(end, io.EOF) {
				err = fmt.Errorf("the end of a stream: %w", end)
			}
		}
		cancel()
		if err != nil && !r.note("gRPC stream", err) {
			return
		}
	}
}

// all stops podinfo under the load of all protocols at once.
func all(program string, l link, results []result) error {
	addresses := [2]string{}
	args := []string{"--host=127.0.0.1", "--level=error"}
	for i, flag := range []string{"--port=", "--grpc-port="} {
		port, err := freePort()
		if err != nil {
			return err
		}
		addresses[i] = fmt.Sprint("127.0.0.1:", port)
		args = append(args, fmt.Sprint(flag, port))
	}
	cmd, err := start(program, addresses[1], args...)
	if err != nil {
		return err
	}
	var clients sync.WaitGroup
	for i, p := range protocols {
		for range p.clients {
			clients.Go(func() { p.client(&results[i], address{l, addresses[0], addresses[1]}) })
		}
	}
	time.Sleep(10*warmUp + 10*l.latency)
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, "exit:", err)
	}
	clients.Wait()
	return nil
}

// measureProtocols stops the program n times and prints a line for each protocol.
func measureProtocols(program string, n int, l link) error {
	results := make([]result, len(protocols))
	for range n {
		if err := all(program, l, results); err != nil {
			return err
		}
	}
	fmt.Println("| Clients | Requests | Told instead | Lost |")
	fmt.Println("|---|---|---|---|")
	for i, p := range protocols {
		r := &results[i]
		fmt.Printf("| %d, %s | %d | %d | %d |\n", p.clients, p.name, r.answered.Load(), r.told.Load(), r.lost.Load())
	}
	return nil
}
