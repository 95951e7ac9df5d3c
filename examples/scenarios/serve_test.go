package scenarios_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/tcpproxy"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// client is a client of one server.
type client struct {
	srv   *podinfotest.Server
	http1 *http.Transport // keeps connections
	once  *http.Transport // uses each connection once
	http2 *http.Transport
	calls *grpc.ClientConn
	addr  string      // of the HTTPS port or of the TCP proxy
	trust *tls.Config // of the HTTPS port

	replica *client // of another replica, nil for none
}

func newClient(srv *podinfotest.Server) *client {
	c := &client{srv: srv}
	transport := func() *http.Transport {
		tr := &http.Transport{DialContext: srv.DialContext, Protocols: new(http.Protocols)}
		tr.Protocols.SetHTTP1(true)
		return tr
	}
	c.http1, c.once, c.http2 = transport(), transport(), transport()
	c.once.DisableKeepAlives = true
	c.http2.Protocols.SetHTTP1(false)
	c.http2.Protocols.SetUnencryptedHTTP2(true)
	return c
}

func (c *client) close() {
	for _, tr := range []*http.Transport{c.http1, c.once, c.http2} {
		tr.CloseIdleConnections()
	}
}

// inMemory serves podinfo over in-memory connections, on the fake clock.
func inMemory(t *testing.T, file string, env []string) *client {
	quiet := []string{"PODINFO_WS_ECHO_STATUS_INTERVAL=1h", "PODINFO_WS_ECHO_PING_INTERVAL=1h", "PODINFO_WS_ECHO_IDLE_TIMEOUT=2h"} // only echoes
	srv := podinfotest.StartInMemory(t, append(quiet, env...)...)
	srv.ScenarioFile(file)
	c := newClient(srv)
	c.calls = srv.GRPC()
	return c
}

// behindProxy serves a shop behind podinfo proxy, on the fake clock.
func behindProxy(t *testing.T, file string, env []string) *client {
	srv := podinfotest.Proxy(t, &shop{booked: map[string]bool{}}, env...)
	srv.ScenarioFile(file)
	return newClient(srv)
}

// overTLS serves podinfo on a loopback port with a certificate.
func overTLS(t *testing.T, file string, env []string) *client {
	dir := t.TempDir()
	pool := registrytest.WriteCert(t, dir, "server")
	port := registrytest.FreePort(t)
	srv := podinfotest.Start(t, append(env, fmt.Sprint("PODINFO_SECURE_PORT=", port), "PODINFO_CERT_PATH="+dir, "PODINFO_HOST=127.0.0.1")...)
	srv.ScenarioFile(file)
	c := newClient(srv)
	c.addr, c.trust = fmt.Sprint("127.0.0.1:", port), &tls.Config{RootCAs: pool, ServerName: "localhost"}
	return c
}

// overTCP serves a TCP proxy on a loopback port in front of a real Redis.
func overTCP(t *testing.T, file string, env []string) *client {
	m := &tcpproxy.Module{ListenHost: setting.ListenHost{Host: "127.0.0.1"}, Targets: []string{"redis=" + redisServer(t)}}
	srv := podinfotest.Config{Modules: []registry.Module{m}}.Start(t, env...)
	srv.ScenarioFile(file)
	c := newClient(srv)
	c.addr = m.AddrOf("redis").String()
	return c
}

// fleet serves two replicas on loopback ports, which count in a real Redis.
func fleet(t *testing.T, file string, env []string) *client {
	env = append(env, "PODINFO_CACHE_SERVER=redis://"+redisServer(t))
	c := newClient(podinfotest.Start(t, env...))
	c.replica = newClient(podinfotest.Start(t, append(env, "PODINFO_INSTANCE=another")...))
	c.srv.ScenarioFile(file)
	c.replica.srv.ScenarioFile(file)
	return c
}

// redisServer starts a Redis and returns its address.
func redisServer(t *testing.T) string {
	port := registrytest.FreePort(t)
	addr := fmt.Sprint("127.0.0.1:", port)
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make test installs redis-server", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr); err == nil {
			conn.Close()
			return addr
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("redis-server did not start")
	return ""
}

// shop is a service behind podinfo proxy. It books payments, once for each
// Idempotency-Key, and responds with 4 KiB to anything else.
type shop struct {
	mu     sync.Mutex
	booked map[string]bool
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"1"`)
	if r.URL.Path == "/payments" {
		fmt.Fprint(w, s.book(r), " booked")
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(page)))
	for i := 0; i < len(page); i += len(page) / 4 {
		fmt.Fprint(w, page[i:i+len(page)/4])
	}
}

// book returns how many payments are booked after a request.
func (s *shop) book(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost {
		s.booked[r.Header.Get("Idempotency-Key")] = true
	}
	return len(s.booked)
}

var page = strings.Repeat("x", 4<<10)
