package tracing_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// page replies with 300 bytes of JSON.
type page struct{}

var body = []byte(`{"text":"` + strings.Repeat("x", 289) + `"}`)

func (page) Info() registry.Info { return registry.Info{Name: "page"} }
func (page) Routes() []registry.Route {
	return []registry.Route{{Path: "/page/{n}", Handler: func(w http.ResponseWriter, _ *http.Request) { reply.Encoded(w, 200, body) }}}
}

// sink returns the URL of a server that discards telemetry, so that the figures
// show the cost of sending alone.
func sink(b *testing.B) string {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	b.Cleanup(s.Close)
	return s.URL
}

// servers returns the handlers to compare: this module, and otelhttp around the
// App.
func servers(b *testing.B) []struct {
	name string
	http.Handler
} {
	b.Helper()
	start := func(environ []string, mods ...registry.Module) http.Handler {
		a, err := registry.New(append(mods, page{}), registry.Environ(environ))
		if err != nil {
			b.Fatal(err)
		}
		if err := a.Start(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { a.Stop(context.Background()) })
		return a
	}
	ours := func(sampler string) http.Handler {
		return start([]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT=" + sink(b), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_TRACES_SAMPLER=" + sampler, "OTEL_LOGS_EXPORTER=none",
		}, &tracing.Module{ServiceName: "b"})
	}
	theirs := func(sampler sdk.Sampler) http.Handler {
		e, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(sink(b)+"/v1/traces"), otlptracehttp.WithHTTPClient(&http.Client{}))
		if err != nil {
			b.Fatal(err)
		}
		p := sdk.NewTracerProvider(sdk.WithBatcher(e), sdk.WithSampler(sampler))
		b.Cleanup(func() { p.Shutdown(context.Background()) })
		return otelhttp.NewHandler(start(nil), "b", otelhttp.WithTracerProvider(p), otelhttp.WithMeterProvider(noopmetric.NewMeterProvider()),
			otelhttp.WithPropagators(propagation.TraceContext{}))
	}
	return []struct {
		name string
		http.Handler
	}{
		{"off", start(nil)},
		{"unsampled", ours("always_off")},
		{"sampled", ours("always_on")},
		{"otelhttp-unsampled", theirs(sdk.NeverSample())},
		{"otelhttp-sampled", theirs(sdk.AlwaysSample())},
	}
}

// cpu returns the CPU time that the process has used. Unlike elapsed time it can
// be compared on a machine that does other work.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// discard is a response writer that discards the response.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

func BenchmarkServeHTTP(b *testing.B) {
	for _, s := range servers(b) {
		for _, parent := range []string{"", "parent"} {
			b.Run(s.name+parent, func(b *testing.B) {
				r := httptest.NewRequest("GET", "/page/1", nil)
				r.Header = http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip"}}
				if parent != "" {
					r.Header["Traceparent"] = incoming["tracecontext"][1:]
				}
				w := &discard{http.Header{}}
				b.ReportAllocs()
				began := cpu()
				for b.Loop() {
					s.ServeHTTP(w, r)
				}
				b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkLoopback sends requests over keep-alive connections, with a client
// that costs as little as possible.
func BenchmarkLoopback(b *testing.B) {
	for _, s := range servers(b) {
		b.Run(s.name, func(b *testing.B) {
			srv := httptest.NewServer(s)
			defer srv.Close()
			b.SetParallelism(16)
			began := cpu()
			b.RunParallel(func(pb *testing.PB) {
				c, err := net.Dial("tcp", srv.Listener.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer c.Close()
				in := bufio.NewReader(c)
				for pb.Next() {
					fmt.Fprint(c, "GET /page/1 HTTP/1.1\r\nHost: x\r\nUser-Agent: bench\r\n\r\n")
					for line := []byte("-"); len(line) > 2; {
						if line, err = in.ReadSlice('\n'); err != nil {
							b.Error(err)
							return
						}
					}
					in.Discard(len(body))
				}
			})
			b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}
