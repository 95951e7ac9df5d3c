package faults_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed-4591fe7d/podinfo/endpoints/wsecho"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry/registrytest"
)

// talk opens a WebSocket, says each of messages and returns what comes back
// before the connection ends, or as many as want.
func talk(t *testing.T, url string, want int, messages ...string) (got []string, end error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, _, err := ws.Dial(ctx, strings.Replace(url, "http", "ws", 1)+"/ws/echo")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	for _, m := range messages {
		if err := wsutil.WriteClientText(conn, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	for len(got) < want {
		b, err := wsutil.ReadServerText(conn)
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
		want  string // the messages, by their first bytes
		code  ws.StatusCode
		err   string
	}{
		{"fault: {websocket: {close: 1011, reason: on purpose}}", "", 1011, "on purpose"},
		{"fault: {websocket: {close: 4000, after: 2}}", "ab", 4000, ""},
		{"fault: {websocket: {delay: 1ms}}", "abcd", 0, ""},
		{"fault: {status: 503}", "", 0, "503"},
		{"match: {path: /ws/*}, delay: 1ms", "abcd", 0, ""},
		{"match: {path: /other}, fault: {websocket: {close: 1011}}", "abcd", 0, ""},
	} {
		env := rules("rules: [{name: r, " + c.fault + "}]")
		s := registrytest.Serve(t, env, new(faults.Module), new(wsecho.Module))
		got, err := talk(t, s.URL, 4, "a", "b", "c", "d")
		if strings.Join(got, "") != c.want {
			t.Errorf("%s: %q, %v", c.fault, got, err)
		}
		closed, ok := err.(wsutil.ClosedError)
		if ok != (c.code != 0) || ok && (closed.Code != c.code || closed.Reason != c.err) || !ok && c.err != "" && !strings.Contains(err.Error(), c.err) || c.err == "" && c.code == 0 && err != nil {
			t.Errorf("%s: %v", c.fault, err)
		}
	}
}

// Of many messages a share is lost, and which is repeated by the seed.
func TestDroppedFrames(t *testing.T) {
	const n = 400
	var runs []string
	for range 2 {
		s := registrytest.Serve(t, rules("rules: [{name: r, fault: {websocket: {drop: 25}}}]"), new(faults.Module), new(wsecho.Module))
		messages := strings.Split(strings.Repeat("x", n), "")
		for i := range messages {
			messages[i] = string(rune(0x1000 + i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		conn, _, _, err := ws.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1)+"/ws/echo")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range messages {
			if err := wsutil.WriteClientText(conn, []byte(m)); err != nil {
				t.Fatal(err)
			}
		}
		wsutil.WriteClientMessage(conn, ws.OpPing, []byte("done")) // control frames are never lost
		for {
			h, err := ws.ReadHeader(conn)
			if err != nil {
				t.Fatal(err)
			}
			payload := make([]byte, h.Length)
			if _, err := io.ReadFull(conn, payload); err != nil {
				t.Fatal(err)
			}
			if h.OpCode == ws.OpPong && string(payload) == "done" {
				break
			}
			if _, m, ok := strings.Cut(string(payload), `"msg":"`); ok {
				got = append(got, strings.TrimSuffix(m, "\"}\n"))
			}
		}
		conn.Close()
		cancel()
		// 300 are expected; the 1 % bounds of the binomial distribution.
		if len(got) < 278 || len(got) > 322 {
			t.Errorf("%d of %d came", len(got), n)
		}
		runs = append(runs, strings.Join(got, ""))
	}
	if runs[0] != runs[1] {
		t.Error("the same seed lost others")
	}
}

// The end of the server ends a message that waits.
func TestStopEndsDelayedFrames(t *testing.T) {
	s := registrytest.Serve(t, rules("rules: [{name: r, fault: {websocket: {delay: 1h, after: 1}}}]", "MAX_DELAY", "1h"), new(faults.Module), new(wsecho.Module))
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
	s.App.Stop(ctx) // it says that a connection was cut
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}
