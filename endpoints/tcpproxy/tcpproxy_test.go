package tcpproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	promset "github.com/VictoriaMetrics/metrics"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestSettings(t *testing.T) {
	for value, want := range map[string]string{
		"redis=localhost:6379":                             "",
		"redis=26379:localhost:6379, pg=[::1]:5432":        "",
		"a=1:10.0.0.1:80,b=[fe80::1%eth0]:80":              "",
		"localhost:6379":                                   `want name=host:port or name=port:host:port, such as redis=localhost:6379 or redis=26379:localhost:6379`,
		"redis=6379:6380":                                  "want name=host:port",
		"redis=localhost":                                  "want name=host:port",
		"redis=::1:6379":                                   "want name=host:port",
		"re/dis=localhost:6379":                            "want name=host:port",
		"redis=localhost:6379@26379":                       "want name=host:port",
		"redis=localhost:99999":                            `want ports from 1 to 65535 in "redis=localhost:99999"`,
		"redis=0:localhost:6379":                           "want ports from 1 to 65535",
		"redis=localhost:6379,redis=localhost:6380":        "want one service with the name redis",
		"redis=1000:localhost:6379,pg=1000:localhost:5432": "want one service on the port 1000",
		"redis=26379:localhost:26379":                      `want another port in "redis=26379:localhost:26379": the target is podinfo itself`,
		"a=1001:127.0.0.1:1002, b=1002:[::1]:1001":         `want another port in "a=1001:127.0.0.1:1002": the target is podinfo itself`,
		"a=1001:127.0.0.1:1002,b=1002:localhost:1003":      "", // one after the other
		"a=1001:192.0.2.1:1001":                            "",
	} {
		_, err := registry.New([]registry.Module{new(Module)}, registry.Env(map[string]string{"PODINFO_TCP_PROXY": value}), registry.Logger(silent()))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
	for _, env := range []map[string]string{
		{"PODINFO_TCP_PROXY_ENABLED": "true"},
		{"PODINFO_TCP_PROXY": "a=b:1", "PODINFO_TCP_PROXY_CONNECT_TIMEOUT": "0s"},
		{"PODINFO_TCP_PROXY_TOXIPROXY_API": "true"},
	} {
		if _, err := registry.New([]registry.Module{new(Module), new(faults.Module)}, registry.Env(env), registry.Logger(silent())); err == nil {
			t.Errorf("%v is accepted", env)
		}
	}
}

func silent() *logrus.Logger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

// service is a real TCP server that calls handle for each connection.
func service(t testing.TB, handle func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); handle(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

func echo(c *net.TCPConn) { io.Copy(c, c) }

// proxied is a server with one TCP proxy, "db", over real connections.
type proxied struct {
	m      *Module
	faults *faults.Module
	log    *registrytest.Log
	app    *registry.App
	ended  chan Connection
}

func serveReal(t testing.TB, target, rules string) *proxied {
	t.Helper()
	s := &proxied{faults: new(faults.Module), ended: make(chan Connection, 1000)}
	s.m = &Module{OnClose: func(c Connection) { s.ended <- c }}
	s.app, s.log = registrytest.New(t, map[string]string{"PODINFO_TCP_PROXY": "db=" + target, "PODINFO_HOST": "127.0.0.1", "PODINFO_FAULTS": rules, "PODINFO_LEVEL": "debug"}, s.faults, s.m)
	return s
}

func (s *proxied) addr() string {
	if a := s.m.AddrOf("db"); a != nil {
		return a.String()
	}
	return ""
}

func (s *proxied) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// Data and half-closes pass in both directions, and are counted and logged.
func TestPass(t *testing.T) {
	for _, rules := range []string{"true", "rules: [{name: r, fault: {slice: {size: 1000, variation: 500}, direction: both}}]"} {
		s := serveReal(t, service(t, func(c *net.TCPConn) { // answers when the client has sent everything
			all, _ := io.ReadAll(c)
			c.Write(all)
		}), rules)
		set := promset.NewSet()
		s.m.ContributeMetrics(set)
		c := s.dial(t)
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		go func() { c.Write(sent); c.CloseWrite() }()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: %d bytes, %v", rules, len(got), err)
		}
		c.Close()
		ended := <-s.ended
		if ended.In != int64(len(sent)) || ended.Out != int64(len(sent)) || ended.Proxy != "db" || ended.Client != c.LocalAddr().String() {
			t.Errorf("%+v", ended)
		}
		var page bytes.Buffer
		set.WritePrometheus(&page)
		for _, line := range []string{
			`podinfo_tcp_proxy_connections_total{proxy="db"} 1`, `podinfo_tcp_proxy_bytes_total{proxy="db",direction="in"} 1048576`,
			`podinfo_tcp_proxy_bytes_total{proxy="db",direction="out"} 1048576`, "podinfo_tcp_proxy_connections 0", `podinfo_tcp_proxy_connect_errors_total{proxy="db"} 0`,
		} {
			if !strings.Contains(page.String(), line+"\n") {
				t.Errorf("%s: no line %s in\n%s", rules, line, page.String())
			}
		}
		if !strings.Contains(s.log.String(), `"connection completed"`) || !strings.Contains(s.log.String(), "Starting TCP proxy.") {
			t.Error(s.log)
		}
	}
}

// How a connection ends passes too: a reset of either side resets the other.
func TestResetsPass(t *testing.T) {
	saw := make(chan error, 1)
	s := serveReal(t, service(t, func(c *net.TCPConn) {
		b := make([]byte, 1)
		if _, err := c.Read(b); err == nil && b[0] == 'r' {
			c.SetLinger(0)
			return
		}
		c.Write(b)
		_, err := c.Read(b)
		saw <- err
	}), "true")
	c := s.dial(t)
	io.WriteString(c, "r")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a reset of the target: %v", err)
	}
	c = s.dial(t)
	io.WriteString(c, "x")
	io.ReadFull(c, make([]byte, 1))
	c.SetLinger(0)
	c.Close()
	if err := <-saw; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a reset of the client: %v", err)
	}
}

// Faults as clients see them over real connections.
func TestFaultsOverRealConnections(t *testing.T) {
	closed := errors.New("closed, with a reset if data arrives then")
	target := service(t, echo)
	ask := func(addr string, silent bool) error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		if silent {
			_, err := c.Read(make([]byte, 1))
			return err
		}
		if _, err := io.WriteString(c, "hello"); err != nil {
			return err
		}
		_, err = io.ReadFull(c, make([]byte, 5))
		return err
	}
	for rule, want := range map[string]error{
		"fault: {down: true}":  syscall.ECONNREFUSED,
		"fault: {reset: true}": syscall.ECONNRESET,
		"fault: {close: {bytes: 0, reset: true}, direction: in}":        syscall.ECONNRESET,
		"fault: {close: {bytes: 2, reset: true}}":                       syscall.ECONNRESET,
		"fault: {close: {bytes: 2}, direction: out}":                    io.ErrUnexpectedEOF,
		"match: {tcp: other}, fault: {reset: true}":                     nil,
		"delay: 1ms, fault: {latency: {fixed: 1ms}}":                    nil,
		"fault: {silence: 1ms}":                                         closed,
		"when: {from: 2100-01-01T00:00:00Z}, fault: {reset: true}":      nil,
		"match: {server: ['nobody']}, fault: {reset: true}":             nil,
		"fault: {bandwidth: 1000000, direction: both}":                  nil,
		"fault: {corrupt: 100}":                                         nil,
		"fault: {slow-close: 1ms}":                                      nil,
		"fault: {stall: {after: 1, for: 1ms}, direction: both}":         nil,
		"match: {percent: 100}, when: {first: 1}, fault: {empty: true}": io.EOF,
	} {
		s := serveReal(t, target, "true")
		addr := s.addr()
		if err := ask(addr, false); err != nil {
			t.Fatal(err)
		}
		s.apply(t, rule)
		err := ask(addr, false)
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			err = errors.Join(err, closed)
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", rule, err, want)
		}
		if want == closed {
			if err := ask(addr, true); err != io.EOF {
				t.Errorf("%s, with a client that sends nothing: %v", rule, err)
			}
		}
		s.faults.RemoveRule("r")
		s.refresh()
		if err := ask(addr, false); err != nil {
			t.Errorf("%s, removed: %v", rule, err)
		}
	}
}

func (s *proxied) apply(t testing.TB, rule string) {
	t.Helper()
	(&bench{t: t, faults: s.faults}).put("r", rule)
	s.refresh()
}

// refresh does what the watch does soon.
func (s *proxied) refresh() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.refreshLocked(context.Background())
}

// TLS passes through.
func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	s := serveReal(t, srv.Listener.Addr().String(), "rules: [{name: r, fault: {slice: 100, direction: both}}]")
	client := srv.Client()
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com"
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + s.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); string(b) != "HTTP/2.0" || res.TLS.Version != tls.VersionTLS13 {
		t.Errorf("%s %x", b, res.TLS.Version)
	}
}

// A target that is down is counted, and not as a fault.
func TestTargetIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := serveReal(t, l.Addr().String(), "true")
	set := promset.NewSet()
	s.m.ContributeMetrics(set)
	s.faults.ContributeMetrics(set)
	if b, err := io.ReadAll(s.dial(t)); len(b) > 0 || err != nil {
		t.Error(b, err)
	}
	<-s.ended
	var page bytes.Buffer
	set.WritePrometheus(&page)
	if !strings.Contains(page.String(), `podinfo_tcp_proxy_connect_errors_total{proxy="db"} 1`) || strings.Contains(page.String(), "podinfo_fault_hits_total{") || !strings.Contains(s.log.String(), "cannot connect to the target") {
		t.Error(page.String(), s.log)
	}
}

// Hits are counted by rule and kind.
func TestHitsAreCounted(t *testing.T) {
	s := serveReal(t, service(t, echo), "rules: [{name: a, delay: 1ms, combine: true, fault: {slice: 1}}, {name: b, delay: 1ms, fault: {reset: true}}]")
	set := promset.NewSet()
	s.faults.ContributeMetrics(set)
	if c, err := net.Dial("tcp", s.addr()); err == nil { // the reset may be faster
		io.ReadAll(c)
		c.Close()
	}
	if got := <-s.ended; !slices.Equal(got.Rules, []string{"a", "b"}) {
		t.Errorf("hit by %q", got.Rules)
	}
	var page bytes.Buffer
	set.WritePrometheus(&page)
	for _, line := range []string{`podinfo_fault_hits_total{rule="a",kind="delay"} 1`, `podinfo_fault_hits_total{rule="b",kind="reset"} 1`} {
		if !strings.Contains(page.String(), line) {
			t.Errorf("no %s in\n%s", line, page.String())
		}
	}
	if hits := s.faults.Rules()[1].Hits; hits != 1 {
		t.Errorf("%d hits", hits)
	}
}

// At the end the ports close first, and connections may end.
func TestDrain(t *testing.T) {
	s := serveReal(t, service(t, echo), "true")
	addr := s.addr()
	a, b := s.dial(t), s.dial(t)
	for _, c := range []net.Conn{a, b} {
		io.WriteString(c, "1")
		io.ReadFull(c, make([]byte, 1))
	}
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan error)
	go func() { drained <- s.m.Drain(ctx) }()
	for s.addr() != "" {
		runtime.Gosched()
	}
	if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
	io.WriteString(a, "2")
	if _, err := io.ReadFull(a, make([]byte, 1)); err != nil {
		t.Errorf("during the drain: %v", err)
	}
	a.Close()
	<-s.ended
	cancel()
	if err := <-drained; err == nil || fmt.Sprint(err) != "1 connections cut: context canceled" {
		t.Error(err)
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
}

// A client that speaks first, as one of Redis does, reads the end of the data and
// no reset, however much it sends.
func TestEmptyIsNoReset(t *testing.T) {
	s := serveReal(t, service(t, echo), "rules: [{name: r, fault: {empty: true}}]")
	for _, size := range []int{6, 1 << 20} {
		for range 10 {
			c := s.dial(t)
			if _, err := c.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("%d bytes: %v, want EOF", size, err)
			}
			c.Close()
		}
	}
	client := redis.NewClient(&redis.Options{Addr: s.addr(), MaxRetries: -1, Protocol: 2})
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err != io.EOF {
		t.Errorf("redis: %v, want EOF", err)
	}
}

// Any number of servers run in one process, each with its own rules.
func TestTwoServers(t *testing.T) {
	target := service(t, echo)
	a, b := serveReal(t, target, "rules: [{name: r, fault: {empty: true}}]"), serveReal(t, target, "true")
	if _, err := io.ReadAll(a.dial(t)); err != nil {
		t.Error(err)
	}
	c := b.dial(t)
	io.WriteString(c, "x")
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// Without rules for a direction, no memory is allocated for its data.
func TestNoAllocationPerPiece(t *testing.T) {
	s := serveReal(t, service(t, echo), "rules: [{name: r, match: {tcp: other}, fault: {slice: 1}}]")
	c := s.dial(t)
	buf := make([]byte, 1000)
	n := testing.AllocsPerRun(200, func() {
		if _, err := c.Write(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations for each exchange", n)
	}
}
