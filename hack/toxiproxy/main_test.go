package toxiproxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/metricsserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/tcpproxy"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// original starts toxiproxy and returns the address of its API.
func original(t testing.TB) string {
	zerolog.SetGlobalLevel(zerolog.Disabled) // its toxics write to the default logger
	log := zerolog.Nop()
	s := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), log)
	srv := httptest.NewServer(s.Routes())
	t.Cleanup(func() {
		srv.Close()
		s.Collection.Clear()
	})
	return srv.Listener.Addr().String()
}

// ours starts podinfo and returns the address of toxiproxy's API.
func ours(t testing.TB) string {
	addr, _ := serve(t)
	return addr
}

func serve(t testing.TB, env ...string) (string, *tcpproxy.Module) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	for try := 0; ; try++ {
		port := freePort(t)
		vars := map[string]string{
			"PODINFO_HOST": "127.0.0.1", "PODINFO_PORT_METRICS": fmt.Sprint(port), "PODINFO_FAULTS": "true", "PODINFO_TCP_PROXY_TOXIPROXY_API": "true",
		}
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			vars[name] = value
		}
		m := new(tcpproxy.Module)
		app, err := podinfo.New(registry.Env(vars), registry.Logger(log), registry.With(new(metricsserver.Module), m))
		if err != nil {
			t.Fatal(err)
		}
		if err = app.Start(context.Background()); err != nil {
			if try < 5 { // another process has taken the port
				continue
			}
			t.Fatal(err)
		}
		t.Cleanup(func() {
			now, cancel := context.WithCancel(context.Background())
			cancel()
			app.Drain(now)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := app.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
		return fmt.Sprint("127.0.0.1:", port), m
	}
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// listener serves connections by handle until the test ends.
func listener(t testing.TB, handle func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			all.Go(func() { defer c.Close(); handle(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

func echo(c net.Conn) { io.Copy(c, c) }
