package serve_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, h http.HandlerFunc) *serve.Server { return startWithin(t, nil, h) }

func startWithin(t *testing.T, limits *serve.Limits, h http.HandlerFunc) *serve.Server {
	t.Helper()
	l, err := serve.Listen(t.Context(), "[::1]", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := serve.New(&http.Server{Handler: h}, l, limits)
	run(t, s)
	return s
}

// TestDrainLosesNothing drains a server while a hundred keep-alive clients send
// requests without a pause. Only connecting may fail.
func TestDrainLosesNothing(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	var served, lost atomic.Int64
	var all sync.WaitGroup
	warm := make(chan struct{}, 100)
	for range 100 {
		all.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for n := 0; ; n++ {
				// POST, because the transport silently repeats a lost GET.
				res, err := (&http.Client{Transport: transport}).Post("http://"+s.Addr().String(), "text/plain", strings.NewReader("x"))
				if n == 5 {
					warm <- struct{}{}
				}
				if errors.Is(err, syscall.ECONNREFUSED) {
					return
				}
				if err != nil {
					lost.Add(1)
					t.Log(err)
					return
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					lost.Add(1)
				}
				res.Body.Close()
				served.Add(1)
			}
		})
	}
	for range 100 {
		<-warm
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Error(err)
	}
	all.Wait()
	if lost.Load() > 0 || served.Load() == 0 {
		t.Errorf("%d requests lost, %d served", lost.Load(), served.Load())
	}
}

// untilClosed waits until the port is closed or no longer responds.
func untilClosed(s *serve.Server) {
	for {
		c, err := net.DialTimeout("tcp", s.Addr().String(), 20*time.Millisecond)
		if err != nil {
			return
		}
		c.Close()
	}
}

// TestDrainAnswersWhatWasSent sends a request on a connection that was idle when the
// port closed.
func TestDrainAnswersWhatWasSent(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	send := func() *http.Response {
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		return res
	}
	send()
	done := make(chan error)
	go func() { done <- s.Drain(t.Context()) }()
	untilClosed(s)
	if res := send(); !res.Close {
		t.Error("a response during the drain keeps the connection alive")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDrainAnswersTheBacklog drains a server before it has accepted any connection.
func TestDrainAnswersTheBacklog(t *testing.T) {
	l, err := serve.Listen(t.Context(), "[::1]", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := serve.New(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })}, l, nil)
	var clients []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		clients = append(clients, c)
	}
	drained, served := make(chan error), make(chan error)
	go func() { drained <- s.Drain(t.Context()) }()
	untilClosed(s)
	go func() { served <- s.Serve() }()
	for _, c := range clients {
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || !res.Close {
			t.Errorf("%+v %v", res, err)
		}
	}
	if err := errors.Join(<-drained, <-served); err != nil {
		t.Error(err)
	}
}

// TestDrainLeavesOthersTheirSocket drains a server whose socket has a second user,
// such as the next process after a handover.
func TestDrainLeavesOthersTheirSocket(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s := serve.New(&http.Server{}, l, nil)
	served := make(chan error)
	go func() { served <- s.Serve() }()
	if err := errors.Join(s.Drain(t.Context()), <-served); err != nil {
		t.Error(err)
	}
	c, err := net.DialTimeout("tcp", other.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestDrainCuts: a request that outlives the time is counted, and its client is told
// unless it has got a part of the response.
func TestDrainCuts(t *testing.T) {
	for _, c := range []struct {
		name   string
		begin  bool // the response before it is cut
		limits *serve.Limits
		status int // 0 for none
		cause  any // of the end of the request's context
	}{
		{"not begun", false, limits(10), http.StatusServiceUnavailable, record.ServerCut{Status: 503}},
		{"not begun, no limits", false, nil, 0, context.Canceled},
		{"begun", true, limits(10), 0, record.ServerCut{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			busy, cause := make(chan struct{}), make(chan error, 1)
			s := startWithin(t, c.limits, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body) // net/http then notices the end of the connection
				if c.begin {
					io.WriteString(w, "a part")
					http.NewResponseController(w).Flush()
				}
				close(busy)
				<-r.Context().Done()
				cause <- context.Cause(r.Context())
			})
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			status := make(chan int)
			go func() {
				res, err := client.Post("http://"+s.Addr().String(), "text/plain", strings.NewReader("x"))
				if err != nil {
					status <- 0
					return
				}
				defer res.Body.Close()
				if body, err := io.ReadAll(res.Body); err != nil {
					res.StatusCode = 0
				} else if !strings.Contains(string(body), "shutting down") || res.Header.Get("X-Podinfo-Version") == "" {
					t.Errorf("%v %s", res.Header, body)
				}
				status <- res.StatusCode
			}()
			<-busy
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if err := s.Drain(ctx); err == nil || !strings.Contains(err.Error(), "1 requests cut") {
				t.Error(err)
			}
			if got := <-status; got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
			if got := <-cause; got != c.cause {
				t.Errorf("cause %v, want %v", got, c.cause)
			}
		})
	}
}

// TestDrainCutsEachRequest counts requests, not connections: those of a connection
// over HTTP/2, and one whose handler has taken the connection over.
func TestDrainCutsEachRequest(t *testing.T) {
	for _, c := range []struct {
		name   string
		http2  bool
		hijack bool
		n      int
	}{
		{"HTTP/2", true, false, 2},
		{"taken over", false, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			busy := make(chan struct{})
			l, err := serve.Listen(t.Context(), "127.0.0.1", 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !c.hijack {
					busy <- struct{}{}
					<-r.Context().Done()
					return
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				busy <- struct{}{}
				io.Copy(io.Discard, conn)
				conn.Close()
			})}
			srv.Protocols.SetHTTP1(!c.http2)
			srv.Protocols.SetUnencryptedHTTP2(c.http2)
			s := serve.New(srv, l, limits(10))
			run(t, s)
			client := &http.Transport{Protocols: srv.Protocols}
			defer client.CloseIdleConnections()
			var all sync.WaitGroup
			for range c.n {
				all.Go(func() {
					req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.Addr().String(), nil)
					if err != nil {
						t.Error(err)
						return
					}
					if res, err := client.RoundTrip(req); err == nil {
						res.Body.Close()
						t.Errorf("status %d", res.StatusCode)
					}
				})
				<-busy
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if err := s.Drain(ctx); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d requests cut", c.n)) {
				t.Fatal(err)
			}
			all.Wait()
		})
	}
}

// TestDrainWaitsForWhatWasTakenOver: the handler of a request that has taken the
// connection over, as for a WebSocket through the proxy, may end in time.
func TestDrainWaitsForWhatWasTakenOver(t *testing.T) {
	taken, release := make(chan struct{}), make(chan struct{})
	s := startWithin(t, limits(10), func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		close(taken)
		<-release
		io.WriteString(conn, "bye")
	})
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: podinfo\r\n\r\n")
	<-taken
	drained := make(chan error)
	go func() { drained <- s.Drain(t.Context()) }()
	for { // until the port is closed
		other, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			break
		}
		other.Close()
	}
	select {
	case err := <-drained:
		t.Fatalf("drained (%v) before the handler has returned", err)
	default:
	}
	close(release)
	if text, err := io.ReadAll(conn); string(text) != "bye" {
		t.Error(string(text), err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestLeave: responses of a server that is about to stop ask clients to leave, and
// the port stays open.
func TestLeave(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	get := func(header ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequest("GET", "http://"+s.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return res
	}
	if get().Close {
		t.Error("a response before Leave closes the connection")
	}
	s.Leave()
	for range 2 {
		if !get().Close {
			t.Error("a response after Leave keeps the connection")
		}
	}
	if get("Connection", "Upgrade", "Upgrade", "websocket").Close {
		t.Error("the response to an upgrade closes the connection")
	}
}

// TestDrainReadsWhatArrived: a request that has arrived while the process did not
// run is answered, however late it is found.
func TestDrainReadsWhatArrived(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	ask := func() {
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
	}
	ask()
	done := make(chan error)
	go func() { done <- s.Drain(t.Context()) }()
	untilClosed(s)
	// Longer than the 250 ms after which a kept connection used to be closed.
	<-time.After(serve.Quiet / 2)
	ask()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
