package scenarios_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/redis/go-redis/v9"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
)

// call is an action: it calls a unary RPC and sees the status code, and the error
// details.
type call struct {
	method   string
	metadata []string
	patience time.Duration
}

func (q call) act(c *client) []string {
	ctx, cancel := q.context()
	defer cancel()
	err := c.calls.Invoke(ctx, q.method, new(emptypb.Empty), new(emptypb.Empty), grpc.WaitForReady(true))
	out := status.Code(err).String()
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			out += " " + d.GetReason()
		case *errdetails.RetryInfo:
			out += fmt.Sprint(" retry in ", d.GetRetryDelay().AsDuration())
		}
	}
	return []string{out}
}

func (q call) context() (context.Context, context.CancelFunc) {
	patience := q.patience
	if patience == 0 {
		patience = time.Minute
	}
	return context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), q.metadata...), patience)
}

// stream is an action: it calls Repeat for twenty messages, one each 1.5 seconds, and
// sees how many come before the status code.
type stream struct{ call }

func (q stream) act(c *client) []string {
	ctx, cancel := q.context()
	defer cancel()
	s, err := echopb.NewEchoServiceClient(c.calls).Repeat(ctx, &echopb.RepeatRequest{Body: "x", Count: 20, IntervalMs: 1500})
	n := 0
	for err == nil {
		if _, err = s.Recv(); err == nil {
			n++
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return []string{fmt.Sprintf("%d messages, then %v", n, status.Code(err))}
}

// socket is an action: it opens a WebSocket to an echo and sends numbers, which it
// sees come back, late, twice or not at all. In the end it sees the close code.
type socket struct {
	messages int
	headers  ws.HandshakeHeaderHTTP
	ping     bool          // send a ping first
	patience time.Duration // without a message
}

func (q socket) act(c *client) []string {
	dialer := ws.Dialer{NetDial: c.srv.DialContext, Header: q.headers}
	conn, _, _, err := dialer.Dial(context.Background(), "ws"+c.srv.URL[len("http"):]+"/ws/echo")
	if err != nil {
		return []string{err.Error()}
	}
	defer conn.Close()
	sent := make(chan bool)
	go func() {
		defer close(sent)
		if q.ping {
			ws.WriteFrame(conn, ws.MaskFrame(ws.NewPingFrame([]byte("x"))))
		}
		for i := range q.messages {
			wsutil.WriteClientText(conn, []byte(strconv.Itoa(i)))
		}
	}()
	out := q.receive(conn)
	conn.Close()
	<-sent
	return out
}

// receive reads messages until the connection ends or the patience does.
func (q socket) receive(conn net.Conn) (out []string) {
	seen, last, end := map[int]bool{}, -1, ""
	for end == "" {
		conn.SetReadDeadline(time.Now().Add(q.patience))
		h, payload, err := readFrame(conn)
		switch {
		case err != nil && isTimeout(err):
			end = "open"
		case err != nil:
			end = "1006"
		case h.OpCode == ws.OpClose:
			code, _ := ws.ParseCloseFrameData(payload)
			end = strconv.Itoa(int(code))
		case h.OpCode == ws.OpPong:
			out = append(out, "pong")
		default:
			var echo struct{ Msg string }
			json.Unmarshal(payload, &echo)
			i, err := strconv.Atoi(echo.Msg)
			what := "back"
			if err != nil {
				what = string(payload)
			} else if seen[i] {
				what = "twice"
			} else if i < last {
				what = "late"
			}
			out, last, seen[i] = append(out, what), max(last, i), true
		}
	}
	for range q.messages - len(seen) {
		out = append(out, "lost")
	}
	return append(out, end)
}

func readFrame(conn net.Conn) (ws.Header, []byte, error) {
	h, err := ws.ReadHeader(conn)
	if err != nil {
		return h, nil, err
	}
	payload := make([]byte, min(h.Length, 1<<10))
	_, err = io.ReadFull(conn, payload)
	return h, payload, err
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// handshake is an action: it connects to the HTTPS port and sees what is wrong with
// the certificate.
type handshake struct{}

func (handshake) act(c *client) []string {
	conn, err := tls.Dial("tcp", c.addr, c.trust)
	if err == nil {
		conn.Close()
		return []string{"trusted"}
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return []string{"expired"}
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return []string{"wrong host"}
	}
	return []string{err.Error()}
}

// command is an action: it connects to Redis and counts, and sees the count or what
// went wrong.
type command struct{ patience time.Duration } // 0 for a minute

func (q command) act(c *client) []string {
	db := redis.NewClient(&redis.Options{Addr: c.addr, MaxRetries: -1, ReadTimeout: cmp.Or(q.patience, time.Minute), Protocol: 2, DisableIdentity: true})
	defer db.Close()
	n, err := db.Incr(context.Background(), "visits").Result()
	switch {
	case err == nil:
		return []string{fmt.Sprint(n)}
	case isTimeout(err):
		return []string{"timeout"}
	}
	return []string{problem(err)}
}
