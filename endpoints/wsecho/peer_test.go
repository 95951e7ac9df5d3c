package wsecho

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/internal/closecode"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) != "" {
		measuredServer()
		return
	}
	goleak.VerifyTestMain(m)
}

// quiet are settings without status messages during the test.
var quiet = map[string]string{"PODINFO_WS_ECHO_STATUS_INTERVAL": "1h"}

const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455, 1.3
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	handshake    = "GET /ws/echo HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + sampleKey + "\r\n\r\n"
)

// peer is a client.
type peer struct {
	net.Conn
	in *bufio.Reader
}

// dial connects to a server over TCP. It sends early together with the handshake.
func dial(t testing.TB, url, early string) *peer {
	t.Helper()
	scheme, addr, _ := strings.Cut(url, "://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if scheme == "https" {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, handshake+early); err != nil {
		t.Fatal(err)
	}
	p := &peer{conn, bufio.NewReader(conn)}
	p.upgraded(t)
	return p
}

func (p *peer) upgraded(t testing.TB) {
	t.Helper()
	res, err := http.ReadResponse(p.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Sec-WebSocket-Accept"); res.StatusCode != 101 || got != sampleAccept ||
		res.Header.Get("Upgrade") != "websocket" || res.Header.Get("Connection") != "Upgrade" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
}

// pipe connects to app in memory, so that the test can use a fake clock.
func pipe(t testing.TB, app *registry.App, early string) *peer {
	t.Helper()
	p, done := tryPipe(t, app, early)
	p.upgraded(t)
	<-done
	return p
}

func tryPipe(t testing.TB, app *registry.App, early string) (p *peer, done chan struct{}) {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	in := bufio.NewReader(io.MultiReader(strings.NewReader(handshake+early), server))
	r, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	done = make(chan struct{})
	go func() {
		defer close(done)
		w := &hijackable{conn: server, in: in, header: http.Header{}}
		app.ServeHTTP(w, r)
		if !w.hijacked {
			fmt.Fprintf(server, "HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n", w.code)
			server.Close()
		}
	}()
	return &peer{client, bufio.NewReader(client)}, done
}

// hijackable is a response writer that can be hijacked, as net/http's.
type hijackable struct {
	conn     net.Conn
	in       *bufio.Reader
	header   http.Header
	code     int
	hijacked bool
}

func (w *hijackable) Header() http.Header         { return w.header }
func (w *hijackable) WriteHeader(code int)        { w.code = code }
func (w *hijackable) Write(p []byte) (int, error) { return len(p), nil }
func (w *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return w.conn, bufio.NewReadWriter(w.in, bufio.NewWriter(w.conn)), nil
}

// masked returns a frame as a client sends it.
func masked(op ws.OpCode, fin bool, payload string) string {
	return string(ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, []byte(payload)))))
}

func text(s string) string   { return masked(ws.OpText, true, s) }
func ping(s string) string   { return masked(ws.OpPing, true, s) }
func start(s string) string  { return masked(ws.OpText, false, s) }
func middle(s string) string { return masked(ws.OpContinuation, false, s) }
func last(s string) string   { return masked(ws.OpContinuation, true, s) }
func closed(code int, reason string) string {
	return masked(ws.OpClose, true, string(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
}

func (p *peer) send(t testing.TB, frames string) {
	t.Helper()
	if _, err := io.WriteString(p, frames); err != nil {
		t.Fatal(err)
	}
}

// next describes the next frame in words: "text hello", "status", "ping",
// "pong abc", "close 1000 reason", or "end" when the connection is closed.
func (p *peer) next(t testing.TB) string {
	t.Helper()
	h, err := ws.ReadHeader(p.in)
	if err == io.EOF || err == io.ErrClosedPipe {
		return "end"
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.CheckHeader(h, ws.StateClientSide); err != nil || !h.Fin {
		t.Fatalf("%+v: %v", h, err)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(p.in, payload); err != nil {
		t.Fatal(err)
	}
	switch h.OpCode {
	case ws.OpText:
		return textMessage(t, payload)
	case ws.OpPing:
		return "ping" + string(payload)
	case ws.OpPong:
		return "pong " + string(payload)
	case ws.OpClose:
		if len(payload) == 0 {
			return "close"
		}
		code, reason := ws.ParseCloseFrameData(payload)
		if err := closecode.Check(code, reason); err != nil {
			t.Fatal(code, err)
		}
		return strings.TrimSpace(fmt.Sprintf("close %d %s", code, reason))
	}
	t.Fatalf("unexpected %+v", h)
	return ""
}

// textMessage checks the form of a text message, which is upstream's byte for
// byte, and describes the message.
func textMessage(t testing.TB, payload []byte) string {
	t.Helper()
	var m struct {
		TS          string
		Msg, Server *string
	}
	if err := json.Unmarshal(payload, &m); err != nil {
		t.Fatalf("%q: %v", payload, err)
	}
	if _, err := time.Parse(time.RFC3339Nano, m.TS); err != nil {
		t.Error(err)
	}
	key := "msg"
	if m.Server != nil {
		key = "server"
	}
	if s := string(payload); !strings.HasPrefix(s, `{"ts":"`+m.TS+`","`+key+`":"`) || !strings.HasSuffix(s, "\"}\n") {
		t.Errorf("%q", s)
	}
	if m.Server == nil {
		return "text " + *m.Msg
	}
	if host, _ := os.Hostname(); *m.Server != host {
		t.Errorf("server %q, want %q", *m.Server, host)
	}
	return "status"
}

// expect fails the test unless the next frames are want.
func (p *peer) expect(t testing.TB, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := p.next(t); got != w {
			t.Fatalf("received %.60q (%d bytes), want %.60q (%d bytes)", got, len(got), w, len(w))
		}
	}
}
