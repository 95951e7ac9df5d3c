package podinfotest

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/nettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns both ends of a connection.
func pair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l := newMemory(80)
	client, err := l.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		c, s := connect(&net.TCPAddr{Port: 1}, &net.TCPAddr{Port: 2})
		return c, s, func() { c.Close(); s.Close() }, nil
	})
}

// A connection ends with the same errors as over TCP on loopback.
func TestEndsLikeTCP(t *testing.T) {
	over := map[string]func(t *testing.T) (client, server net.Conn){
		"memory": func(t *testing.T) (net.Conn, net.Conn) { return pair(t) },
		"tcp": func(t *testing.T) (net.Conn, net.Conn) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { client.Close(); server.Close() })
			return client, server
		},
	}
	linger := func(c net.Conn) { c.(interface{ SetLinger(int) error }).SetLinger(0) }
	for name, c := range map[string]struct {
		sent string // by the client, before end
		end  func(server net.Conn)
		read string // by the client, after end
		err  error
	}{
		"close":                 {"", func(s net.Conn) { io.WriteString(s, "bye"); s.Close() }, "bye", nil},
		"reset":                 {"", func(s net.Conn) { linger(s); s.Close() }, "", syscall.ECONNRESET},
		"close over unread":     {"hello", func(s net.Conn) { s.Read(make([]byte, 1)); s.Close() }, "", syscall.ECONNRESET},
		"half close":            {"hello", func(s net.Conn) { s.(interface{ CloseWrite() error }).CloseWrite() }, "", nil},
		"reset after some text": {"", func(s net.Conn) { io.WriteString(s, "bye"); linger(s); s.Close() }, "bye", syscall.ECONNRESET},
	} {
		for kind, connected := range over {
			client, server := connected(t)
			io.WriteString(client, c.sent)
			c.end(server)
			got, err := io.ReadAll(client)
			if string(got) != c.read || !errors.Is(err, c.err) || err != nil && c.err == nil {
				t.Errorf("%s over %s: %q, %v", name, kind, got, err)
			}
			if _, ok := errors.AsType[*net.OpError](err); err != nil && !ok {
				t.Errorf("%s over %s: %T", name, kind, err)
			}
		}
	}
}

func TestListener(t *testing.T) {
	l := newMemory(80)
	waiting, err := l.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if waiting.LocalAddr().String() == other.LocalAddr().String() {
		t.Errorf("both clients are %v", other.LocalAddr())
	}
	l.Close()
	if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Error("not accepted: ", err)
	}
	if _, err := l.dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("closed: ", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error("accept: ", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newMemory(80).dial(ended); !errors.Is(err, context.Canceled) {
		t.Error("dial: ", err)
	}
}

// The clock of a bubble advances while a reader, a writer and a listener wait.
func TestWaitsAreDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t)
		began := time.Now()
		client.SetReadDeadline(began.Add(10 * time.Minute))
		client.SetWriteDeadline(began.Add(time.Hour))
		if _, err := client.Read(make([]byte, 1)); err == nil || time.Since(began) != 10*time.Minute {
			t.Error(err, time.Since(began))
		}
		n, err := io.Copy(client, strings.NewReader(strings.Repeat("x", 3*window)))
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() || time.Since(began) != time.Hour {
			t.Error(err, time.Since(began))
		}
		if n > 2*window {
			t.Errorf("%d bytes in flight", n)
		}
		client.SetReadDeadline(time.Time{})
		l := newMemory(80)
		time.AfterFunc(time.Hour, func() { l.Close() })
		if _, err := l.Accept(); err == nil || time.Since(began) != 2*time.Hour {
			t.Error(err, time.Since(began))
		}
	})
}
