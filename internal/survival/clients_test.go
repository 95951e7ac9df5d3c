//go:build linux

package survival_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// attack is a kind of client. run returns when all of its clients have sent what
// they send, or were refused.
type attack struct {
	name string
	run  func(t *testing.T, p *pod) *clients
}

// clients are open connections and the outcomes of requests.
type clients struct {
	mu       sync.Mutex
	conns    []net.Conn
	outcomes map[string]int
}

func (c *clients) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
}

func (c *clients) count(outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcomes == nil {
		c.outcomes = map[string]int{}
	}
	c.outcomes[outcome]++
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

func (c *clients) String() string { return fmt.Sprintf("%d connections, %v", len(c.conns), c.outcomes) }

// dialers is how many clients connect at the same time.
const dialers = 64

// open opens n connections to addr, which stay open, and calls send with each.
func open(t *testing.T, addr string, n int, send func(conn net.Conn) error) *clients {
	t.Helper()
	c := new(clients)
	var next atomic.Int64
	var all sync.WaitGroup
	for range dialers {
		all.Go(func() {
			for next.Add(1) <= int64(n) {
				conn, err := net.DialTimeout("tcp", addr, patience)
				if err != nil {
					t.Errorf("connect: %v", err)
					return
				}
				conn.SetDeadline(time.Now().Add(2 * time.Second)) // a server that does not read what is sent is no error
				c.add(conn)
				if send(conn) != nil {
					c.count("not sent")
				}
			}
		})
	}
	all.Wait()
	return c
}

func text(s string) func(net.Conn) error {
	return func(conn net.Conn) error {
		_, err := io.WriteString(conn, s)
		return err
	}
}

// post sends n requests with a body of size bytes at the same time.
func post(t *testing.T, p *pod, n int, method, path string, size int) *clients {
	t.Helper()
	c := new(clients)
	var all sync.WaitGroup
	body := bytes.Repeat([]byte("x"), size)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range n {
		all.Go(func() {
			req, err := http.NewRequest(method, "http://"+p.web+strings.ReplaceAll(path, "N", fmt.Sprint(i)), bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			res, err := client.Do(req)
			if err != nil {
				c.count("no response") // the server does not read the rest of a body that it has refused
				return
			}
			defer res.Body.Close()
			io.Copy(io.Discard, res.Body)
			c.count(res.Status)
		})
	}
	all.Wait()
	return c
}

// frames returns what write writes after the preface of HTTP/2.
func frames(settings []http2.Setting, write func(f *http2.Framer)) func(net.Conn) error {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&b, nil)
	f.WriteSettings(settings...)
	write(f)
	return text(b.String())
}

// block encodes a request's header.
func block(method, path string, more ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range [][2]string{{":method", method}, {":scheme", "http"}, {":authority", "x"}, {":path", path}} {
		e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	for i := 0; i+1 < len(more); i += 2 {
		e.WriteField(hpack.HeaderField{Name: more[i], Value: more[i+1]})
	}
	return b.Bytes()
}

// head opens a stream.
func head(f *http2.Framer, id uint32, block []byte, end bool) {
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: end, EndHeaders: true})
}

// webSocket sends a message of a megabyte of zeros, each of which becomes six
// bytes in the response.
func webSocket(conn net.Conn) error {
	if _, err := io.WriteString(conn, "GET /ws/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		return err
	}
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%v %v", res, err)
	}
	frame := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 1<<20)
	_, err := conn.Write(append(append(frame, 0, 0, 0, 0), make([]byte, 1<<20)...))
	return err
}

// call is the header of a gRPC call.
func call(method string) []byte {
	return block("POST", method, "content-type", "application/grpc", "te", "trailers")
}

const echoRPC = "/echo.EchoService/Echo"

// message is the beginning of a gRPC message that declares a length.
func message(length, size int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(length))
	// The field 1 of the request, a text of length-5 bytes.
	b = binary.AppendUvarint(append(b, 0x0a), uint64(length-5))
	return append(b, bytes.Repeat([]byte("x"), size)...)
}

// data writes DATA frames of at most 16 KiB.
func data(f *http2.Framer, id uint32, end bool, b []byte, frame int) {
	for len(b) > frame {
		f.WriteData(id, false, b[:frame])
		b = b[frame:]
	}
	f.WriteData(id, end, b)
}

// many writes n streams.
func many(n uint32, write func(f *http2.Framer, id uint32)) func(*http2.Framer) {
	return func(f *http2.Framer) {
		for id := uint32(1); id < 2*n; id += 2 {
			write(f, id)
		}
	}
}

var (
	noWindow = []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}
	request  = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
)

var attacks = []attack{
	{"idle", func(t *testing.T, p *pod) *clients {
		return open(t, p.web, 2000, text("GET /version HTTP/1.1\r\nHost: x\r\n\r\n"))
	}},
	{"silent", func(t *testing.T, p *pod) *clients { return open(t, p.web, 2000, text("")) }},
	{"silent on the metrics port", func(t *testing.T, p *pod) *clients { return open(t, p.metrics, 2000, text("G")) }},
	{"long header", func(t *testing.T, p *pod) *clients {
		return open(t, p.web, 2000, text("GET / HTTP/1.1\r\nHost: x\r\nX-A: "+strings.Repeat("a", 100<<10)))
	}},
	{"header of many lines", func(t *testing.T, p *pod) *clients {
		return open(t, p.web, 2000, text("GET / HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-A: \r\n", 14<<10)))
	}},
	{"declared bodies", func(t *testing.T, p *pod) *clients {
		return open(t, p.web, 2000, text(fmt.Sprintf(request, 10<<20, "hello world")))
	}},
	{"slow bodies", func(t *testing.T, p *pod) *clients {
		return open(t, p.web, 2000, text(fmt.Sprintf(request, 10<<20, strings.Repeat("x", 64<<10))))
	}},
	{"echoes that are not read", func(t *testing.T, p *pod) *clients {
		return open(t, p.web, 2000, text(fmt.Sprintf(request, 1<<20, strings.Repeat("x", 1<<20))))
	}},
	{"pages that are not read", func(t *testing.T, p *pod) *clients {
		return open(t, p.web, 2000, text(strings.Repeat("GET /swagger.json HTTP/1.1\r\nHost: x\r\n\r\n", 100)))
	}},
	{"echoes of 10 MiB", func(t *testing.T, p *pod) *clients { return post(t, p, 50, "POST", "/echo", 10<<20) }},
	{"tokens of 10 MiB", func(t *testing.T, p *pod) *clients { return post(t, p, 50, "POST", "/token", 10<<20) }},
	{"cache values of 10 MiB", func(t *testing.T, p *pod) *clients { return post(t, p, 50, "POST", "/cache/N", 10<<20) }},
	{"files of 10 MiB", func(t *testing.T, p *pod) *clients { return post(t, p, 10, "POST", "/store", 10<<20) }},
	{"WebSockets that are not read", func(t *testing.T, p *pod) *clients { return open(t, p.web, 1000, webSocket) }},
	{"HTTP/2 rapid reset", func(t *testing.T, p *pod) *clients {
		b := block("GET", "/delay/10")
		return open(t, p.web, 2000, frames(nil, many(500, func(f *http2.Framer, id uint32) {
			head(f, id, b, true)
			f.WriteRSTStream(id, http2.ErrCodeCancel)
		})))
	}},
	{"HTTP/2 CONTINUATION", func(t *testing.T, p *pod) *clients {
		part := bytes.Repeat([]byte{0x80 | 15}, 4<<10) // a field of the static table in each byte
		return open(t, p.web, 2000, frames(nil, func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block("GET", "/")})
			for range 8 {
				f.WriteContinuation(1, false, part)
			}
		}))
	}},
	{"HTTP/2 window stall", func(t *testing.T, p *pod) *clients {
		b := block("GET", "/env")
		return open(t, p.web, 2000, frames(noWindow, many(100, func(f *http2.Framer, id uint32) { head(f, id, b, true) })))
	}},
	{"HTTP/2 declared bodies", func(t *testing.T, p *pod) *clients {
		b := block("POST", "/echo", "content-length", "10485760")
		return open(t, p.web, 2000, frames(nil, many(250, func(f *http2.Framer, id uint32) { head(f, id, b, false) })))
	}},
	{"HTTP/2 pings that are not read", func(t *testing.T, p *pod) *clients {
		return open(t, p.web, 200, frames(nil, many(4000, func(f *http2.Framer, _ uint32) { f.WritePing(false, [8]byte{}) })))
	}},
	{"gRPC silent", func(t *testing.T, p *pod) *clients { return open(t, p.grpc, 2000, text("")) }},
	{"gRPC idle", func(t *testing.T, p *pod) *clients {
		return open(t, p.grpc, 2000, frames(nil, func(*http2.Framer) {}))
	}},
	{"gRPC partial messages", func(t *testing.T, p *pod) *clients {
		return open(t, p.grpc, 500, frames(nil, many(50, func(f *http2.Framer, id uint32) {
			head(f, id, call(echoRPC), false)
			data(f, id, false, message(4<<20, 60<<10), 16<<10)
		})))
	}},
	{"gRPC messages in small frames", func(t *testing.T, p *pod) *clients {
		return open(t, p.grpc, 500, frames(nil, many(10, func(f *http2.Framer, id uint32) {
			head(f, id, call(echoRPC), false)
			data(f, id, false, message(1<<20, 4<<10), 1)
		})))
	}},
	{"gRPC responses that are not read", func(t *testing.T, p *pod) *clients {
		return open(t, p.grpc, 500, frames(noWindow, many(20, func(f *http2.Framer, id uint32) {
			head(f, id, call(echoRPC), false)
			data(f, id, true, message(60<<10, 60<<10-5), 16<<10)
		})))
	}},
	{"gRPC rapid reset", func(t *testing.T, p *pod) *clients {
		return open(t, p.grpc, 1000, frames(nil, many(500, func(f *http2.Framer, id uint32) {
			head(f, id, call(echoRPC), false)
			f.WriteRSTStream(id, http2.ErrCodeCancel)
		})))
	}},
	{"gRPC CONTINUATION", func(t *testing.T, p *pod) *clients {
		part := bytes.Repeat([]byte{0x80 | 15}, 4<<10)
		return open(t, p.grpc, 1000, frames(nil, func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: call(echoRPC)})
			for range 8 {
				f.WriteContinuation(1, false, part)
			}
		}))
	}},
}
