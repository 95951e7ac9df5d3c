package faults

import (
	"net"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/hangup"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// writeTimeout is how long sending garbage may take.
const writeTimeout = 500 * time.Millisecond

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
	hangup.Close(takeOver(m, w, s, connClosed, record.NoResponse))
	panic(http.ErrAbortHandler)
}

// resetUnanswered applies the kind reset.
func resetUnanswered(m *Module, w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc, s *scenario.Strike) {
	hangup.Reset(takeOver(m, w, s, connReset, record.ConnectionReset))
	panic(http.ErrAbortHandler)
}

// sendGarbage applies the kind garbage.
func sendGarbage(m *Module, w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc, s *scenario.Strike) {
	conn := takeOver(m, w, s, notHTTP, record.Malformed)
	conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	conn.Write(s.Garbage(garbageSize))
	hangup.Close(conn)
	panic(http.ErrAbortHandler)
}

// hang applies the kind hang.
func hang(m *Module, w http.ResponseWriter, r *http.Request, _ http.HandlerFunc, _ *scenario.Strike) {
	m.waitForClient(w, r, 0)
}
