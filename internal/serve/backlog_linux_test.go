package serve_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDrainAcceptsHalfOpenConnections: a client whose handshake has begun when the
// port closes is served. Here the first SYN-ACK is lost, which the kernel repeats
// after a second; over a long link, any handshake is under way for that long.
func TestDrainAcceptsHalfOpenConnections(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	var client int
	filtered := make(chan struct{})
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		defer close(filtered)
		return raw.Control(func(fd uintptr) {
			client = int(fd)
			dropAll := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
			if err := unix.SetsockoptSockFprog(client, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &dropAll}); err != nil {
				t.Error(err)
			}
		})
	}}
	type dialed struct {
		net.Conn
		error
	}
	result := make(chan dialed)
	go func() {
		c, err := dialer.DialContext(context.Background(), "tcp", s.Addr().String())
		result <- dialed{c, err}
	}()
	<-filtered
	<-time.After(100 * time.Millisecond) // until the SYN has arrived
	drained := make(chan error)
	go func() { drained <- s.Drain(t.Context()) }()
	<-time.After(100 * time.Millisecond) // until the port does not accept further ones
	if err := unix.SetsockoptInt(client, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
		t.Fatal(err)
	}
	c := <-result
	if c.error != nil {
		t.Fatal(c.error)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Error(err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}
