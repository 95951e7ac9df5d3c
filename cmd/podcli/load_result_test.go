package main

import (
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// keys returns the paths of all fields, without those whose names are data.
func keys(prefix string, v any) (all []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			path := strings.TrimPrefix(prefix+"."+name, ".")
			if path != "status" && path != "errors" && !strings.HasPrefix(path, "status.") && !strings.HasPrefix(path, "errors.") {
				all = append(all, keys(path, value)...)
			} else if prefix == "" {
				all = append(all, path)
			}
		}
		return all
	case []any:
		if len(v) > 0 {
			return keys(prefix, v[0])
		}
	}
	return []string{prefix}
}

// TestLoadFields holds the JSON output and its description together.
func TestLoadFields(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer s.Close()
	o := run(t, "load", s.URL, "--rate=100", "--duration=200ms", "-o=json").object(t)
	page, err := os.ReadFile("../../docs/load-test.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = true
	}
	// The lag has the same fields as the latency, and the page describes both together.
	got := map[string]bool{}
	for _, key := range keys("", o) {
		if strings.HasPrefix(key, "lag.") {
			key = "lag"
		}
		if strings.HasPrefix(key, "latency.quantiles.") {
			key = "latency.quantiles"
		}
		got[key] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("docs/load-test.md and the output differ:\n%s", diff)
	}
	quantiles := o["latency"].(map[string]any)["quantiles"].(map[string]any)
	want := []string{"p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(quantiles))); diff != "" {
		t.Error(diff)
	}
	cpu := o["cpu"].(map[string]any)
	if used := cpu["user"].(float64) + cpu["system"].(float64); used <= 0 || cpu["per_request"] != used/o["sent"].(float64) {
		t.Errorf("%v", cpu)
	}
}

// TestLoadStreams checks that a connection has as many requests in flight as asked:
// the server responds only after all have arrived, over one connection.
func TestLoadStreams(t *testing.T) {
	ca, conf, _ := localhost(t)
	for _, scheme := range []string{"http", "https"} {
		const streams = 8
		var connections, requests atomic.Int64
		var once sync.Once
		all := make(chan struct{})
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 2 {
				t.Errorf("%s: %s", scheme, r.Proto)
			}
			if requests.Add(1) == streams {
				once.Do(func() { close(all) })
			}
			<-all
		}))
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetHTTP2(true)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		args := []string{"--http2", "--connections=1", "--streams=8", "--rate=40", "--duration=200ms", "--timeout=1m", "-o=json"}
		if scheme == "https" {
			s.EnableHTTP2, s.TLS = true, conf
			s.StartTLS()
			args = append(args, "--cacert", ca.file)
		} else {
			s.Start()
		}
		o := run(t, append([]string{"load", s.URL}, args...)...).object(t)
		if diff := cmp.Diff(map[string]any{"200": 8.0}, o["status"]); diff != "" || connections.Load() != 1 || o["streams"] != 8.0 {
			t.Errorf("%s over %d connections: %v %s", scheme, connections.Load(), o["errors"], diff)
		}
		s.Close()
	}
}

// TestLoadHTTP2Only checks servers that do not speak HTTP/2.
func TestLoadHTTP2Only(t *testing.T) {
	ca, conf, _ := localhost(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.TLS = conf
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	for _, url := range []string{plain.URL, secure.URL} {
		r := run(t, "load", url, "--http2", "--cacert", ca.file, "--rate=20", "--duration=100ms", "-o=json")
		r.expect(t, 1, "podcli load: no request got a response")
	}
}

func TestLoadUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"localhost --streams=2", "--streams above 1 requires --http2 or --grpc"},
		{"localhost:1 --grpc=echo --http2", "--http2 applies to HTTP only"},
		{"localhost --streams=0", "--streams and --messages must be above 0"},
		{"localhost --messages=0", "--streams and --messages must be above 0"},
		{"localhost:1 --grpc=flow", "want echo, stream, health or package.Service/Method"},
	} {
		run(t, append([]string{"load"}, strings.Fields(c.args)...)...).expect(t, 2, c.want)
	}
}
