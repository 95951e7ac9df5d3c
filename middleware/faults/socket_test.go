package faults_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed-4591fe7d/podinfo/endpoints/wsecho"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// talk opens a WebSocket, sends messages and returns what comes back until the
// connection ends or want messages have come.
func talk(t *testing.T, url string, want int, messages ...string) (got []string, end error) {
	t.Helper()
	return talkWithin(t, 20*time.Second, url, want, messages...)
}

// talkWithin is talk by a client that leaves after some time.
func talkWithin(t *testing.T, patience time.Duration, url string, want int, messages ...string) (got []string, end error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, early, _, err := ws.Dial(ctx, strings.Replace(url, "http", "ws", 1)+"/ws/echo")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	for _, m := range messages {
		if wsutil.WriteClientText(conn, []byte(m)) != nil {
			break // the server has closed the connection, as the next read tells
		}
	}
	both := io.ReadWriter(conn)
	if early != nil { // messages that came with the handshake
		both = struct {
			io.Reader
			io.Writer
		}{early, conn}
	}
	for len(got) < want {
		b, err := wsutil.ReadServerText(both)
		if err != nil {
			return got, err
		}
		_, m, _ := strings.Cut(string(b), `"msg":"`)
		got = append(got, strings.TrimSuffix(m, "\"}\n"))
	}
	return got, nil
}

func TestWebSockets(t *testing.T) {
	for _, c := range []struct {
		fault string
		want  string // the messages, joined
		code  ws.StatusCode
		err   string
	}{
		{"fault: {websocket: {close: 1011, reason: on purpose}}", "", 1011, "on purpose"},
		{"fault: {websocket: {close: 4000, after: 2}}", "ab", 4000, ""},
		{"fault: {websocket: {delay: 1ms}}", "abcd", 0, ""},
		{"fault: {status: 503}", "", 0, "503"},
		{"fault: {websocket: {duplicate: 100}}", "aabb", 0, ""},
		{"fault: {websocket: {duplicate: 100, direction: in, after: 2}}", "abcc", 0, ""},
		{"fault: {websocket: {duplicate: 100, direction: both}}", "aaaa", 0, ""},
		{"fault: {websocket: {reorder: 100}}", "badc", 0, ""},
		{"fault: {websocket: {reorder: 100, direction: in, after: 1}}", "acb", 0, ""},
		{"fault: {websocket: {reorder: 100, duplicate: 100}}", "bbaa", 0, ""},
		{"fault: {websocket: {close: 4000, after-time: 1ns}}", "", 4000, ""},
		{"fault: {websocket: {duplicate: 100, after-time: 1h}}", "abcd", 0, ""},
		{"match: {path: /ws/*}, delay: 1ms", "abcd", 0, ""},
		{"match: {path: /other}, fault: {websocket: {close: 1011}}", "abcd", 0, ""},
	} {
		env := rules("rules: [{name: r, " + c.fault + "}]")
		s := registrytest.Serve(t, env, new(faults.Module), new(wsecho.Module))
		got, err := talk(t, s.URL, max(len(c.want), 1), "a", "b", "c", "d")
		if c.code != 0 && err == nil {
			_, err = talk(t, s.URL, 100, "a", "b", "c", "d")
		}
		if strings.Join(got, "") != c.want {
			t.Errorf("%s: %q, %v", c.fault, got, err)
		}
		closed, ok := err.(wsutil.ClosedError)
		if ok != (c.code != 0) || ok && (closed.Code != c.code || closed.Reason != c.err) || !ok && c.err != "" && !strings.Contains(err.Error(), c.err) || c.err == "" && c.code == 0 && err != nil {
			t.Errorf("%s: %v", c.fault, err)
		}
	}
}

// The connection ends without a close frame, which clients report as 1006.
func TestCutWebSockets(t *testing.T) {
	for rule, want := range map[string]string{
		"cut: true":                            "",
		"cut: true, after: 2":                  "ab",
		"cut: true, after: 2, direction: in":   "ab",
		"cut: true, after-time: 1ms":           "",
		"cut: true, after: 1, direction: both": "a",
	} {
		m, set := new(faults.Module), metrics.NewSet()
		s := registrytest.Serve(t, rules("rules: [{name: r, fault: {websocket: {"+rule+"}}}]"), m, new(wsecho.Module))
		m.ContributeMetrics(set)
		send := []string{"a", "b", "c"}
		if strings.Contains(rule, "time") {
			send = nil // no message is needed
		}
		got, err := talk(t, s.URL, 4, send...)
		if strings.Join(got, "") != want || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %q %v", rule, got, err)
		}
		if !strings.Contains(page(set), `podinfo_fault_cuts_total{rule="r",seen="connection closed"} 1`) {
			t.Error(rule, page(set))
		}
	}
}

// A client that has sent more than the handler has read sees the end that the metric
// names, and not a reset.
func TestCutWebSocketsWithUnreadData(t *testing.T) {
	frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(bytes.Repeat([]byte("x"), 1000))))
	for rule, want := range map[string]int{ // messages that come back
		"cut: true":                          0,
		"cut: true, after: 2":                2,
		"cut: true, after: 2, direction: in": 2,
		"cut: true, after: 3, direction: in, swallow-pings: true": 3,
	} {
		for _, secure := range []bool{false, true} {
			m, set := new(faults.Module), metrics.NewSet()
			app, _ := registrytest.New(t, rules("rules: [{name: r, fault: {websocket: {"+rule+"}}}]"), m, new(wsecho.Module))
			m.ContributeMetrics(set)
			start := httptest.NewServer
			if secure {
				start = httptest.NewTLSServer
			}
			srv := start(app)
			d := ws.Dialer{TLSConfig: &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}}
			conn, _, _, err := d.Dial(t.Context(), strings.Replace(srv.URL, "http", "ws", 1)+"/ws/echo")
			must(t, err)
			must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
			conn.Write(bytes.Repeat(frame, 15)) // one segment and record, as the cut waits only a while for more
			got := 0
			for err == nil {
				if _, err = wsutil.ReadServerText(conn); err == nil {
					got++
				}
			}
			if got != want || !errors.Is(err, io.EOF) {
				t.Errorf("%s, TLS %v: %d messages, want %d, then %v", rule, secure, got, want, err)
			}
			if !strings.Contains(page(set), `podinfo_fault_cuts_total{rule="r",seen="connection closed"} 1`) {
				t.Error(rule, page(set))
			}
			conn.Close()
			srv.Close()
		}
	}
}

// A ping of the client is not answered, and messages are.
func TestSwallowedPings(t *testing.T) {
	for rule, want := range map[string]ws.OpCode{
		"swallow-pings: true":                     ws.OpText,
		"swallow-pings: true, after: 1":           ws.OpPong,
		"swallow-pings: true, after-time: 1h":     ws.OpPong,
		"drop: 0, direction: in":                  ws.OpPong,
		"swallow-pings: true, direction: in":      ws.OpText,
		"swallow-pings: true, duplicate: 0":       ws.OpText,
		"swallow-pings: true, after-time: 1ns":    ws.OpText,
		"delay: 0s, swallow-pings: true, drop: 0": ws.OpText,
	} {
		s := registrytest.Serve(t, rules("rules: [{name: r, fault: {websocket: {"+rule+"}}}]"), new(faults.Module), new(wsecho.Module))
		conn, _, _, err := ws.Dial(t.Context(), strings.Replace(s.URL, "http", "ws", 1)+"/ws/echo")
		must(t, err)
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		must(t, ws.WriteFrame(conn, ws.MaskFrame(ws.NewPingFrame([]byte("x")))), wsutil.WriteClientText(conn, []byte("x")))
		if h, err := ws.ReadHeader(conn); err != nil || h.OpCode != want {
			t.Errorf("%s: opcode %v, want %v: %v", rule, h.OpCode, want, err)
		}
	}
}

// A message of many fragments is sent late as a whole, a long one at once, and one
// that no other follows before the close frame.
func TestReorderedFragments(t *testing.T) {
	s := registrytest.Serve(t, rules("rules: [{name: r, fault: {websocket: {reorder: 100, direction: in}}}]"), new(faults.Module), new(wsecho.Module))
	long := strings.Repeat("x", 70<<10)
	got, err := talk(t, s.URL, 3, long, "b", "c")
	if len(got) != 3 || got[0] != long || got[1] != "c" || got[2] != "b" {
		t.Errorf("%.40q %v", got, err)
	}
	conn, _, _, err := ws.Dial(t.Context(), strings.Replace(s.URL, "http", "ws", 1)+"/ws/echo")
	must(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	for _, f := range []ws.Frame{
		ws.NewFrame(ws.OpText, false, []byte("a")), ws.NewPingFrame(nil), ws.NewFrame(ws.OpContinuation, true, []byte("b")),
		ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")),
	} {
		must(t, ws.WriteFrame(conn, ws.MaskFrame(f)))
	}
	var opcodes []ws.OpCode
	for {
		h, err := ws.ReadHeader(conn)
		if err != nil {
			break
		}
		opcodes = append(opcodes, h.OpCode)
		io.CopyN(io.Discard, conn, h.Length)
	}
	if want := []ws.OpCode{ws.OpPong, ws.OpText, ws.OpClose}; !slices.Equal(opcodes, want) {
		t.Errorf("%v, want %v", opcodes, want)
	}
}

// clumsy is a module that hijacks the connection and rejects the handshake.
type clumsy struct{}

func (clumsy) Info() registry.Info { return registry.Info{Name: "clumsy"} }
func (clumsy) Routes() []registry.Route {
	return []registry.Route{{Path: "/ws/echo", Handler: func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		rw.WriteString("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
		rw.Flush()
		rw.WriteString("Nope")
		rw.Flush()
	}}}
}

// An error response to the handshake is not parsed as messages.
func TestRejectedHandshake(t *testing.T) {
	s := registrytest.Serve(t, rules("rules: [{name: r, fault: {websocket: {drop: 100, direction: both}}}]"), new(faults.Module), clumsy{})
	got, err := exchange(t, s.Listener.Addr().String(), "GET /ws/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if err != nil || !strings.HasSuffix(got, "\r\n\r\nNope") {
		t.Errorf("%q %v", got, err)
	}
}

// A percentage of messages is dropped, the same ones with the same seed, also
// when they are sent in fragments.
func TestDroppedFrames(t *testing.T) {
	const n = 400
	// The 1 % bounds of the binomial distribution around 75 % of n, or of 75 % of
	// n in both directions.
	for way, bounds := range map[string][2]int{"out": {278, 322}, "in": {278, 322}, "both": {200, 250}} {
		var runs []string
		for range 2 {
			s := registrytest.Serve(t, rules("rules: [{name: r, fault: {websocket: {drop: 25, direction: "+way+"}}}]"), new(faults.Module), new(wsecho.Module))
			got := exchangeMessages(t, s.URL, n)
			if len(got) < bounds[0] || len(got) > bounds[1] {
				t.Errorf("%s: %d of %d came", way, len(got), n)
			}
			runs = append(runs, strings.Join(got, ""))
		}
		if runs[0] != runs[1] {
			t.Errorf("%s: the same seed dropped other messages", way)
		}
	}
}

// exchangeMessages sends n messages, each in two fragments with a ping between
// them, and returns the echoes. It fails when a ping is lost.
func exchangeMessages(t *testing.T, url string, n int) (got []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, _, err := ws.Dial(ctx, strings.Replace(url, "http", "ws", 1)+"/ws/echo")
	must(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		for i := range n {
			var b bytes.Buffer
			for _, f := range []ws.Frame{
				ws.NewFrame(ws.OpText, false, []byte(strings.Repeat("x", i%200))),
				ws.NewPingFrame([]byte(fmt.Sprint(i))),
				ws.NewFrame(ws.OpContinuation, true, []byte(string(rune(0x1000+i)))),
			} {
				ws.WriteFrame(&b, ws.MaskFrame(f))
			}
			for _, cut := range []int{1, 3, 130} { // headers are split, too
				conn.Write(b.Next(cut))
			}
			conn.Write(b.Bytes())
		}
	}()
	for pongs := 0; pongs < n; {
		h, err := ws.ReadHeader(conn)
		must(t, err)
		payload := make([]byte, h.Length)
		_, err = io.ReadFull(conn, payload)
		must(t, err)
		if h.OpCode == ws.OpPong && string(payload) == fmt.Sprint(pongs) {
			pongs++
		} else if _, m, ok := strings.Cut(string(payload), `"msg":"`); ok {
			got = append(got, strings.TrimSuffix(m, "\"}\n"))
		}
	}
	return got
}

// queue is a pipe that buffers writes, like TCP.
type queue struct {
	net.Conn
	waiting chan []byte
}

func queued(conn net.Conn) *queue {
	q := &queue{conn, make(chan []byte, 100)}
	go func() {
		for b := range q.waiting {
			conn.Write(b)
		}
	}()
	return q
}

func (q *queue) Write(b []byte) (int, error) {
	q.waiting <- bytes.Clone(b)
	return len(b), nil
}

func (q *queue) Close() error {
	close(q.waiting)
	return q.Conn.Close()
}

// When the messages of a client are echoed, on the fake clock of testing/synctest.
func TestDelayedFrames(t *testing.T) {
	for rule, want := range map[string]string{
		"delay: 10s":                             "10 20 30 ",
		"delay: 10s, direction: out":             "10 20 30 ",
		"delay: 10s, direction: in":              "10 20 30 ",
		"delay: 10s, direction: in, after: 1":    "0 10 20 ",
		"delay: 50s, direction: in":              "50 100 150 ", // pings still pass
		"drop: 100, direction: in":               "3600 7200 ",  // status messages of the server
		"drop: 100, direction: out":              "",
		"close: 1011, direction: in, after: 2":   "0 0 closed 1011",
		"close: 1011, direction: both, after: 0": "closed 1011",
	} {
		synctest.Test(t, func(t *testing.T) {
			env := rules("rules: [{name: r, fault: {websocket: {" + rule + "}}}]")
			env["PODINFO_WS_ECHO_STATUS_INTERVAL"] = "1h"
			app, _ := registrytest.New(t, env, new(faults.Module), new(wsecho.Module))
			l := make(pipes)
			srv := &http.Server{Handler: app}
			go srv.Serve(l)
			defer srv.Close()
			client, server := net.Pipe()
			l <- server
			d := ws.Dialer{NetDial: func(context.Context, string, string) (net.Conn, error) { return queued(client), nil }}
			conn, _, _, err := d.Dial(t.Context(), "ws://x/ws/echo")
			must(t, err)
			defer conn.Close()
			began := time.Now()
			for range 3 {
				must(t, wsutil.WriteClientText(conn, []byte("x")))
			}
			conn.SetReadDeadline(time.Now().Add(150 * time.Minute))
			got := ""
			for len(got) < max(1, len(want)) {
				_, err = wsutil.ReadServerText(conn)
				if closed, ok := errors.AsType[wsutil.ClosedError](err); ok {
					got += fmt.Sprint("closed ", int(closed.Code))
				}
				if err != nil {
					break
				}
				got += fmt.Sprintf("%.0f ", time.Since(began).Seconds())
			}
			if got != want {
				t.Errorf("%s: %q, want %q: %v", rule, got, want, err)
			}
		})
	}
}

// Stopping the server ends the delay of a message.
func TestStopEndsDelayedFrames(t *testing.T) {
	for _, way := range []string{"out", "in"} {
		t.Run(way, func(t *testing.T) { stopDelayed(t, way) })
	}
}

func stopDelayed(t *testing.T, way string) {
	s := registrytest.Serve(t, rules("rules: [{name: r, fault: {websocket: {delay: 1h, after: 1, direction: "+way+"}}}]", "MAX_DELAY", "1h"), new(faults.Module), new(wsecho.Module))
	conn, _, _, err := ws.Dial(t.Context(), strings.Replace(s.URL, "http", "ws", 1)+"/ws/echo")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		if err := wsutil.WriteClientText(conn, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := wsutil.ReadServerText(conn); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	s.App.Stop(ctx) // returns an error, as a connection was cut
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}

// Faults of a response body do not hit WebSockets.
// A rule that acts on the body of a response, or after the handler, leaves a WebSocket
// alone, and nothing says that it was applied.
func TestFaultsThatLeaveWebSocketsAlone(t *testing.T) {
	for _, rule := range []string{"fault: {truncate: 1}", "fault: {bad-chunk: true}", "fault: {stall: 1h}", "fault: {bandwidth: 1}", "fault: {goaway: true}", "delay: {fixed: 1h, at: chunks}",
		"at: after, fault: {reset: true}", "at: after, fault: {empty: true}", "at: after, delay: 1h"} {
		m, e := new(faults.Module), new(endpoint)
		s := registrytest.Serve(t, rules("rules: [{name: r, "+rule+"}]"), m, e, new(wsecho.Module))
		if got, err := talk(t, s.URL, 2, "a", "b"); strings.Join(got, "") != "ab" {
			t.Errorf("%s: %q %v", rule, got, err)
		}
		if seen, outcomes := e.seen(1); len(seen) != 0 || outcomes[0].Label() != 101 || m.Rules()[0].Hits != 0 {
			t.Errorf("%s: %v, recorded as %v", rule, seen, outcomes)
		}
	}
}

// An open WebSocket occupies its slot until either side closes it.
func TestConcurrencyOfWebSockets(t *testing.T) {
	for _, fault := range []string{"", "- {name: slow, fault: {websocket: {delay: 1us}}}"} {
		s := registrytest.Serve(t, rules("rules:\n- {name: r, match: {path: /ws/*}, limit: {concurrency: 1}}\n"+fault), new(faults.Module), new(wsecho.Module))
		dial := func() (net.Conn, error) {
			conn, _, _, err := ws.Dial(t.Context(), strings.Replace(s.URL, "http", "ws", 1)+"/ws/echo")
			return conn, err
		}
		for range 3 {
			var conn net.Conn
			until(t, "a free slot", func() (ok bool) {
				var err error
				conn, err = dial()
				return err == nil
			})
			if _, err := dial(); err == nil || !strings.Contains(err.Error(), "503") {
				t.Errorf("a second one: %v", err)
			}
			must(t, wsutil.WriteClientText(conn, []byte("x")))
			if _, err := wsutil.ReadServerText(conn); err != nil {
				t.Error(err)
			}
			conn.Close()
		}
	}
}

// MaxHeld also bounds delayed messages.
func TestDelayedFramesAreCapped(t *testing.T) {
	for _, way := range []string{"in", "out"} {
		m := new(faults.Module)
		set := metrics.NewSet()
		s := registrytest.Serve(t, rules("rules: [{name: r, fault: {websocket: {delay: 1h, direction: "+way+"}}}]", "MAX_DELAY", "1h", "MAX_HELD", "1"), m, new(wsecho.Module))
		m.ContributeMetrics(set)
		conn, _, _, err := ws.Dial(t.Context(), strings.Replace(s.URL, "http", "ws", 1)+"/ws/echo")
		must(t, err)
		must(t, wsutil.WriteClientText(conn, []byte("x")))
		until(t, "a delayed message", func() bool { return strings.Contains(page(set), "podinfo_fault_held_requests 1") })
		if got, err := talk(t, s.URL, 1, "a"); strings.Join(got, "") != "a" {
			t.Errorf("%s: without a slot: %q %v", way, got, err)
		}
		if !strings.Contains(page(set), `{rule="r",kind="skipped"} 1`) {
			t.Error(page(set))
		}
		conn.Close()
		stopNow(s)
	}
}

// stopNow stops a server without waiting for its WebSockets.
func stopNow(s *registrytest.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	s.App.Stop(ctx)
}

// Requests that occupy a slot of a concurrency limit can be reset, too.
func TestResetBelowAConcurrency(t *testing.T) {
	s := registrytest.Serve(t, rules("rules:\n- {name: l, match: {path: /ws/*}, limit: {concurrency: 5}}\n- {name: r, fault: {reset: true}}"), new(faults.Module), new(wsecho.Module))
	if got, err := exchange(t, s.Listener.Addr().String(), "GET /ws/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q %v", got, err)
	}
}
