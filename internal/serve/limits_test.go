package serve_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/urfave/negroni/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// limited starts a server with limits on loopback, over TLS if conf is not nil.
func limited(t *testing.T, limits *serve.Limits, conf *tls.Config, h http.HandlerFunc) (addr string) {
	t.Helper()
	l, err := serve.Listen(t.Context(), "127.0.0.1", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, TLSConfig: conf, Protocols: new(http.Protocols), ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(conf != nil)
	srv.Protocols.SetUnencryptedHTTP2(conf == nil)
	run(t, serve.New(srv, l, limits))
	return l.Addr().String()
}

func run(t *testing.T, s *serve.Server) {
	done := make(chan error)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func limits(max int) *serve.Limits {
	return &serve.Limits{Pool: serve.NewPool(max), Streams: 2, Stall: 10 * time.Second, Budget: budget.New(64 << 10), Header: http.Header{"X-Podinfo-Version": {"1.2.3"}}}
}

// serverTLS returns the configuration of a TLS server.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	dir := t.TempDir()
	registrytest.WriteCert(t, dir, "server")
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// peer is a client.
type peer struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, addr, send string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	p := &peer{conn, bufio.NewReader(conn)}
	io.WriteString(p, send)
	return p
}

// status returns the status of the next response, or "closed".
func (p *peer) status(t *testing.T) string {
	t.Helper()
	res, err := http.ReadResponse(p.in, nil)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err != nil {
		return "closed"
	}
	body, _ := io.ReadAll(res.Body)
	if named := res.Header.Get("X-Podinfo-Version") == "1.2.3"; res.StatusCode == 503 && !named {
		t.Errorf("a refusal does not say which version it is of: %v", res.Header)
	}
	if res.StatusCode == 503 && (res.Header.Get("Retry-After") == "" || !res.Close || !strings.Contains(string(body), `"code": 503`)) {
		t.Errorf("%+v %s", res, body)
	}
	return fmt.Sprint(res.StatusCode)
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// TestConnectionsAreBounded fills a server with clients of each kind and connects
// another one.
func TestConnectionsAreBounded(t *testing.T) {
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	t.Cleanup(func() { close(release) }) // after the server has closed its connections
	for _, c := range []struct {
		name   string
		send   string
		first  string // what one of four clients gets when there is another one
		second string // what that one gets
	}{
		{"silent", "", "closed", "200"},
		{"half a header", "GET / HTTP/1.1\r\nHost:", "closed", "200"},
		{"idle", get, "closed", "200"},
		{"half of the second header", get + "GET /", "closed", "200"},
		{"half of a body", "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello", "closed", "200"},
		{"response that is not read", "GET /write HTTP/1.1\r\nHost: x\r\n\r\n", "200", "200"}, // but not the body
		{"busy", "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n", "", "503"},
		{"hijacked", "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n", "", "503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := limits(4)
			l.Stall = time.Minute
			stalled := make(chan bool, 10)
			addr := limited(t, l, nil, func(w http.ResponseWriter, r *http.Request) {
				watched := l.Watch(negroni.NewResponseWriter(w), r)
				w = watched.Writer(r)
				switch r.URL.Path {
				case "/read":
					io.Copy(io.Discard, r.Body)
					stalled <- watched.End(r)
				case "/write":
					w.Write(make([]byte, 64<<20))
					stalled <- watched.End(r)
				case "/wait":
					arrived <- struct{}{}
					select {
					case <-r.Context().Done():
					case <-release:
					}
				case "/hijack":
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
					}
					t.Cleanup(func() { conn.Close() })
					arrived <- struct{}{}
				}
			})
			var peers []*peer
			for range 4 {
				p := dial(t, addr, c.send)
				if strings.HasPrefix(c.send, get) {
					p.status(t)
				} else if c.second == "503" {
					<-arrived
				}
				peers = append(peers, p)
			}
			got := dial(t, addr, get).status(t)
			for ; got != c.second && c.second == "200"; got = dial(t, addr, get).status(t) { // until the others are slow
			}
			if got != c.second {
				t.Errorf("the fifth client gets %s, want %s", got, c.second)
			}
			if strings.Contains(c.send, "/read") || strings.Contains(c.send, "/write") {
				if !<-stalled {
					t.Error("the request was not ended")
				}
			}
			if c.first == "" {
				return
			}
			ended := make(chan string, len(peers))
			for _, p := range peers {
				go func() { ended <- p.status(t) }()
			}
			if got := <-ended; got != c.first {
				t.Errorf("one of the first clients gets %s, want %s", got, c.first)
			}
			for _, p := range peers {
				p.Close()
			}
			for range len(peers) - 1 {
				<-ended
			}
		})
	}
}

// TestRefusedRequestsLeave checks that refused clients do not occupy connections,
// whatever they still send, and get their response.
func TestRefusedRequestsLeave(t *testing.T) {
	l := limits(4)
	addr := limited(t, l, nil, func(w http.ResponseWriter, r *http.Request) {
		serve.Leave(w, r)
		w.WriteHeader(http.StatusTooManyRequests)
	})
	for _, length := range []int{0, 1000, 10 << 20} {
		for range 10 { // more than there is room for
			p := dial(t, addr, fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length))
			if got := p.status(t); got != "429" {
				t.Errorf("%d bytes declared: %s", length, got)
			}
			if _, err := p.in.ReadByte(); err != io.EOF {
				t.Errorf("%d bytes declared: %v after the response", length, err)
			}
		}
	}
}

// TestHeadersTakeTheirMemoryFromTheBudget sends long headers without an end.
func TestHeadersTakeTheirMemoryFromTheBudget(t *testing.T) {
	for _, c := range []struct {
		name, header string
		tls          bool
		want         string // "" if the server waits for more
	}{
		{"short", "X: 1\r\n", false, ""},
		{"as net/http's buffer", strings.Repeat("X: "+strings.Repeat("a", 200)+"\r\n", 19), false, ""},
		{"longer", "X: " + strings.Repeat("a", 20<<10), false, ""},
		{"too long for the budget", "X: " + strings.Repeat("a", 40<<10), false, "503"},
		{"of too many lines", strings.Repeat("X:\r\n", 700), false, "503"},
		{"encrypted", strings.Repeat("X: "+strings.Repeat("a", 90)+"\r\n", 20), true, ""},
		{"encrypted and too long", "X: " + strings.Repeat("a", 40<<10), true, "closed"},
	} {
		l := limits(10)
		var conf *tls.Config
		if c.tls {
			conf = serverTLS(t)
		}
		addr := limited(t, l, conf, func(w http.ResponseWriter, r *http.Request) {})
		p := dial(t, addr, "")
		if c.tls {
			p.Conn = tls.Client(p.Conn, &tls.Config{InsecureSkipVerify: true})
			p.in = bufio.NewReader(p.Conn)
		}
		io.WriteString(p, "GET / HTTP/1.1\r\nHost: x\r\n"+c.header)
		if c.want == "" {
			io.WriteString(p, "\r\n\r\n")
			c.want = "200"
		}
		if got := p.status(t); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		p.Close()
		for l.Pool.Open() > 0 { // until the server has noticed
			time.Sleep(time.Millisecond)
		}
		if used := l.Budget.Used(); used != 0 {
			t.Errorf("%s: %d bytes are in use after it", c.name, used)
		}
	}
}

// pipes is a listener for connections in memory, whose deadlines follow the clock of
// a testing/synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestStalls checks when a request ends whose client stands still, with a stall
// timeout of 10 s and a server timeout of an hour.
func TestStalls(t *testing.T) {
	post := "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
	for _, c := range []struct {
		name, path string
		client     func(conn net.Conn)
		want       time.Duration // when the handler ends
		stalled    bool
	}{
		{"body that never comes", "/read", func(conn net.Conn) { fmt.Fprintf(conn, post, "/read") }, 10 * time.Second, true},
		{"body that stops", "/read", func(conn net.Conn) {
			fmt.Fprintf(conn, post, "/read")
			time.Sleep(7 * time.Second)
			io.WriteString(conn, strings.Repeat("x", 999))
		}, 17 * time.Second, true},
		{"slow body", "/read", func(conn net.Conn) {
			fmt.Fprintf(conn, post, "/read")
			for range 1000 {
				time.Sleep(time.Second)
				io.WriteString(conn, "x")
			}
		}, 1000 * time.Second, false},
		{"slow chunks", "/read", func(conn net.Conn) {
			io.WriteString(conn, "POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range 100 {
				time.Sleep(9 * time.Second)
				io.WriteString(conn, "1\r\nx\r\n")
			}
			io.WriteString(conn, "0\r\n\r\n")
		}, 900 * time.Second, false},
		{"response that is not read", "/write", func(conn net.Conn) { io.WriteString(conn, "GET /write HTTP/1.1\r\nHost: x\r\n\r\n") }, 10 * time.Second, true},
		{"response that is read slowly", "/write", func(conn net.Conn) {
			io.WriteString(conn, "GET /write HTTP/1.1\r\nHost: x\r\n\r\n")
			for b := make([]byte, 33<<10); ; time.Sleep(9 * time.Second) { // net.Pipe counts no bytes that were acknowledged
				if _, err := io.ReadFull(conn, b); err != nil {
					return
				}
			}
		}, 0, false},
		{"handler that waits", "/delay", func(conn net.Conn) { io.WriteString(conn, "GET /delay HTTP/1.1\r\nHost: x\r\n\r\n") }, 50 * time.Minute, false},
		{"handler that waits after the body", "/delay", func(conn net.Conn) {
			fmt.Fprintf(conn, post, "/delay")
			io.WriteString(conn, strings.Repeat("x", 1000))
		}, 50 * time.Minute, false},
		{"stream that is idle", "/stream", func(conn net.Conn) {
			io.WriteString(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
			io.Copy(io.Discard, conn)
		}, 50 * time.Minute, false},
		{"connection that was taken over", "/hijack", func(conn net.Conn) { io.WriteString(conn, "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n") }, 50 * time.Minute, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			type result struct {
				err     error
				ctx     error
				stalled bool
				took    time.Duration
			}
			results := make(chan result, 1)
			l := &serve.Limits{Pool: serve.NewPool(10), Stall: 10 * time.Second}
			handler := func(w http.ResponseWriter, r *http.Request) {
				began := time.Now()
				var res result
				watched := l.Watch(negroni.NewResponseWriter(w), r)
				w = watched.Writer(r)
				defer func() {
					res.took, res.ctx = time.Since(began), r.Context().Err()
					res.stalled = watched.End(r)
					results <- res
				}()
				switch r.URL.Path {
				case "/read":
					_, res.err = io.Copy(io.Discard, r.Body)
				case "/write":
					_, res.err = w.Write(make([]byte, 64<<10))
				case "/delay":
					io.Copy(io.Discard, r.Body)
					select {
					case <-time.After(50 * time.Minute):
					case <-r.Context().Done():
					}
				case "/stream":
					for range 50 {
						time.Sleep(time.Minute)
						io.WriteString(w, ":\n\n")
						http.NewResponseController(w).Flush()
					}
				case "/hijack":
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					conn.SetReadDeadline(time.Now().Add(50 * time.Minute))
					conn.Read(make([]byte, 1))
					conn.Close()
				}
			}
			ln := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
			run(t, serve.New(&http.Server{Handler: http.HandlerFunc(handler), ReadTimeout: time.Hour, WriteTimeout: time.Hour}, ln, l))
			client, server := net.Pipe()
			ln.conns <- server
			done := make(chan struct{})
			go func() { defer close(done); c.client(client) }()
			res := <-results
			client.Close()
			<-done
			if res.took != c.want && c.want != 0 || res.stalled != c.stalled || c.stalled != errors.Is(res.err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %+v, want %v after %v", c.name, res, c.stalled, c.want)
			}
			if !c.stalled && res.ctx != nil && c.path != "/hijack" {
				t.Errorf("%s: %v", c.name, res.ctx)
			}
		})
	}
}

// TestStreamStalls is TestStalls for HTTP/2, on the real clock.
func TestStreamStalls(t *testing.T) {
	type result struct {
		err     error
		stalled bool
	}
	results := make(chan result, 1)
	l := &serve.Limits{Pool: serve.NewPool(10), Streams: 2, Stall: 200 * time.Millisecond}
	addr := limited(t, l, nil, func(w http.ResponseWriter, r *http.Request) {
		watched := l.Watch(negroni.NewResponseWriter(w), r)
		s := watched.Writer(r)
		var res result
		switch r.URL.Path {
		case "/read":
			_, res.err = io.Copy(io.Discard, r.Body)
		case "/write":
			_, res.err = s.Write(make([]byte, 1<<20))
		case "/flush":
			io.WriteString(s, "x")
			res.err = http.NewResponseController(s).Flush()
		case "/small": // net/http writes it after the handler
			io.WriteString(s, "x")
		case "/delay":
			select {
			case <-time.After(3 * l.Stall):
			case <-r.Context().Done():
				res.err = r.Context().Err()
			}
		}
		res.stalled = watched.End(r)
		results <- res
	})
	for _, c := range []struct {
		path    string
		end     bool // of the request's body
		stalled bool
		reset   bool // the client gets RST_STREAM
	}{
		{"/read", false, true, false},
		{"/read", true, false, false},
		{"/write", true, true, true},
		{"/flush", true, true, true},
		{"/small", true, false, true},
		{"/delay", true, false, false},
		{"/delay", false, false, false},
	} {
		p := dial(t, addr, http2.ClientPreface)
		f := http2.NewFramer(p, p.in)
		window := uint32(0)
		if !c.reset {
			window = 1 << 20
		}
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
		var block strings.Builder
		e := hpack.NewEncoder(&block)
		for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "x"}, {":path", c.path}} {
			e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndHeaders: true, EndStream: c.end})
		res := <-results
		if res.stalled != c.stalled || c.stalled != (res.err != nil) && c.path != "/flush" { // negroni drops the error of Flush
			t.Errorf("%s: %+v, want %v", c.path, res, c.stalled)
		}
		for ended := false; !ended; {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Errorf("%s: %v", c.path, err)
				break
			}
			switch frame := frame.(type) {
			case *http2.RSTStreamFrame:
				ended = true
				if !c.reset && c.end {
					t.Errorf("%s: %v", c.path, frame)
				}
			case *http2.HeadersFrame:
				ended = frame.StreamEnded() && !c.reset
			case *http2.DataFrame:
				ended = frame.StreamEnded() && !c.reset
			}
		}
		p.Close()
	}
}

// TestIdleConnectionsAreClosed waits with an idle timeout of 80 s. Over HTTP/2 the
// client gets a GOAWAY first.
func TestIdleConnectionsAreClosed(t *testing.T) {
	for _, c := range []struct {
		name   string
		client func(t *testing.T, conn net.Conn)
		least  time.Duration
	}{
		{"HTTP/1", func(t *testing.T, conn net.Conn) {
			io.WriteString(conn, get)
			in := bufio.NewReader(conn)
			if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
				t.Errorf("%+v %v", res, err)
			}
			if _, err := in.ReadByte(); err != io.EOF {
				t.Error(err)
			}
		}, 80 * time.Second},
		{"HTTP/2", func(t *testing.T, conn net.Conn) {
			io.WriteString(conn, http2.ClientPreface)
			f := http2.NewFramer(conn, conn)
			go f.WriteSettings()
			var last http2.Frame
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					break
				}
				last = frame
			}
			if g, ok := last.(*http2.GoAwayFrame); !ok || g.ErrCode != http2.ErrCodeNo || g.LastStreamID != 1<<31-1 {
				t.Errorf("%v", last)
			}
		}, 90 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ln := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
			l := &serve.Limits{Pool: serve.NewPool(10), Streams: 2, Stall: 10 * time.Second}
			srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), IdleTimeout: 80 * time.Second, Protocols: new(http.Protocols)}
			srv.Protocols.SetHTTP1(true)
			srv.Protocols.SetUnencryptedHTTP2(true)
			run(t, serve.New(srv, ln, l))
			client, server := net.Pipe()
			defer client.Close()
			ln.conns <- server
			began := time.Now()
			c.client(t, client)
			if took := time.Since(began); took < c.least || took > c.least+10*time.Second {
				t.Errorf("%s: closed after %v", c.name, took)
			}
		})
	}
}

// TestHTTP2ClientsHaveToRead sends frames that need a response each and reads
// nothing.
func TestHTTP2ClientsHaveToRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		l := &serve.Limits{Pool: serve.NewPool(10), Streams: 2, Stall: 10 * time.Second}
		srv := &http.Server{Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{WriteByteTimeout: 10 * time.Second}}
		srv.Protocols.SetUnencryptedHTTP2(true)
		run(t, serve.New(srv, ln, l))
		client, server := net.Pipe()
		defer client.Close()
		ln.conns <- server
		io.WriteString(client, http2.ClientPreface)
		f := http2.NewFramer(client, client)
		f.WriteSettings()
		if _, err := f.ReadFrame(); err != nil {
			t.Fatal(err)
		}
		began, pings := time.Now(), 0
		for ; f.WritePing(false, [8]byte{}) == nil; pings++ {
		}
		if took := time.Since(began); pings > 1000 || took != 10*time.Second {
			t.Errorf("%d pings were read in %v", pings, took)
		}
	})
}

// TestHTTP2ConnectionsCountAsSeveral opens HTTP/2 connections, with and without TLS,
// beyond the limit.
func TestHTTP2ConnectionsCountAsSeveral(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var conf *tls.Config
		if secure {
			conf = serverTLS(t)
		}
		arrived := make(chan struct{}, 10)
		l := limits(16)
		l.Streams = 7
		addr := limited(t, l, conf, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				w.(http.Flusher).Flush()
				arrived <- struct{}{}
				<-r.Context().Done()
			}
		})
		client := func() *http.Client {
			tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			tr.Protocols.SetHTTP2(secure)
			tr.Protocols.SetUnencryptedHTTP2(!secure)
			t.Cleanup(tr.CloseIdleConnections)
			return &http.Client{Transport: tr, Timeout: 20 * time.Second}
		}
		url := "http://" + addr
		if secure {
			url = "https://" + addr
		}
		for range 5 { // idle ones replace each other
			res, err := client().Get(url)
			if err != nil || res.ProtoMajor != 2 {
				t.Fatal(res, err)
			}
			res.Body.Close()
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			req, err := http.NewRequestWithContext(ctx, "GET", url+"/wait", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { res.Body.Close() })
			<-arrived
		}
		if res, err := client().Get(url); err == nil {
			t.Errorf("secure %v: a third busy connection gets %s", secure, res.Status)
			res.Body.Close()
		}
		if !secure {
			if got := dial(t, addr, get).status(t); got != "200" {
				t.Errorf("a client over HTTP/1 gets %s", got)
			}
		}
		cancel()
	}
}
