package httpserver_test

import (
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"

	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// TestDerivedLimits checks what follows from the memory, and what is advertised to
// clients over HTTP/2.
func TestDerivedLimits(t *testing.T) {
	const connections, header = "PODINFO_HTTP_SERVER_MAX_CONNECTIONS", "PODINFO_HTTP_SERVER_MAX_HEADER_BYTES"
	for _, c := range []struct {
		memory   int64
		env      string
		settings []string // connections and header, with their sources
		http2    map[string]uint32
	}{
		{64 << 20, "", []string{"512 1/8 of 64MiB at 16KiB each (a test)", "1048576 default"}, nil},
		{64 << 20, "PODINFO_H2C=true", []string{"512 1/8 of 64MiB at 16KiB each (a test)", "16384 1/8 of what an HTTP/2 connection may hold"},
			map[string]uint32{"streams": 8, "window": 1<<16 - 1}},
		{512 << 20, "PODINFO_H2C=true", []string{"4096 1/8 of 512MiB at 16KiB each (a test)", "131072 1/8 of what an HTTP/2 connection may hold"},
			map[string]uint32{"streams": 64, "window": 256 << 10}},
		{64 << 30, "PODINFO_H2C=true", []string{"65536 the largest default", "1048576 default"}, map[string]uint32{"streams": 100, "window": 1 << 20}},
		{1 << 20, "", []string{"256 the smallest default", "1048576 default"}, nil},
		{512 << 20, "PODINFO_H2C=true " + connections + "=64 " + header + "=65536", []string{"64 environment", "65536 environment"},
			map[string]uint32{"streams": 1, "window": 256 << 10}},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		app, err := registry.New([]registry.Module{&httpserver.Module{Listener: l}}, registry.Env(registrytest.Vars(c.env)), registry.MemoryLimit(c.memory, "a test"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range app.Settings() {
			if s.Key == connections || s.Key == header {
				got = append(got, s.Value+" "+string(s.Source))
			}
		}
		if got[0] != c.settings[0] {
			got[0], got[1] = got[1], got[0]
		}
		if diff := cmp.Diff(c.settings, got); diff != "" {
			t.Errorf("%d %s: %s", c.memory, c.env, diff)
		}
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.http2 != nil {
			if diff := cmp.Diff(c.http2, advertised(t, l.Addr().String())); diff != "" {
				t.Errorf("%d %s: %s", c.memory, c.env, diff)
			}
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// advertised returns the settings and the window of an HTTP/2 connection.
func advertised(t *testing.T, addr string) map[string]uint32 {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, http2.ClientPreface)
	f := http2.NewFramer(conn, conn)
	f.WriteSettings()
	f.WritePing(false, [8]byte{}) // its reply comes after what the server sends by itself
	out := map[string]uint32{}
	window := uint32(64<<10 - 1)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if n, ok := frame.Value(http2.SettingMaxConcurrentStreams); ok {
				out["streams"] = n
			}
			if n, ok := frame.Value(http2.SettingInitialWindowSize); ok {
				out["window"] = n
			}
		case *http2.WindowUpdateFrame:
			window += frame.Increment
		case *http2.PingFrame:
			if window != out["window"] {
				t.Errorf("the window of the connection is %d, of a stream %d", window, out["window"])
			}
			return out
		}
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"PODINFO_HTTP_SERVER_MAX_CONNECTIONS=15", "at least 16"},
		{"PODINFO_HTTP_SERVER_STALL_TIMEOUT=0s", "above zero"},
		{"PODINFO_HTTP_SERVER_MAX_HEADER_BYTES=1023", "at least 1024"},
	} {
		if _, err := registry.New([]registry.Module{new(httpserver.Module)}, registry.Env(registrytest.Vars(c.env))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.env, err)
		}
	}
}

func TestConnectionMetrics(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app, _ := registrytest.New(t, registrytest.Vars("PODINFO_HTTP_SERVER_MAX_CONNECTIONS=16"), new(metrics.Module), &httpserver.Module{Listener: l})
	for range 20 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	page := rec.Body.String()
	for _, want := range []string{
		"podinfo_http_connections 16\n", "podinfo_http_connections_max 16\n", "podinfo_http_connections_closed_total 4\n",
		"# HELP podinfo_http_connections Open connections.\n", "# TYPE podinfo_http_connections_closed_total counter\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
}
