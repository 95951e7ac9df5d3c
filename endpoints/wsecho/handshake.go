package wsecho

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Routes declares /ws/echo.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{{
		Path: "/ws/echo", Handler: m.upgrade,
		Summary: "Echo over a WebSocket", Tag: "HTTP API",
		Returns: map[int]any{
			http.StatusSwitchingProtocols: nil,
			http.StatusBadRequest:         "",
			http.StatusForbidden:          "",
			http.StatusServiceUnavailable: reply.Problem{},
		},
	}}
}

// upgrade completes the opening handshake (RFC 6455, section 4.2) and starts the
// connection's reader in a new goroutine. It returns right away, because net/http
// holds about 11 KiB for a handler that runs.
func (m *Module) upgrade(w http.ResponseWriter, r *http.Request) {
	if code := refusal(r); code != 0 {
		w.Header().Set("Sec-Websocket-Version", "13")
		http.Error(w, http.StatusText(code), code)
		return
	}
	if !m.clients.reserve(m.MaxConnections) {
		reply.Error(w, http.StatusServiceUnavailable, "no more connections are accepted")
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		m.clients.release()
		reply.Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	c := &client{Conn: conn, m: m, early: buffered(rw.Reader)}
	m.clients.add(c)
	err = c.write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		accept(r.Header.Get("Sec-Websocket-Key")) + "\r\n\r\n"))
	if err != nil {
		c.end(err)
		return
	}
	m.host.Go(func(context.Context) { c.serve() })
}

// refusal returns the status for a request that cannot be upgraded, or 0.
func refusal(r *http.Request) int {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key"))
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.ContentLength != 0 ||
		!hasToken(r.Header["Connection"], "upgrade") || !hasToken(r.Header["Upgrade"], "websocket") ||
		r.Header.Get("Sec-Websocket-Version") != "13" || err != nil || len(key) != 16 {
		return http.StatusBadRequest
	}
	if !sameOrigin(r) {
		return http.StatusForbidden
	}
	return 0
}

// sameOrigin reports whether the request may be upgraded: it has no Origin header,
// as from clients other than browsers, or comes from a page of the same host.
func sameOrigin(r *http.Request) bool {
	for _, origin := range r.Header["Origin"] {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	return true
}

// hasToken reports whether a header's comma-separated values contain token.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// accept returns the Sec-WebSocket-Accept for a key (RFC 6455, section 4.2.2). The
// protocol prescribes SHA-1, which has no security purpose here.
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// buffered returns a copy of the data that r has buffered, so that net/http's
// buffer can be freed.
func buffered(r *bufio.Reader) []byte {
	b, _ := r.Peek(r.Buffered())
	return append([]byte(nil), b...)
}
