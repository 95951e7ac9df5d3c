package main

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/clitest"
)

// socket is a WebSocket server. The path selects what it does. It sends received
// messages and close codes to received.
type socket struct {
	*httptest.Server
	received chan string
	header   atomic.Pointer[http.Header] // of the latest handshake
}

func (s *socket) url(path string) string {
	return strings.Replace(s.URL, "http", "ws", 1) + path
}

func newSocket(t *testing.T, secure bool) (*socket, *authority) {
	t.Helper()
	s := &socket{received: make(chan string, 100)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	ca, conf, _ := localhost(t)
	if s.TLS = conf; secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s, ca
}

// leftMessages is how many messages /left sends before it resets the connection.
const leftMessages = 2000

func (s *socket) serve(w http.ResponseWriter, r *http.Request) {
	s.header.Store(&r.Header)
	if r.URL.Path == "/deny" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	conn, rw, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer conn.Close()
	switch r.URL.Path {
	case "/first": // frames together with the handshake's response
		conn.Write(bytes.Join([][]byte{text("one"), binaryFrame("\x00\xff"), text("three")}, nil))
	case "/close":
		conn.Write(closing(4001, "go away"))
	case "/normal":
		conn.Write(closing(1000, ""))
	case "/drop":
		return
	case "/ping": // also in the middle of a message
		conn.Write(bytes.Join([][]byte{
			compiled(ws.NewPingFrame([]byte("p1"))), compiled(ws.NewFrame(ws.OpText, false, []byte("left "))),
			compiled(ws.NewPingFrame(nil)), compiled(ws.NewFrame(ws.OpContinuation, true, []byte("right"))),
		}, nil))
	case "/left": // more than the client has read when a write of its own fails
		conn.Write(bytes.Join([][]byte{compiled(ws.NewPingFrame(nil)), bytes.Repeat(text("left"), leftMessages), closing(1001, "bye")}, nil))
		conn.(*net.TCPConn).SetLinger(0)
		return
	case "/utf8":
		conn.Write(text("\xff"))
	case "/masked": // not allowed for a server (RFC 6455, section 5.1)
		conn.Write(compiled(ws.MaskFrame(ws.NewTextFrame([]byte("x")))))
	case "/huge":
		conn.Write([]byte{0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0})
	case "/control":
		conn.Write(text("\x1b[2Jclear\a"))
	}
	s.echo(conn, rw.Reader)
}

func (s *socket) echo(conn net.Conn, from *bufio.Reader) {
	for {
		var frames []wsutil.Message
		frames, err := wsutil.ReadMessage(from, ws.StateServerSide, frames)
		if err != nil {
			s.received <- "gone"
			return
		}
		for _, f := range frames {
			switch f.OpCode {
			case ws.OpPong:
				s.received <- "pong " + string(f.Payload)
			case ws.OpClose:
				code, _ := ws.ParseCloseFrameData(f.Payload)
				s.received <- "close " + closeName(code)
				conn.Write(compiled(ws.NewCloseFrame(f.Payload)))
				return
			case ws.OpText:
				s.received <- string(f.Payload)
				if string(f.Payload) == "leave" {
					conn.Write(closing(1001, "bye"))
				} else {
					conn.Write(text(string(f.Payload)))
				}
			}
		}
	}
}

// next returns the next n entries of received.
func (s *socket) next(n int) (out []string) {
	for range n {
		out = append(out, <-s.received)
	}
	return out
}

func compiled(f ws.Frame) []byte  { return ws.MustCompileFrame(f) }
func text(s string) []byte        { return compiled(ws.NewTextFrame([]byte(s))) }
func binaryFrame(s string) []byte { return compiled(ws.NewBinaryFrame([]byte(s))) }
func closing(c uint16, r string) []byte {
	return compiled(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(c), r)))
}

func TestCheckWS(t *testing.T) {
	s, _ := newSocket(t, false)
	r := run(t, "check", "ws", s.url("/echo"), "--header", "Authorization: Bearer x")
	r.expect(t, 0, "check succeed: ws ws://127", "size=13", "round_trip=")
	if diff := cmp.Diff([]string{"podinfo-check", "close 1000 (normal closure)"}, s.next(2)); diff != "" {
		t.Error(diff)
	}
	if s.header.Load().Get("Authorization") != "Bearer x" {
		t.Errorf("%v", s.header.Load())
	}
	for path, want := range map[string]string{
		"/deny": "403", "/close": "the server closed the connection: 4001: go away", "/normal": "the server closed the connection: 1000 (normal closure)",
		"/drop": "check failed", "/utf8": "utf8", "/masked": "mask", "/huge": "large",
	} {
		run(t, "check", "ws", s.url(path)).expect(t, 1, "check failed", want)
	}
	run(t, "check", "ws", s.url("/first")).expect(t, 0, "size=3")
	run(t, "check", "ws", s.url("/ping")).expect(t, 0, "size=10")
	run(t, "check", "ws", "ws://"+refused(t), "--retry=1", "--delay=1ms").expect(t, 1, "attempts=2")
	run(t, "check", "ws", "ws://"+silent(t), "--timeout=50ms").expect(t, 1, "no response within 50ms")
	run(t, "check", "ws", strings.TrimPrefix(s.url("/echo"), "ws://")).expect(t, 0, "check succeed: ws ws://127")
	if got := s.header.Load().Get("Origin"); got != s.URL {
		t.Errorf("origin %q, want %q", got, s.URL)
	}
	run(t, "check", "ws", s.url("/echo"), "--origin=https://example.org").expect(t, 0, "size=13")
	if got := s.header.Load().Get("Origin"); got != "https://example.org" {
		t.Errorf("origin %q", got)
	}
	o := run(t, "check", "ws", s.url("/echo"), "-o", "json").object(t)
	if o["ok"] != true || o["size"] != 13.0 || o["round_trip"].(float64) <= 0 {
		t.Errorf("%v", o)
	}
}

func TestCheckWSSecure(t *testing.T) {
	s, ca := newSocket(t, true)
	run(t, "check", "ws", s.url("/echo")).expect(t, 1, "unknown authority")
	run(t, "check", "ws", s.url("/echo"), "--cacert", ca.file).expect(t, 0, "size=13")
	run(t, "check", "ws", s.url("/echo"), "--insecure").expect(t, 0, "size=13")
}

// TestPipe runs sessions that end without waiting: either the server closes the
// connection after the message "leave", or the client ends right after its input.
func TestPipe(t *testing.T) {
	s, _ := newSocket(t, false)
	long := strings.Repeat("0123456789abcdef", 1<<14)
	const stay, leave = "--wait=1h", "--wait=0"
	for _, c := range []struct {
		name, path, in string
		args           []string
		want           ran
	}{
		{"lines", "/echo", "a\nb c\r\n\nleave\n", []string{stay}, ran{1, "a\nb c\n\n", "closed: 1001 (going away) bye\n"}},
		{"no line break at the end", "/echo", "a\nleave", []string{stay}, ran{1, "a\n", "closed: 1001 (going away) bye\n"}},
		{"long", "/echo", long + "\nleave\n", []string{stay}, ran{1, long + "\n", "closed: 1001 (going away) bye\n"}},
		{"json", "/echo", "a\"\nleave\n", []string{stay, "--output=json"}, ran{1, `{"data":"a\"","type":"text"}` + "\n" + `{"code":1001,"reason":"bye","type":"close"}` + "\n", ""}},
		{"empty input", "/echo", "", []string{leave}, ran{0, "", ""}},
		{"early frames", "/first", "leave\n", []string{stay}, ran{1, "one\n00 ff\nthree\n", "closed: 1001 (going away) bye\n"}},
		{"early frames in json", "/first", "leave\n", []string{stay, "--output", "json"}, ran{1, `{"data":"one","type":"text"}` + "\n" +
			`{"data":"00ff","type":"binary"}` + "\n" + `{"data":"three","type":"text"}` + "\n" + `{"code":1001,"reason":"bye","type":"close"}` + "\n", ""}},
		{"close code", "/close", "", []string{stay}, ran{1, "", "closed: 4001 go away\n"}},
		{"normal close", "/normal", "", []string{stay}, ran{0, "", ""}},
		{"denied", "/deny", "", nil, ran{1, "", "podcli ws: unexpected HTTP response status: 403\n"}},
		{"denied in json", "/deny", "", []string{"--output=json"}, ran{1, `{"error":"unexpected HTTP response status: 403","type":"error"}` + "\n", ""}},
		{"dropped", "/drop", "", []string{stay}, ran{1, "", "podcli ws: EOF\n"}},
		{"left after a failed write", "/left", strings.Repeat("x\n", 10000), []string{stay}, ran{1, strings.Repeat("left\n", leftMessages), "closed: 1001 (going away) bye\n"}},
		{"pings", "/ping", "leave\n", []string{stay}, ran{1, "left right\n", "closed: 1001 (going away) bye\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := runWith(t, c.in, append([]string{"ws", strings.TrimPrefix(s.url(c.path), "ws://")}, c.args...)...)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(ran{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestProtocol checks the close code for each protocol error of the server (RFC 6455,
// section 7.4.1), and that a pong has the payload of its ping.
func TestProtocol(t *testing.T) {
	for path, want := range map[string][]string{
		"/utf8":   {"close 1007 (invalid data)"},
		"/masked": {"close 1002 (protocol error)"},
		"/huge":   {"close 1009 (message too big)"},
		"/ping":   {"close 1001 (going away)", "leave", "pong ", "pong p1"},
		"/close":  {"close 4001"},
	} {
		s, _ := newSocket(t, false)
		in := ""
		if slices.Contains(want, "leave") {
			in = "leave"
		}
		runWith(t, in, "ws", s.url(path), "--wait=1h")
		got := s.next(len(want))
		slices.Sort(got) // input and pongs have no fixed order
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestOrigin(t *testing.T) {
	s, ca := newSocket(t, true)
	for _, c := range []struct{ flag, want string }{
		{"--wait=0", "https://" + s.Listener.Addr().String()},
		{"-o=https://example.org", "https://example.org"},
		{"--origin=https://example.org", "https://example.org"},
	} {
		if r := run(t, "ws", s.url("/normal"), "--cacert", ca.file, c.flag); r.code != 0 || s.header.Load().Get("Origin") != c.want {
			t.Errorf("%s: %q %+v, want %q", c.flag, s.header.Load().Get("Origin"), r, c.want)
		}
	}
}

func TestInterruptedPipe(t *testing.T) {
	s, _ := newSocket(t, false)
	cmd := podcli(t, "ws", s.url("/echo"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "hello\n")
	s.next(1)
	cmd.Process.Signal(os.Interrupt)
	if code := clitest.ExitCode(t, cmd.Wait()); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if got := s.next(1)[0]; got != "close 1000 (normal closure)" {
		t.Errorf("received %q", got)
	}
}
