// Package hangup closes connections with a FIN or with a reset.
package hangup

import (
	"io"
	"net"
	"time"
)

// linger is how long a peer may take to close after this side closed its
// direction. Closing a connection with unread bytes would reset it.
const linger = 500 * time.Millisecond

// Close closes a connection with a FIN. It waits a short time for the peer to close
// too, and drops what the peer sends meanwhile. A connection that cannot close one
// direction is closed immediately.
func Close(conn net.Conn) {
	defer conn.Close()
	under := Raw(conn)
	half := closeWrite(conn)
	if under != conn {
		half = closeWrite(under) || half
	}
	if half {
		under.SetReadDeadline(time.Now().Add(linger))
		io.Copy(io.Discard, under)
	}
}

func closeWrite(conn net.Conn) bool {
	half, ok := conn.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

// Reset closes a connection with a TCP RST instead of a FIN.
func Reset(conn net.Conn) {
	conn = Raw(conn)
	if t, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		t.SetLinger(0)
	}
	conn.Close()
}

// Raw returns the connection below TLS.
func Raw(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return conn
}
