package redis

import (
	"context"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// server starts a real Redis and returns its address.
func server(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make test installs redis-server", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	c := redis.NewClient(&redis.Options{Addr: addr})
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for c.Ping(ctx).Err() != nil {
		if ctx.Err() != nil {
			t.Fatal("redis-server did not start")
		}
	}
	return addr
}

func TestClientSurvives(t *testing.T) {
	srv := podinfotest.TCPProxy(t, server(t))
	c := NewClient(srv.Addr)
	defer c.Close()
	count := 0
	works := func(what string) {
		t.Helper()
		count++
		if n, err := c.Incr(t.Context(), "visits").Result(); err != nil || n != int64(count) {
			t.Errorf("%s: %d %v", what, n, err)
		}
	}
	works("nothing is broken")

	// The open connection and new ones get slower.
	late := scenario.Duration(20 * time.Millisecond)
	srv.Script(podinfotest.Fault(scenario.Fault{Latency: &scenario.Delay{Fixed: &late}}).Times(10), podinfotest.OK())
	works("latency")

	// The pooled connection breaks before the request is sent, then two new ones at
	// the accept.
	srv.Script(podinfotest.Reset().Times(2), podinfotest.OK())
	srv.Cut()
	works("resets")

	// The target never gets the request, and the client gets no response.
	srv.Script(podinfotest.Fault(scenario.Fault{Silence: &scenario.TCPSilence{}, Direction: scenario.BothWay}), podinfotest.OK())
	works("a stall")

	srv.Script(podinfotest.OK())
	for i := range 100 {
		if err := c.Set(t.Context(), "key"+strconv.Itoa(i), i, 0).Err(); err != nil {
			t.Error(err)
		}
	}
}
