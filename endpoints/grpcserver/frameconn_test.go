package grpcserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// scripted is a connection whose client sends toRead in random pieces. Reads fail
// while a deadline is set.
type scripted struct {
	net.Conn
	rnd      *rand.Rand
	toRead   []byte
	written  bytes.Buffer
	deadline bool
}

func (c *scripted) Write(b []byte) (int, error) { return c.written.Write(b) }
func (c *scripted) SetReadDeadline(t time.Time) error {
	c.deadline = !t.IsZero()
	return nil
}

func (c *scripted) Read(b []byte) (int, error) {
	if c.deadline {
		return 0, os.ErrDeadlineExceeded
	}
	if len(c.toRead) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+c.rnd.IntN(40))], c.toRead)
	c.toRead = c.toRead[n:]
	return n, nil
}

// traffic returns n frames of several types, some with a header block in several
// frames.
func traffic(rnd *rand.Rand, n int) []byte {
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	bytes := func() []byte { return make([]byte, rnd.IntN(60)) }
	for i := range n {
		stream := uint32(2*i + 1)
		switch rnd.IntN(4) {
		case 0:
			fr.WriteData(stream, rnd.IntN(2) == 0, bytes())
		case 1:
			fr.WritePing(false, [8]byte{})
		case 2:
			fr.WriteSettings()
		case 3:
			parts := rnd.IntN(3)
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: bytes(), EndHeaders: parts == 0})
			for k := range parts {
				fr.WriteContinuation(stream, k == parts-1, bytes())
			}
		}
	}
	return b.Bytes()
}

// list returns the frames in b, without the n frames that were inserted. The framer
// rejects a frame that was inserted into a header block.
func list(t *testing.T, b []byte, inserted http2.FrameType, n int) (others []string) {
	t.Helper()
	fr := http2.NewFramer(nil, bytes.NewReader(b))
	for {
		f, err := fr.ReadFrame()
		if errors.Is(err, io.EOF) {
			break
		}
		if _, ok := errors.AsType[http2.StreamError](err); err != nil && !ok {
			t.Fatal(err)
		}
		if err != nil || f.Header().Type == inserted {
			n--
			continue
		}
		others = append(others, fmt.Sprint(f.Header()))
	}
	if n != 0 {
		t.Errorf("%d frames are missing", n)
	}
	return others
}

// TestFramesAreInsertedBetweenOthers checks, for random traffic in random pieces,
// that frames are inserted only between other frames and that all frames arrive.
func TestFramesAreInsertedBetweenOthers(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		sent := traffic(rnd, 20)
		conn := &scripted{rnd: rnd}
		c := &frameConn{Conn: conn}
		at := rnd.IntN(len(sent))
		for rest := sent; len(rest) > 0; {
			if len(sent)-len(rest) >= at {
				c.goAway(0, "because")
			}
			n := min(len(rest), 1+rnd.IntN(40))
			if k, err := c.Write(rest[:n]); k != n || err != nil {
				t.Fatalf("%d of %d: %v", k, n, err)
			}
			rest = rest[n:]
		}
		c.goAway(0, "because") // has no effect unless none was sent yet
		if !slices.Equal(list(t, conn.written.Bytes(), http2.FrameGoAway, 1), list(t, sent, http2.FrameGoAway, 0)) {
			t.Errorf("seed %d: the frames that were written have changed", seed)
		}

		got := readAll(t, rnd, sent)
		if !slices.Equal(list(t, got, http2.FrameRSTStream, 3), list(t, sent, http2.FrameRSTStream, 0)) {
			t.Errorf("seed %d: the frames that were read have changed", seed)
		}
	}
}

// TestConnectionsAreForgotten checks that a connection that has ended is removed,
// also when it ended before or during the handshake.
func TestConnectionsAreForgotten(t *testing.T) {
	port := ""
	for port == "" { // below the ports that the kernel gives to outgoing connections
		try := fmt.Sprint(20000 + rand.IntN(10000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+try); err == nil {
			l.Close()
			port = try
		}
	}
	m := new(Module)
	registrytest.New(t, map[string]string{"PODINFO_HOST": "127.0.0.1", "PODINFO_GRPC_PORT": port}, m)
	open := func() (n int) {
		m.conns.conns.Range(func(_, _ any) bool { n++; return true })
		return n
	}
	var conns []net.Conn
	for _, hello := range []string{"", "GET / HTTP/1.1\r\n\r\n", http2.ClientPreface, http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"} {
		conn, err := net.Dial("tcp", m.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, hello)
		io.ReadFull(conn, make([]byte, 9)) // the server's SETTINGS show that it has accepted the connection
		conns = append(conns, conn)
	}
	if open() < 3 {
		t.Errorf("%d connections are known", open())
	}
	for _, conn := range conns {
		conn.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); open() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are remembered", open())
		}
	}
}

// readAll reads what a client sends, with three inserted frames.
func readAll(t *testing.T, rnd *rand.Rand, sent []byte) (got []byte) {
	c := &frameConn{in: frames{left: preface}, Conn: &scripted{rnd: rnd, toRead: append([]byte(http2.ClientPreface), sent...)}}
	inserts := 3
	for {
		if inserts > 0 && (len(got) > preface && rnd.IntN(8) == 0) {
			c.receive(resetFrame(1, codeCancel))
			inserts--
		}
		b := make([]byte, 1+rnd.IntN(50))
		n, err := c.Read(b)
		got = append(got, b[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for ; inserts > 0; inserts-- { // the traffic ended before they were inserted
		got = append(got, resetFrame(1, codeCancel)...)
	}
	if string(got[:preface]) != http2.ClientPreface {
		t.Fatalf("%q", got[:preface])
	}
	return got[preface:]
}

// TestQueue compares a queue with one that remembers each message.
func TestQueue(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var q queue
		var all []int
		for range 1000 {
			if rnd.IntN(2) == 0 {
				n := rnd.IntN(1000)
				q.add(n)
				all = append(all, n)
			} else if q.remove(); len(all) > 0 {
				all = all[1:]
			}
			sum := 0
			for _, n := range all {
				sum += n
			}
			if q.messages() != len(all) || q.bytes() < sum || len(all) == 0 && q.bytes() != 0 {
				t.Fatalf("seed %d: %d messages of %d bytes, want %d of %d", seed, q.messages(), q.bytes(), len(all), sum)
			}
		}
	}
}
