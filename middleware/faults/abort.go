package faults

import (
	"io"
	"net"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// linger is how long a client may take to close after the server closed its
// side. Closing a connection with unread bytes would reset it.
const linger = 500 * time.Millisecond

// garbageSize is the number of bytes that the kind garbage sends.
const garbageSize = 64

// What clients see when a response is cut, as the label of the counter.
const (
	connClosed  = "connection closed"
	connReset   = "connection reset"
	notHTTP     = "garbage"
	wrongLength = "wrong Content-Length"
	streamReset = "RST_STREAM INTERNAL_ERROR"
)

// takeOver records the request as cut and returns its connection, on which the
// client is going to see something. Over HTTP/2, where one stream must not break
// the others, it resets the stream instead.
func takeOver(m *Module, w http.ResponseWriter, s *scenario.Strike, seen string, class record.Class) net.Conn {
	m.recordCut(w, 0, 0, class)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		m.recordCut(w, 0, 0, record.StreamReset)
		m.saw(s, streamReset)
		panic(http.ErrAbortHandler)
	}
	m.saw(s, seen)
	return conn
}

// closeUnanswered applies the kind empty.
func closeUnanswered(m *Module, w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc, s *scenario.Strike) {
	hangUp(takeOver(m, w, s, connClosed, record.NoResponse))
	panic(http.ErrAbortHandler)
}

// resetUnanswered applies the kind reset.
func resetUnanswered(m *Module, w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc, s *scenario.Strike) {
	reset(takeOver(m, w, s, connReset, record.ConnectionReset))
	panic(http.ErrAbortHandler)
}

// sendGarbage applies the kind garbage.
func sendGarbage(m *Module, w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc, s *scenario.Strike) {
	conn := takeOver(m, w, s, notHTTP, record.Malformed)
	conn.SetWriteDeadline(time.Now().Add(linger))
	conn.Write(s.Garbage(garbageSize))
	hangUp(conn)
	panic(http.ErrAbortHandler)
}

// hang applies the kind hang.
func hang(m *Module, w http.ResponseWriter, r *http.Request, _ http.HandlerFunc, _ *scenario.Strike) {
	m.waitForClient(w, r, 0)
}

// raw returns the connection below TLS.
func raw(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return conn
}

// reset closes a connection with a TCP RST instead of a FIN.
func reset(conn net.Conn) {
	conn = raw(conn)
	if t, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		t.SetLinger(0)
	}
	conn.Close()
}

// hangUp closes a connection with a FIN.
func hangUp(conn net.Conn) {
	defer conn.Close()
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	under := raw(conn)
	if half, ok := under.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	under.SetReadDeadline(time.Now().Add(linger))
	io.Copy(io.Discard, under)
}
