package tracing_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
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

// variant is a handler to compare. It exports what it has to when it is closed.
type variant struct {
	name string
	open func(b *testing.B) (h http.Handler, close func())
}

// variants returns the handlers to compare: this module, and otelhttp around the
// App.
func variants() []variant {
	start := func(b *testing.B, environ []string, mods ...registry.Module) (http.Handler, func()) {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		logger := logrus.New()
		logger.SetFormatter(jsonlog.Formatter{})
		logger.SetOutput(jsonlog.NewWriter(null))
		a, err := registry.New(append(mods, page{}), registry.Environ(environ), registry.Logger(logger))
		if err != nil {
			b.Fatal(err)
		}
		if err := a.Start(context.Background()); err != nil {
			b.Fatal(err)
		}
		return a, func() { a.Stop(context.Background()); null.Close() }
	}
	plain := func(mods ...func() registry.Module) func(*testing.B) (http.Handler, func()) {
		return func(b *testing.B) (http.Handler, func()) { return start(b, nil, made(mods)...) }
	}
	ours := func(sampler, logs string, mods ...func() registry.Module) func(*testing.B) (http.Handler, func()) {
		return func(b *testing.B) (http.Handler, func()) {
			return start(b, []string{
				"OTEL_EXPORTER_OTLP_ENDPOINT=" + sink(b), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_TRACES_SAMPLER=" + sampler, "OTEL_TRACES_SAMPLER_ARG=0", "OTEL_LOGS_EXPORTER=" + logs,
			}, append([]registry.Module{&tracing.Module{ServiceName: "b"}}, made(mods)...)...)
		}
	}
	theirs := func(sampler sdk.Sampler) func(*testing.B) (http.Handler, func()) {
		return func(b *testing.B) (http.Handler, func()) {
			e, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(sink(b)+"/v1/traces"), otlptracehttp.WithHTTPClient(&http.Client{}))
			if err != nil {
				b.Fatal(err)
			}
			p := sdk.NewTracerProvider(sdk.WithBatcher(e), sdk.WithSampler(sampler))
			app, stop := start(b, nil)
			return otelhttp.NewHandler(app, "b", otelhttp.WithTracerProvider(p), otelhttp.WithMeterProvider(noopmetric.NewMeterProvider()),
				otelhttp.WithPropagators(propagation.TraceContext{})), func() { p.Shutdown(context.Background()); stop() }
		}
	}
	log := func() registry.Module { return &accesslog.Module{Level: logrus.InfoLevel} }
	return []variant{
		{"off", plain()},
		{"off+log", plain(log)},
		{"unsampled", ours("traceidratio", "none")},
		{"sampled", ours("always_on", "none")},
		{"sampled+log", ours("always_on", "otlp", log)},
		{"otelhttp-unsampled", theirs(sdk.NeverSample())},
		{"otelhttp-sampled", theirs(sdk.AlwaysSample())},
	}
}

// made calls constructors: an instance of a module belongs to one App.
func made(mods []func() registry.Module) (out []registry.Module) {
	for _, m := range mods {
		out = append(out, m())
	}
	return out
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
	for _, v := range variants() {
		for _, parent := range []string{"", "parent"} {
			b.Run(v.name+parent, func(b *testing.B) {
				h, stop := v.open(b)
				r := httptest.NewRequest("GET", "/page/1", nil)
				r.Header = http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip"}}
				if parent != "" {
					r.Header["Traceparent"] = incoming["tracecontext"][1:]
				}
				w := &discard{http.Header{}}
				b.ReportAllocs()
				began := cpu()
				for b.Loop() {
					h.ServeHTTP(w, r)
				}
				stop()
				b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkLoopback sends requests over keep-alive connections, with a client
// that costs as little as possible. It sends them at a pace at which every span is
// exported: a server that drops spans looks cheap.
func BenchmarkLoopback(b *testing.B) {
	for _, v := range variants() {
		b.Run(v.name, func(b *testing.B) {
			h, stop := v.open(b)
			srv := httptest.NewServer(h)
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
				for sent := 1; pb.Next(); sent++ {
					if sent%16 == 0 {
						time.Sleep(100 * time.Millisecond) // 16 requests of each of 32 connections
					}
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
			stop()
			b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
		})
	}
}
