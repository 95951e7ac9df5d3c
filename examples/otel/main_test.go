package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// redis starts a server and returns its URL.
func redis(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make test installs redis-server", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go io.Copy(io.Discard, out)
			return "redis://127.0.0.1:" + port
		}
	}
	t.Fatal("redis-server did not start")
	return ""
}

// A request to the frontend is one trace: the frontend's span, its request to the
// backend, the backend's span and its command to Redis, each the parent of the next.
func TestOneTrace(t *testing.T) {
	collector := otlptest.Start(t)
	vars := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + collector.GRPC, "PODINFO_CACHE_SERVER": redis(t)}
	backend, err := server("backend", vars, nil)
	if err != nil {
		t.Fatal(err)
	}
	backendURL := serve(t, backend)
	frontend, err := server("frontend", vars, map[string]string{"PODINFO_BACKEND_URL": backendURL + "/cache/greeting"})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(serve(t, frontend)+"/echo", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("%s", res.Status)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for _, app := range []*registry.App{frontend, backend} {
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}

	const (
		asServer = tracepb.Span_SPAN_KIND_SERVER
		asClient = tracepb.Span_SPAN_KIND_CLIENT
	)
	parent, trace := "", ""
	for _, want := range []struct {
		service, name string
		kind          tracepb.Span_SpanKind
	}{
		{"frontend", "POST /echo", asServer},
		{"frontend", "POST", asClient},
		{"backend", "POST /cache/{key}", asServer},
		{"backend", "SET", asClient},
	} {
		span, ok := find(collector.Spans(), want.service, want.name, want.kind)
		if !ok {
			t.Fatalf("no span %v in %+v", want, collector.Spans())
		}
		if trace == "" {
			trace = span.Trace
		}
		if span.Parent != parent || span.Trace != trace {
			t.Errorf("%s %s: trace %s and parent %q, want %s and %q", want.service, want.name, span.Trace, span.Parent, trace, parent)
		}
		parent = span.ID
	}
	for _, span := range collector.Spans() {
		if span.Trace != trace {
			t.Errorf("a span of another trace: %+v", span)
		}
	}
}

func find(spans []otlptest.Span, service, name string, kind tracepb.Span_SpanKind) (otlptest.Span, bool) {
	for _, s := range spans {
		if s.Resource["service.name"] == service && s.Name == name && s.Kind == kind {
			return s, true
		}
	}
	return otlptest.Span{}, false
}

// serve starts an App and returns its URL.
func serve(t *testing.T, app *registry.App) string {
	t.Helper()
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(app)
	t.Cleanup(s.Close)
	return s.URL
}
