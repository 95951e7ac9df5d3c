package wsecho

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

const mib = 1 << 20

// conversations are frames that a client sends and the frames that it receives.
var conversations = []struct {
	name, send string
	want       []string
}{
	{"text", text("hello"), []string{"text hello"}},
	{"empty", text(""), []string{"text "}},
	{"several frames in one write", text("a") + text("b") + ping("c") + text("d"), []string{"text a", "text b", "pong c", "text d"}},
	{"no markup", text(`"<b>\` + "\n\x00é😀"), []string{"text \"<b>\\\n\x00é😀"}},
	{"binary", masked(ws.OpBinary, true, "raw"), []string{"text raw"}},
	{"binary that is not UTF-8", masked(ws.OpBinary, true, "a\xff\xc3b"), []string{"text a\uFFFD\uFFFDb"}},
	{"125 bytes", text(strings.Repeat("x", 125)), []string{"text " + strings.Repeat("x", 125)}},
	{"126 bytes", text(strings.Repeat("x", 126)), []string{"text " + strings.Repeat("x", 126)}},
	{"64 KiB", text(strings.Repeat("x", 1<<16)), []string{"text " + strings.Repeat("x", 1<<16)}},
	{"fragments", start("a") + middle("") + middle("b") + last("c"), []string{"text abc"}},
	{"ping between fragments", start("a") + ping("p") + middle("b") + masked(ws.OpPong, true, "") + last("c"), []string{"pong p", "text abc"}},
	{"a rune in two fragments", start("\xc3") + last("\xa9"), []string{"text é"}},
	{"unsolicited pong", masked(ws.OpPong, true, "x") + text("a"), []string{"text a"}},
	{"longest ping", ping(strings.Repeat("p", 125)), []string{"pong " + strings.Repeat("p", 125)}},

	{"largest message", text(strings.Repeat("x", mib)), []string{"text " + strings.Repeat("x", mib)}},
	{"largest fragments", start(strings.Repeat("x", mib-1)) + last("x"), []string{"text " + strings.Repeat("x", mib)}},
	{"message too big", text(strings.Repeat("x", mib+1)), []string{"close 1009 message too big", "end"}},
	{"fragments too big", start(strings.Repeat("x", mib)) + last("x"), []string{"close 1009 message too big", "end"}},
	{"declared length above the limit", "\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00mask", []string{"close 1009 message too big", "end"}},
	{"invalid declared length", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00mask", []string{"close 1002 frame length out of range", "end"}},

	{"close", masked(ws.OpClose, true, ""), []string{"close", "end"}},
	{"close 1000", closed(1000, "bye"), []string{"close 1000", "end"}},
	{"close 1012", closed(1012, "service restart"), []string{"close 1012", "end"}},
	{"close 1013", closed(1013, "try again later"), []string{"close 1013", "end"}},
	{"close 1014", closed(1014, "bad gateway"), []string{"close 1014", "end"}},
	{"close 3000", closed(3000, ""), []string{"close 3000", "end"}},
	{"close 4999", closed(4999, strings.Repeat("x", 123)), []string{"close 4999", "end"}},
	{"close in a message", start("a") + closed(1001, ""), []string{"close 1001", "end"}},
	{"close with an incomplete code", masked(ws.OpClose, true, "\x03"), []string{"close 1002 incomplete status code", "end"}},
	{"close with a reason that is not UTF-8", closed(1000, "\xff"), []string{"close 1007 invalid utf8 sequence in close reason", "end"}},

	{"text that is not UTF-8", text("a\xffb"), []string{"close 1007 text is not UTF-8", "end"}},
	{"text with a surrogate", text("\xed\xa0\x80"), []string{"close 1007 text is not UTF-8", "end"}},
	{"text that ends within a rune", start("\xe2") + last("\x82"), []string{"close 1007 text is not UTF-8", "end"}},

	{"no mask", string(ws.MustCompileFrame(ws.NewTextFrame([]byte("a")))), []string{"close 1002 frames from client to server must be masked", "end"}},
	{"long ping", ping(strings.Repeat("p", 126)), []string{"close 1002 control frame payload limit exceeded", "end"}},
	{"fragmented ping", masked(ws.OpPing, false, ""), []string{"close 1002 control frame is not final", "end"}},
	{"continuation of nothing", last("a"), []string{"close 1002 unexpected continuation data frame", "end"}},
	{"continuation of a complete message", text("a") + last("b"), []string{"text a", "close 1002 unexpected continuation data frame", "end"}},
	{"text within text", start("a") + text("b"), []string{"close 1002 unexpected non-continuation data frame", "end"}},
	{"error before more input", last("a") + strings.Repeat("junk", 1<<18), []string{"close 1002 unexpected continuation data frame", "end"}},
}

func TestConversations(t *testing.T) {
	s := registrytest.Serve(t, quiet, new(Module))
	for _, c := range conversations {
		t.Run(c.name, func(t *testing.T) {
			p := dial(t, s.URL, "")
			go io.WriteString(p, c.send)
			p.expect(t, c.want...)
		})
	}
	t.Run("together with the handshake", func(t *testing.T) {
		dial(t, s.URL, text("early")+start("bi")+last("rd")).expect(t, "text early", "text bird")
	})
}

func TestReservedBitsAndCodes(t *testing.T) {
	s := registrytest.Serve(t, quiet, new(Module))
	refused := func(frame, reason string) {
		t.Helper()
		p := dial(t, s.URL, frame)
		p.expect(t, "close 1002 "+reason, "end")
		p.Close()
	}
	for _, op := range []ws.OpCode{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		refused(masked(op, true, ""), "use of reserved op code")
	}
	for _, rsv := range []byte{1, 2, 4, 7} {
		f := ws.MaskFrame(ws.NewTextFrame([]byte("a")))
		f.Header.Rsv = rsv
		refused(string(ws.MustCompileFrame(f)), "non-zero rsv bits with no extension negotiated")
	}
	for code, reason := range map[int]string{
		0: "status code is not in use", 999: "status code is not in use", 1004: "status code has no meaning yet",
		1005: "status code is only application level", 1006: "status code is only application level",
		1015: "status code is only application level", 1016: "status code is not defined in spec", 2999: "status code is not defined in spec",
		5000: "status code is not in use", 65535: "status code is not in use",
	} {
		refused(closed(code, ""), reason)
	}
}

func TestHandshake(t *testing.T) {
	s := registrytest.Serve(t, quiet, new(Module))
	good := map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": sampleKey}
	for _, c := range []struct {
		method, header, value string
		code                  int
		reason                string
	}{
		{"POST", "", "", 400, "have the method GET"},
		{"BREW", "", "", 400, "have the method GET"},
		{"GET", "Connection", "close", 426, "Connection: Upgrade and Upgrade: websocket"},
		{"GET", "Upgrade", "h2c", 426, "Connection: Upgrade and Upgrade: websocket"},
		{"POST", "Upgrade", "h2c", 426, "Connection: Upgrade and Upgrade: websocket"},
		{"GET", "Sec-WebSocket-Version", "8", 400, "Sec-WebSocket-Version"},
		{"GET", "Sec-WebSocket-Key", "", 400, "Sec-WebSocket-Key"},
		{"GET", "Sec-WebSocket-Key", "c2hvcnQ=", 400, "Sec-WebSocket-Key"},
		{"GET", "Sec-WebSocket-Key", "!" + sampleKey[1:], 400, "Sec-WebSocket-Key"},
		{"GET", "Content-Length", "1", 400, "no body"},
		{"GET", "Origin", "http://evil.example", 403, "PODINFO_CROSS_ORIGIN_TRUSTED"},
		{"GET", "Origin", "null", 403, "PODINFO_CROSS_ORIGIN_TRUSTED"},
		{"GET", "Origin", "http://x@evil.example", 403, "PODINFO_CROSS_ORIGIN_TRUSTED"},
		{"GET", "Origin", "%", 403, "PODINFO_CROSS_ORIGIN_TRUSTED"},
		{"GET", "Sec-Fetch-Site", "cross-site", 403, "PODINFO_CROSS_ORIGIN_TRUSTED"},
	} {
		headers := []string{c.header, c.value}
		for k, v := range good {
			if k != c.header {
				headers = append(headers, k, v)
			}
		}
		if c.header == "" {
			headers = headers[2:]
		}
		body := ""
		if c.header == "Content-Length" {
			headers, body = headers[2:], "x"
		}
		res, got := s.Call(t, c.method, "/ws/echo", body, headers...)
		var problem reply.Problem
		if err := json.Unmarshal([]byte(got), &problem); err != nil || res.StatusCode != c.code || problem.Code != c.code ||
			!strings.Contains(problem.Message, c.reason) || res.Header.Get("Sec-Websocket-Version") != "13" {
			t.Errorf("%s %s: %q: %d %q %v", c.method, c.header, c.value, res.StatusCode, got, res.Header)
		}
		if upgrade := res.Header.Get("Upgrade"); (upgrade == "websocket") != (c.code == 426) {
			t.Errorf("%s %s: %q: Upgrade: %q", c.method, c.header, c.value, upgrade)
		}
	}
	if res, _ := s.Call(t, "HEAD", "/ws/echo", ""); res.StatusCode != 426 {
		t.Error(res.StatusCode)
	}
	if res := shake(t, s.URL); res.StatusCode != 426 || res.Header.Get("Connection") != "Upgrade" { // as from a browser's address bar
		t.Error(res.StatusCode, res.Header)
	}
	two := httptest.NewRequest("GET", "/ws/echo", nil)
	two.Proto, two.ProtoMajor, two.ProtoMinor = "HTTP/2.0", 2, 0
	over2 := httptest.NewRecorder()
	if s.App.ServeHTTP(over2, two); over2.Code != 400 || over2.Header().Get("Upgrade") != "" || !strings.Contains(over2.Body.String(), "HTTP/1.1") {
		t.Errorf("over HTTP/2: %d %v %s", over2.Code, over2.Header(), over2.Body)
	}
	rec, req := httptest.NewRecorder(), httptest.NewRequest("GET", "/ws/echo", nil)
	for k, v := range good {
		req.Header.Set(k, v)
	}
	req.Header.Set("Origin", "https://EXAMPLE.com")
	if s.App.ServeHTTP(rec, req); rec.Code != 500 || !strings.Contains(rec.Body.String(), `"code": 500`) {
		t.Errorf("same origin, but the connection cannot be hijacked: %d %s", rec.Code, rec.Body)
	}
}

// TestInterruptsBreakNoFrame interrupts the reader in the middle of a frame, with
// and without TLS, which has its own buffers.
func TestInterruptsBreakNoFrame(t *testing.T) {
	app, _ := registrytest.New(t, map[string]string{"PODINFO_WS_ECHO_STATUS_INTERVAL": "1ms", "PODINFO_WS_ECHO_PING_INTERVAL": "1ms"}, new(Module))
	plain, secret := httptest.NewServer(app), httptest.NewTLSServer(app)
	defer plain.Close()
	defer secret.Close()
	for _, url := range []string{plain.URL, secret.URL} {
		p := dial(t, url, "")
		frames := text("abc") + start("d") + ping("!") + last("e")
		for i := range len(frames) {
			p.send(t, frames[i:i+1])
			for heard := p.next(t); heard != "status"; heard = p.next(t) { // a status message shows that the reader was interrupted
				if heard != "ping" && heard != "text abc" && heard != "pong !" && heard != "text de" {
					t.Fatal(heard)
				}
			}
		}
		p.send(t, closed(1000, ""))
		for heard := p.next(t); heard != "close 1000"; heard = p.next(t) {
			if heard == "end" {
				t.Fatal("no reply to the close frame")
			}
		}
		p.Close()
	}
}

func TestDrain(t *testing.T) {
	s := registrytest.Serve(t, quiet, new(Module))
	var peers []*peer
	for range 3 {
		p := dial(t, s.URL, text("a"))
		p.expect(t, "text a")
		peers = append(peers, p)
	}
	peers[2].send(t, start("half a message")+ping(""))
	peers[2].expect(t, "pong ")
	done := make(chan error)
	go func() { done <- s.App.Stop(context.Background()) }()
	for _, p := range peers {
		p.expect(t, "close 1001 going away", "end")
		p.send(t, closed(1001, ""))
		p.Close()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if res, body := s.Call(t, "GET", "/ws/echo", "", "Connection", "upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", sampleKey); res.StatusCode != 503 {
		t.Errorf("while draining: %d %s", res.StatusCode, body)
	}
}

// TestShutdownDoesNotWaitForSockets checks that the server closes a connection when
// close frames went both ways, although the client keeps its socket open.
func TestShutdownDoesNotWaitForSockets(t *testing.T) {
	for name, client := range map[string]struct {
		before string   // sent before the shutdown begins
		heard  []string // before the shutdown begins
		after  string   // sent after the server's close frame
	}{
		"replied":                 {text("a"), []string{"text a"}, closed(1001, "")},
		"replied without a code":  {ping("x"), []string{"pong x"}, masked(ws.OpClose, true, "")},
		"in the middle of a ping": {ping("x") + ping("cut")[:4], []string{"pong x"}, ping("cut")[4:] + closed(1001, "")},
		"in the middle of a message": {ping("x") + start("half") + middle("more")[:7], []string{"pong x"},
			middle("more")[7:] + last("") + closed(1001, "")},
		"more messages first":    {text("a"), []string{"text a"}, text("b") + ping("c") + start("d") + last("e") + closed(1000, "")},
		"an invalid close":       {text("a"), []string{"text a"}, closed(5000, "")},
		"an error":               {text("a"), []string{"text a"}, last("a")},
		"an error in its past":   {last("a"), []string{"close 1002 unexpected continuation data frame", "end"}, "ignored"},
		"closed on its own":      {closed(1000, ""), []string{"close 1000", "end"}, ""},
		"an error, then a close": {last("a"), []string{"close 1002 unexpected continuation data frame", "end"}, closed(1002, "")},
	} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.Serve(t, quiet, new(Module))
			p := dial(t, s.URL, client.before)
			p.expect(t, client.heard...)
			done := make(chan error)
			go func() { done <- s.App.Stop(context.Background()) }() // without a deadline it waits as long as need be
			if len(client.heard) == 1 {
				p.expect(t, "close 1001 going away", "end")
			}
			io.WriteString(p, client.after) // may fail: the server may have closed the connection
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSubprotocols(t *testing.T) {
	for _, c := range []struct {
		setting string
		offers  []string // values of headers
		want    string
	}{
		{"", nil, ""},
		{"", []string{"chat"}, ""},
		{"chat", nil, ""},
		{"chat", []string{"chat"}, "chat"},
		{"chat", []string{"Chat, superchat"}, ""},
		{"chat,graphql-ws", []string{"mqtt, graphql-ws ,chat"}, "graphql-ws"},
		{" chat , graphql-ws", []string{"mqtt", "chat"}, "chat"},
		{"*", []string{"mqtt, chat"}, "mqtt"},
		{"*", []string{"a b, , chat"}, "chat"},
		{"*", nil, ""},
	} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_WS_ECHO_SUBPROTOCOLS": c.setting}, new(Module))
		headers := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", sampleKey}
		for _, o := range c.offers {
			headers = append(headers, "Sec-WebSocket-Protocol", o)
		}
		res := shake(t, s.URL, headers...)
		if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Protocol") != c.want || len(res.Header["Sec-Websocket-Protocol"]) > 1 {
			t.Errorf("%q, %q: %d %v", c.setting, c.offers, res.StatusCode, res.Header)
		}
	}
}

// TestTrustedOrigins checks that the handshake has the policy of the module
// cross-origin.
func TestTrustedOrigins(t *testing.T) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_CROSS_ORIGIN_TRUSTED": "https://friend.example"}, new(Module))
	for _, c := range []struct {
		header, value string
		code          int
	}{
		{"Origin", s.URL, 101},
		{"Origin", "https://friend.example", 101},
		{"Origin", "http://friend.example", 403},
		{"Sec-Fetch-Site", "same-origin", 101},
		{"Sec-Fetch-Site", "same-site", 403},
	} {
		res := shake(t, s.URL, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", sampleKey, c.header, c.value)
		if res.StatusCode != c.code {
			t.Errorf("%+v: %d", c, res.StatusCode)
		}
	}
	_, err := registry.New([]registry.Module{new(Module)}, registry.Env(map[string]string{"PODINFO_CROSS_ORIGIN_TRUSTED": "friend"}))
	if err == nil || !strings.HasPrefix(err.Error(), "PODINFO_CROSS_ORIGIN_TRUSTED=") {
		t.Error(err)
	}
}

// shake sends a handshake and returns the response to it.
func shake(t *testing.T, url string, headers ...string) *http.Response {
	t.Helper()
	addr := strings.TrimPrefix(url, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head := "GET /ws/echo HTTP/1.1\r\nHost: " + addr + "\r\n"
	for i := 0; i+1 < len(headers); i += 2 {
		head += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res
}

func TestGauge(t *testing.T) {
	m := new(Module)
	s := registrytest.Serve(t, map[string]string{"PODINFO_WS_ECHO_STATUS_INTERVAL": "1h", "PODINFO_WS_ECHO_MAX_CONNECTIONS": "2"}, m)
	set := metrics.NewSet()
	m.ContributeMetrics(set)
	expect := func(open, refused int) {
		t.Helper()
		var b bytes.Buffer
		set.WritePrometheus(&b)
		want := fmt.Sprintf("podinfo_requests_cut_total{protocol=\"websocket\"} 0\npodinfo_requests_refused_total{reason=\"connections\"} %d\npodinfo_requests_refused_total{reason=\"stall\"} 0\npodinfo_websocket_connections %d\n", refused, open)
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Error(diff)
		}
	}
	expect(0, 0)
	dial(t, s.URL, "")
	dial(t, s.URL, "")
	expect(2, 0)
	key := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", sampleKey}
	if res := shake(t, s.URL, key...); res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" {
		t.Error(res)
	}
	expect(2, 1)
}

func TestSettings(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"MAX_CONNECTIONS", "0", "above zero"},
		{"MAX_MESSAGE_BYTES", "-1", "above zero"},
		{"STATUS_INTERVAL", "1us", "at least 1ms"},
		{"PING_INTERVAL", "0s", "at least 1ms"},
		{"IDLE_TIMEOUT", "30s", "longer than the ping interval, 30s"},
		{"SUBPROTOCOLS", "chat,super chat", "a comma-separated list of names"},
		{"SUBPROTOCOLS", "a/b", "a comma-separated list of names"},
	} {
		key := "PODINFO_WS_ECHO_" + c.key
		_, err := registry.New([]registry.Module{new(Module)}, registry.Env(map[string]string{key: c.value}))
		if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: %v", key, c.value, err)
		}
	}
	m := &Module{MaxMessage: 3}
	s := registrytest.Serve(t, quiet, m)
	dial(t, s.URL, text("abc")+text("abcd")).expect(t, "text abc", "close 1009 message too big")
	if m.MaxConnections != 10000 || m.PingInterval != 30*time.Second || m.IdleTimeout != time.Minute {
		t.Errorf("%+v", m)
	}
}
