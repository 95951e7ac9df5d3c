package faults

import (
	"io"
	"net"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// linger is how long a client has to close after the server closed its side:
// to close over bytes that were not read would be a reset.
const linger = 500 * time.Millisecond

const garbage = 64 // bytes

// abort ends the request without an answer. Over HTTP/2, where one stream must
// not break the others, that is RST_STREAM.
func (m *Module) abort(w http.ResponseWriter, s *scenario.Strike) {
	record.Cut(w, 0)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	switch f := s.Fault; {
	case f.Reset:
		reset(conn)
	case f.Garbage:
		conn.SetWriteDeadline(time.Now().Add(linger))
		conn.Write(s.Garbage(garbage))
		hangUp(conn)
	default:
		hangUp(conn)
	}
	panic(http.ErrAbortHandler)
}

// raw is the connection below TLS.
func raw(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return conn
}

// reset closes with a TCP RST in place of FIN.
func reset(conn net.Conn) {
	conn = raw(conn)
	if t, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		t.SetLinger(0)
	}
	conn.Close()
}

// hangUp closes with FIN.
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
