package otlp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/seed-4591fe7d/podinfo/internal/otlp"
	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	yes := otlp.Bool(true)
	for _, c := range []struct {
		vars   string
		change func(*otlp.Settings)
	}{
		{"", func(*otlp.Settings) {}},
		{"OTEL_SERVICE_NAME= OTHER=x", func(*otlp.Settings) {}},
		{"OTEL_SDK_DISABLED=True", func(s *otlp.Settings) { s.Disabled = true }},
		{"OTEL_SERVICE_NAME=a OTEL_RESOURCE_ATTRIBUTES=k=v,%20x=a%2Cb,", func(s *otlp.Settings) {
			s.Service, s.Resource = "a", otlp.Pairs{"k": "v", "%20x": "a,b"}
		}},
		{"OTEL_PROPAGATORS=b3,OT,b3", func(s *otlp.Settings) { s.Propagators = otlp.Propagators{"b3", "ottrace"} }},
		{"OTEL_PROPAGATORS=none", func(s *otlp.Settings) { s.Propagators = nil }},
		{"OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0.25", func(s *otlp.Settings) { s.Sampler, s.SamplerArg = "traceidratio", 0.25 }},
		{"OTEL_TRACES_EXPORTER=none OTEL_LOGS_EXPORTER=console OTEL_METRICS_EXPORTER=otlp", func(s *otlp.Settings) {
			s.TracesTo, s.LogsTo, s.MetricsTo = otlp.ToNone, otlp.ToConsole, otlp.ToOTLP
		}},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=c:1 OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://d:2/x OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_INSECURE=true", func(s *otlp.Settings) {
			s.All.URL, s.Logs.URL, s.All.Protocol, s.All.Insecure = "//c:1", "http://d:2/x", otlp.HTTP, &yes
		}},
		{"OTEL_EXPORTER_OTLP_METRICS_HEADERS=a=b OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=5 OTEL_EXPORTER_OTLP_COMPRESSION=gzip", func(s *otlp.Settings) {
			s.Metrics.Headers, s.Traces.Timeout, s.All.Compression = otlp.Pairs{"a": "b"}, 5, otlp.Gzip
		}},
		{"OTEL_BSP_MAX_QUEUE_SIZE=3 OTEL_BLRP_SCHEDULE_DELAY=7", func(s *otlp.Settings) {
			s.Spans.Queue, s.Spans.Size, s.Records.Delay = 3, 3, 7
		}},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=a OTEL_EXPORTER_OTLP_CLIENT_KEY=b", func(s *otlp.Settings) { s.All.ClientCert, s.All.ClientKey = "a", "b" }},
		{"OTEL_SPAN_EVENT_COUNT_LIMIT=0", func(s *otlp.Settings) { s.SpanEvents = new(otlp.Limit) }},
	} {
		want, err := otlp.Parse(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.change(&want)
		got, err := otlp.Parse(registrytest.Vars(c.vars))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", c.vars, err, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const endpoint = "http://host:port, https://host:port or host:port, with credentials in the HEADERS variable"
	mayBeSecret := regexp.MustCompile("ENDPOINT|HEADERS|RESOURCE_ATTRIBUTES")
	for _, c := range []struct{ key, value, want string }{
		{"OTEL_SDK_DISABLED", "1", "true or false"},
		{"OTEL_TRACES_SAMPLER", "sometimes", "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio"},
		{"OTEL_TRACES_SAMPLER", "jaeger_remote", "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio"},
		{"OTEL_TRACES_SAMPLER_ARG", "1.1", "a number, 0 to 1"},
		{"OTEL_TRACES_SAMPLER_ARG", "NaN", "a number, 0 to 1"},
		{"OTEL_PROPAGATORS", "b3,zipkin", "a comma-separated list of tracecontext, baggage, b3, b3multi, jaeger, ottrace (or ot) and xray, or none"},
		{"OTEL_PROPAGATORS", "none,b3", "none alone, or names of propagators"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "grpc or http/protobuf"},
		{"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "udp", "grpc or http/protobuf"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x", endpoint},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://", endpoint},
		{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://u:s3cret@h", endpoint},
		{"OTEL_EXPORTER_OTLP_METRICS_HEADERS", "s3cret", "key=value,key=value, with commas in values as %2C"},
		{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s", "a number of milliseconds, above zero"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "gzip or none"},
		{"OTEL_TRACES_EXPORTER", "zipkin", "otlp, console or none"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "0", "a whole number, 1 to 1048576"},
		{"OTEL_SPAN_LINK_COUNT_LIMIT", "-1", "a whole number, not negative"},
		{"OTEL_RESOURCE_ATTRIBUTES", "novalue", "key=value,key=value, with commas in values as %2C"},
		{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "new", "cumulative, delta or lowmemory"},
		{"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "a.pem", "a PEM file, together with its key in the CLIENT_KEY variable"},
	} {
		_, err := otlp.Parse(map[string]string{c.key: c.value})
		bad, ok := errors.AsType[*registry.SettingError](err)
		if mayBeSecret.MatchString(c.key) {
			c.value = registry.Redacted
		}
		if want := (registry.SettingError{Key: c.key, Value: c.value, Source: registry.FromEnvironment, Want: c.want}); !ok || *bad != want {
			t.Errorf("%v, want %v", err, &want)
		}
	}
	_, err := otlp.Parse(registrytest.Vars("OTEL_EXPORTER_OTLP_HEADERS=s3cret OTEL_TRACES_SAMPLER=x"))
	if err == nil || strings.Count(err.Error(), "\n") != 1 || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

func TestWanted(t *testing.T) {
	for s, want := range map[string]bool{
		"":                                     false,
		"OTEL_SERVICE_NAME=a":                  false,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c": true,
		"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://c":                   true,
		"OTEL_TRACES_EXPORTER=otlp":                                   true,
		"OTEL_TRACES_EXPORTER=none":                                   false,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_SDK_DISABLED=TRUE": false,
	} {
		if got := otlp.Wanted(registrytest.Vars(s)); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
}

// misleading sets variables in the process's environment that exporters must
// ignore.
func misleading(t *testing.T) {
	dir := t.TempDir()
	registrytest.WriteCert(t, dir, "another")
	for _, signal := range []string{"", "TRACES_", "LOGS_", "METRICS_"} {
		for k, v := range map[string]string{
			"ENDPOINT": "https://127.0.0.1:1", "HEADERS": "process=yes", "INSECURE": "false", "COMPRESSION": "gzip", "TIMEOUT": "1",
			"PROTOCOL": "http/json", "CERTIFICATE": filepath.Join(dir, "tls.crt"),
		} {
			t.Setenv("OTEL_EXPORTER_OTLP_"+signal+k, v)
		}
	}
}

// send exports a span and a metric with the settings in vars.
func send(t *testing.T, vars map[string]string) error {
	t.Helper()
	s, err := otlp.Parse(vars)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	spans, closed, err := s.SpanExporter(ctx)
	if err != nil {
		return err
	}
	defer closed()
	provider := sdk.NewTracerProvider()
	_, span := provider.Tracer("t").Start(ctx, "sent")
	span.End()
	err = spans.ExportSpans(ctx, []sdk.ReadOnlySpan{span.(sdk.ReadOnlySpan)})
	if err := errors.Join(err, spans.Shutdown(ctx)); err != nil {
		return err
	}
	s.MetricsTo = otlp.ToOTLP
	pushes, closed, err := s.MetricExporter(ctx)
	if err != nil {
		return err
	}
	defer closed()
	reader := metric.NewPeriodicReader(pushes)
	meters := metric.NewMeterProvider(metric.WithReader(reader))
	counter, err := meters.Meter("t").Int64Counter("sent")
	if err != nil {
		return err
	}
	counter.Add(ctx, 1)
	return meters.Shutdown(ctx)
}

func TestExport(t *testing.T) {
	misleading(t)
	for _, c := range []struct {
		vars     func(*otlptest.Collector) string
		path     string // of the spans, over HTTP
		header   string
		encoding string
	}{
		{func(c *otlptest.Collector) string { return "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + c.GRPC }, "", "", ""},
		{func(c *otlptest.Collector) string {
			return "OTEL_EXPORTER_OTLP_INSECURE=true OTEL_EXPORTER_OTLP_ENDPOINT=" + c.GRPC
		}, "", "", ""},
		{func(c *otlptest.Collector) string {
			return "OTEL_EXPORTER_OTLP_COMPRESSION=gzip OTEL_EXPORTER_OTLP_HEADERS=x-key=a%20b OTEL_EXPORTER_OTLP_ENDPOINT=http://" + c.GRPC
		}, "", "a b", "gzip"},
		{func(c *otlptest.Collector) string {
			return "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_ENDPOINT=" + c.HTTP
		}, "/v1/traces", "", ""},
		{func(c *otlptest.Collector) string {
			return "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_ENDPOINT=" + c.HTTP + "/base/"
		}, "/base/v1/traces", "", ""},
		{func(c *otlptest.Collector) string {
			return "OTEL_EXPORTER_OTLP_HEADERS=X-Key=all OTEL_EXPORTER_OTLP_TRACES_HEADERS=X-Key=own OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=gzip " +
				"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=grpc OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://" + c.GRPC +
				" OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + c.HTTP + "/my/traces"
		}, "/my/traces", "own", "gzip"},
	} {
		collector := otlptest.Start(t)
		v := c.vars(collector)
		if err := send(t, registrytest.Vars(v)); err != nil {
			t.Errorf("%s: %v", v, err)
			continue
		}
		if s, m := collector.Spans(), collector.Metrics(); len(s) != 1 || s[0].Name != "sent" || len(m) != 1 || m[0].Name != "sent" {
			t.Errorf("%s: %v %v", v, s, m)
		}
		if paths := collector.Paths(); c.path != "" && paths[0] != c.path {
			t.Errorf("%s: %q", v, paths)
		}
		h := collector.Headers()[0]
		first := func(keys ...string) string {
			for _, k := range keys {
				if len(h[k]) > 0 {
					return h[k][0]
				}
			}
			return ""
		}
		if first("x-key") != c.header || first("process") != "" {
			t.Errorf("%s: %v", v, h)
		}
		if c.encoding != "" && !strings.Contains(first("grpc-encoding", "content-encoding", "grpc-accept-encoding"), c.encoding) {
			t.Errorf("%s: %v", v, h)
		}
	}
}

// TestTLS exports to a collector that requires client certificates.
func TestTLS(t *testing.T) {
	misleading(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pool := registrytest.WriteCert(t, dir, "collector")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	collector := otlptest.Start(t, grpc.Creds(credentials.NewTLS(conf)))
	overHTTP := httptest.NewUnstartedServer(collector)
	overHTTP.TLS = conf.Clone()
	overHTTP.StartTLS()
	defer overHTTP.Close()
	for _, to := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://" + collector.GRPC,
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.GRPC, // without a scheme the default is TLS
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_ENDPOINT=" + overHTTP.URL,
	} {
		const briefly = " OTEL_EXPORTER_OTLP_TIMEOUT=500" // gRPC retries until then
		trusted := " OTEL_EXPORTER_OTLP_CERTIFICATE=" + cert
		mine := " OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + cert + " OTEL_EXPORTER_OTLP_CLIENT_KEY=" + key
		if err := send(t, registrytest.Vars(to+trusted+mine)); err != nil {
			t.Errorf("%s: %v", to, err)
		}
		if err := send(t, registrytest.Vars(to+briefly+trusted)); err == nil {
			t.Errorf("%s: sent without the client's certificate", to)
		}
		if err := send(t, registrytest.Vars(to+briefly+mine)); err == nil {
			t.Errorf("%s: sent to a server that is not trusted", to)
		}
	}
	for _, v := range []string{"CERTIFICATE=" + dir + "/none", "CERTIFICATE=" + key, "CLIENT_CERTIFICATE=" + key + " OTEL_EXPORTER_OTLP_CLIENT_KEY=" + key} {
		if err := send(t, registrytest.Vars("OTEL_EXPORTER_OTLP_ENDPOINT=https://x:1 OTEL_EXPORTER_OTLP_"+v)); err == nil {
			t.Errorf("%s: accepted", v)
		}
	}
}

func TestNowhere(t *testing.T) {
	s, err := otlp.Parse(registrytest.Vars("OTEL_TRACES_EXPORTER=none OTEL_LOGS_EXPORTER=none"))
	if err != nil {
		t.Fatal(err)
	}
	if e, _, err := s.SpanExporter(t.Context()); e != nil || err != nil {
		t.Error(e, err)
	}
	if e, _, err := s.LogExporter(t.Context()); e != nil || err != nil {
		t.Error(e, err)
	}
	if e, _, err := s.MetricExporter(t.Context()); e != nil || err != nil {
		t.Error(e, err)
	}
}

func TestConsole(t *testing.T) {
	s, err := otlp.Parse(registrytest.Vars("OTEL_TRACES_EXPORTER=console OTEL_LOGS_EXPORTER=console OTEL_METRICS_EXPORTER=console"))
	if err != nil {
		t.Fatal(err)
	}
	if e, closed, err := s.SpanExporter(t.Context()); e == nil || err != nil {
		t.Error(err)
	} else {
		closed()
	}
	if e, closed, err := s.LogExporter(t.Context()); e == nil || err != nil {
		t.Error(err)
	} else {
		closed()
	}
	if e, closed, err := s.MetricExporter(t.Context()); e == nil || err != nil {
		t.Error(err)
	} else {
		closed()
	}
}

func TestTemporality(t *testing.T) {
	kinds := []metric.InstrumentKind{metric.InstrumentKindCounter, metric.InstrumentKindUpDownCounter, metric.InstrumentKindHistogram, metric.InstrumentKindObservableCounter, metric.InstrumentKindObservableUpDownCounter}
	for name, want := range map[string]string{"cumulative": "CCCCC", "delta": "DCDDC", "lowmemory": "DCDCC"} {
		for _, protocol := range []string{"grpc", "http/protobuf"} {
			s, err := otlp.Parse(map[string]string{
				"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": name, "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
			})
			if err != nil {
				t.Fatal(err)
			}
			e, closed, err := s.MetricExporter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, k := range kinds {
				got += map[metricdata.Temporality]string{metricdata.CumulativeTemporality: "C", metricdata.DeltaTemporality: "D"}[e.Temporality(k)]
			}
			if got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
			closed()
		}
	}
}
