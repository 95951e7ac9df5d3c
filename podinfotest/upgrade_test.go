package podinfotest_test

import (
	"bufio"
	"io"
	"net/http"
	"testing"
	"time"

	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

// A handler may send the response to the handshake before it takes the connection over,
// as github.com/coder/websocket does.
func TestCloseWebSocketAfterWriteHeader(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.Write([]byte("\x81\x02hi\x81\x02ho")) // two messages
		io.Copy(io.Discard, conn)
	})
	everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
		srv := start(Config{Handler: handler})
		srv.Script("/chat", CloseWebSocket(1012, 1))
		conn, err := srv.DialContext(t.Context(), "tcp", srv.URL[len("http://"):])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(conn, "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		r := bufio.NewReader(conn)
		if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(res, err)
		}
		const want = "\x81\x02hi\x88\x02\x03\xf4"
		got := make([]byte, len(want))
		if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Errorf("%q %v, want %q", got[:n], err, want)
		}
	})
}
