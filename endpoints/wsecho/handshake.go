package wsecho

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Routes declares /ws/echo.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{{
		Path: "/ws/echo", Handler: m.upgrade,
		Summary: "Echo over a WebSocket", Tag: "HTTP API",
		Returns: map[int]any{
			http.StatusSwitchingProtocols: nil,
			http.StatusBadRequest:         reply.Problem{},
			http.StatusForbidden:          reply.Problem{},
			http.StatusUpgradeRequired:    reply.Problem{},
			http.StatusServiceUnavailable: reply.Problem{},
		},
	}}
}

// upgrade completes the opening handshake (RFC 6455, section 4.2) and starts the
// connection's reader in a new goroutine. It returns right away, because net/http
// holds about 11 KiB for a handler that runs.
func (m *Module) upgrade(w http.ResponseWriter, r *http.Request) {
	if code, reason := m.refusal(r); code != 0 {
		h := w.Header()
		h.Set("Sec-Websocket-Version", "13")
		if code == http.StatusUpgradeRequired {
			h.Set("Connection", "Upgrade")
			h.Set("Upgrade", "websocket")
		}
		reply.Error(w, code, reason)
		return
	}
	switch m.clients.reserve(m.MaxConnections) {
	case errDraining:
		reply.Error(w, http.StatusServiceUnavailable, errDraining.Error())
		return
	case errFull:
		m.refused.Load().Inc()
		reply.Overloaded(w, r, record.RefusedConnections, errFull.Error())
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
	response := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept(r.Header.Get("Sec-Websocket-Key"))
	if p := m.subprotocol(r); p != "" {
		response += "\r\nSec-WebSocket-Protocol: " + p
	}
	err = c.write([]byte(response + "\r\n\r\n"))
	if err != nil {
		c.end(err)
		return
	}
	m.host.Go(func(context.Context) { c.serve() })
}

// refusal returns the status and the reason for a request that cannot be
// upgraded, or 0. HTTP/2 has no Upgrade, so a 426 there would have to omit the
// header that it requires (RFC 9110, section 15.5.22; RFC 9113, section 8.2.2).
func (m *Module) refusal(r *http.Request) (code int, reason string) {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key"))
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return http.StatusBadRequest, "this is a WebSocket endpoint; connect to it over HTTP/1.1"
	case !slices.ContainsFunc(list(r.Header["Upgrade"]), equals("websocket")) || !slices.ContainsFunc(list(r.Header["Connection"]), equals("upgrade")):
		return http.StatusUpgradeRequired, "this is a WebSocket endpoint; send the headers Connection: Upgrade and Upgrade: websocket, and let proxies pass them on"
	case r.Method != http.MethodGet:
		return http.StatusBadRequest, "WebSocket handshakes have the method GET"
	case r.ContentLength != 0:
		return http.StatusBadRequest, "WebSocket handshakes have no body"
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return http.StatusBadRequest, "Sec-WebSocket-Version is not 13"
	case err != nil || len(key) != 16:
		return http.StatusBadRequest, "Sec-WebSocket-Key is not 16 bytes in base64"
	}
	if err := m.origins.Check(r); err != nil {
		return http.StatusForbidden, err.Error()
	}
	return 0, ""
}

// subprotocol returns the first subprotocol that the client offers and the
// settings allow, or "". A browser closes a connection whose client asked for
// subprotocols if none is selected.
func (m *Module) subprotocol(r *http.Request) string {
	for _, p := range list(r.Header["Sec-Websocket-Protocol"]) {
		if isToken(p) && (slices.Contains(m.Subprotocols, p) || slices.Contains(m.Subprotocols, "*")) {
			return p
		}
	}
	return ""
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

// list returns the elements of a header's comma-separated values.
func list(values []string) (out []string) {
	for _, v := range values {
		for e := range strings.SplitSeq(v, ",") {
			out = append(out, strings.TrimSpace(e))
		}
	}
	return out
}

// equals returns a function that compares with s and ignores the case.
func equals(s string) func(string) bool {
	return func(t string) bool { return strings.EqualFold(s, t) }
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
