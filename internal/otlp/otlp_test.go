package otlp_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
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
		{"OTEL_TRACES_EXPORTER=none OTEL_LOGS_EXPORTER=Console OTEL_METRICS_EXPORTER=otlp,console,prometheus,otlp", func(s *otlp.Settings) {
			s.TracesTo, s.LogsTo, s.MetricsTo = nil, otlp.Destinations{otlp.ToConsole}, otlp.MetricDestinations{otlp.ToOTLP, otlp.ToConsole, otlp.ToPrometheus}
		}},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=c:1 OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://d:2/x OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_INSECURE=true", func(s *otlp.Settings) {
			s.All.URL, s.Logs.URL, s.All.Protocol, s.All.Insecure = "//c:1", "http://d:2/x", otlp.HTTP, &yes
		}},
		{"OTEL_EXPORTER_OTLP_METRICS_HEADERS=a=b OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=5 OTEL_EXPORTER_OTLP_COMPRESSION=gzip", func(s *otlp.Settings) {
			s.Metrics.Headers, s.Traces.Timeout, s.All.Compression = otlp.Pairs{"a": "b"}, 5, otlp.Gzip
		}},
		{"OTEL_BSP_EXPORT_TIMEOUT=0 OTEL_METRICS_EXEMPLAR_FILTER=always_off", func(s *otlp.Settings) { s.Spans.Timeout, s.Exemplars = math.MaxInt32, "always_off" }},
		{"OTEL_BSP_MAX_QUEUE_SIZE=3 OTEL_BLRP_SCHEDULE_DELAY=7", func(s *otlp.Settings) {
			s.Spans.Queue, s.Spans.Size, s.Records.Delay = 3, 3, 7
		}},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=a OTEL_EXPORTER_OTLP_CLIENT_KEY=b", func(s *otlp.Settings) { s.All.ClientCert, s.All.ClientKey = "a", "b" }},
		{"OTEL_SPAN_EVENT_COUNT_LIMIT=0", func(s *otlp.Settings) { s.SpanEvents = new(otlp.Limit) }},
	} {
		want, _ := otlp.Parse(nil)
		c.change(&want)
		got, warnings := otlp.Parse(registrytest.Vars(c.vars))
		if diff := gocmp.Diff(want, got); diff != "" || warnings != nil {
			t.Errorf("%s: %v %s", c.vars, warnings, diff)
		}
	}
}

// TestParseWarns checks that a value that is not accepted is a warning and
// changes nothing else than c.change.
func TestParseWarns(t *testing.T) {
	const endpoint = "http://host:port, https://host:port or host:port, with credentials in the HEADERS variable"
	const samplers = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio"
	const propagators = "none, or a list of tracecontext, baggage, b3, b3multi, jaeger, ottrace (or ot) or xray"
	mayBeSecret := regexp.MustCompile("ENDPOINT|HEADERS|RESOURCE_ATTRIBUTES")
	for _, c := range []struct {
		key, value, want string
		instead          string
		change           func(*otlp.Settings)
	}{
		{key: "OTEL_SDK_DISABLED", value: "1", want: "true or false", instead: "taken as false"},
		{key: "OTEL_EXPORTER_OTLP_INSECURE", value: "yes", want: "true or false", instead: "taken as false", change: func(s *otlp.Settings) { s.All.Insecure = new(otlp.Bool) }},
		{key: "OTEL_TRACES_SAMPLER", value: "sometimes", want: samplers},
		{key: "OTEL_TRACES_SAMPLER", value: "jaeger_remote", want: samplers},
		{key: "OTEL_TRACES_SAMPLER_ARG", value: "1.1", want: "a number, 0 to 1"},
		{key: "OTEL_TRACES_SAMPLER_ARG", value: "NaN", want: "a number, 0 to 1"},
		{key: "OTEL_PROPAGATORS", value: "zipkin", want: propagators},
		{key: "OTEL_PROPAGATORS", value: "b3,zipkin", want: propagators, instead: "the others are used", change: func(s *otlp.Settings) { s.Propagators = otlp.Propagators{"b3"} }},
		{key: "OTEL_PROPAGATORS", value: "none,b3", want: propagators, instead: "the others are used", change: func(s *otlp.Settings) { s.Propagators = otlp.Propagators{"b3"} }},
		{key: "OTEL_EXPORTER_OTLP_PROTOCOL", value: "http/json", want: "grpc or http/protobuf"},
		{key: "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", value: "udp", want: "grpc or http/protobuf"},
		{key: "OTEL_EXPORTER_OTLP_ENDPOINT", value: "ftp://x", want: endpoint},
		{key: "OTEL_EXPORTER_OTLP_ENDPOINT", value: "http://", want: endpoint},
		{key: "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", value: "https://u:s3cret@h", want: endpoint},
		{key: "OTEL_EXPORTER_OTLP_METRICS_HEADERS", value: "s3cret", want: "name=value,name=value, with commas in values as %2C"},
		{key: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", value: "10s", want: "a number of milliseconds, or 0 for no limit"},
		{key: "OTEL_BSP_SCHEDULE_DELAY", value: "0", want: "a number of milliseconds, above zero"},
		{key: "OTEL_EXPORTER_OTLP_COMPRESSION", value: "zstd", want: "gzip or none"},
		{key: "OTEL_TRACES_EXPORTER", value: "zipkin", want: "none, or a list of otlp or console"},
		{key: "OTEL_LOGS_EXPORTER", value: "prometheus", want: "none, or a list of otlp or console"},
		{key: "OTEL_METRICS_EXPORTER", value: "logging, otlp", want: "none, or a list of otlp, console or prometheus", instead: "the others are used", change: func(s *otlp.Settings) {
			s.MetricsTo = otlp.MetricDestinations{otlp.ToOTLP}
		}},
		{key: "OTEL_BSP_MAX_QUEUE_SIZE", value: "0", want: "a whole number, 1 to 1048576"},
		{key: "OTEL_SPAN_LINK_COUNT_LIMIT", value: "-1", want: "a whole number, not negative"},
		{key: "OTEL_RESOURCE_ATTRIBUTES", value: "a=b,novalue", want: "name=value,name=value, with commas in values as %2C"},
		{key: "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", value: "new", want: "cumulative, delta or lowmemory"},
	} {
		settings, warnings := otlp.Parse(map[string]string{c.key: c.value})
		shown := c.value
		if mayBeSecret.MatchString(c.key) {
			shown = registry.Redacted
		}
		if got := otlp.Unaccepted(map[string]string{c.key: c.value, "OTEL_LOG_LEVEL": "info"}); !slices.Equal(got, []string{c.key}) {
			t.Errorf("%s=%s: unaccepted %v", c.key, c.value, got)
		}
		problem := "want " + c.want + "; " + cmp.Or(c.instead, "ignored")
		want := registry.SettingError{Key: c.key, Value: shown, Source: registry.FromEnvironment, Problem: problem}
		if len(warnings) != 1 || *warnings[0] != want {
			t.Errorf("%v, want %v", warnings, &want)
		}
		left, _ := otlp.Parse(nil)
		if c.change != nil {
			c.change(&left)
		}
		if diff := gocmp.Diff(left, settings); diff != "" {
			t.Errorf("%s=%s: %s", c.key, c.value, diff)
		}
	}
	for vars, want := range map[string]string{
		"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE=a.pem":         "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE=\"a.pem\": ignored: set CLIENT_CERTIFICATE and CLIENT_KEY together",
		"OTEL_EXPORTER_OTLP_CLIENT_KEY=k.pem":                        "OTEL_EXPORTER_OTLP_CLIENT_KEY=\"k.pem\": ignored: set CLIENT_CERTIFICATE and CLIENT_KEY together",
		"OTEL_BSP_MAX_QUEUE_SIZE=5 OTEL_BSP_MAX_EXPORT_BATCH_SIZE=6": "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=\"6\": above OTEL_BSP_MAX_QUEUE_SIZE, which replaces it",
	} {
		s, warnings := otlp.Parse(registrytest.Vars(vars))
		if len(warnings) != 1 || warnings[0].Error() != want || s.All.ClientKey+s.Traces.ClientCert != "" || s.Spans.Size > s.Spans.Queue {
			t.Errorf("%s: %v", vars, warnings)
		}
	}
}

// specified are the variables of the specification's page of environment
// variables, of its page about the OTLP exporter and of its page about the
// metrics exporter, at version 1.60.
var specified = strings.Fields(`
	OTEL_SDK_DISABLED OTEL_ENTITIES OTEL_RESOURCE_ATTRIBUTES OTEL_SERVICE_NAME OTEL_LOG_LEVEL OTEL_PROPAGATORS OTEL_TRACES_SAMPLER OTEL_TRACES_SAMPLER_ARG
	OTEL_BSP_SCHEDULE_DELAY OTEL_BSP_EXPORT_TIMEOUT OTEL_BSP_MAX_QUEUE_SIZE OTEL_BSP_MAX_EXPORT_BATCH_SIZE
	OTEL_BLRP_SCHEDULE_DELAY OTEL_BLRP_EXPORT_TIMEOUT OTEL_BLRP_MAX_QUEUE_SIZE OTEL_BLRP_MAX_EXPORT_BATCH_SIZE
	OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT
	OTEL_SPAN_EVENT_COUNT_LIMIT OTEL_SPAN_LINK_COUNT_LIMIT OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT OTEL_LINK_ATTRIBUTE_COUNT_LIMIT
	OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT
	OTEL_EXPORTER_ZIPKIN_ENDPOINT OTEL_EXPORTER_ZIPKIN_TIMEOUT OTEL_EXPORTER_ZIPKIN_PROTOCOL OTEL_EXPORTER_PROMETHEUS_HOST OTEL_EXPORTER_PROMETHEUS_PORT
	OTEL_TRACES_EXPORTER OTEL_METRICS_EXPORTER OTEL_LOGS_EXPORTER OTEL_METRICS_EXEMPLAR_FILTER OTEL_METRIC_EXPORT_INTERVAL OTEL_METRIC_EXPORT_TIMEOUT
	OTEL_EXPERIMENTAL_CONFIG_FILE OTEL_CONFIG_FILE
	OTEL_EXPORTER_OTLP_SPAN_INSECURE OTEL_EXPORTER_OTLP_METRIC_INSECURE
	OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION`)

// TestTable checks that the table has every variable of the specification and
// that each row tells the truth: a value that it accepts changes the settings
// without a warning, a value that it does not accept is one warning, and an
// ignored variable is one warning with any value.
func TestTable(t *testing.T) {
	want := slices.Clone(specified)
	for _, signal := range []string{"", "TRACES_", "LOGS_", "METRICS_"} {
		for _, name := range strings.Fields("ENDPOINT PROTOCOL HEADERS TIMEOUT COMPRESSION INSECURE CERTIFICATE CLIENT_CERTIFICATE CLIENT_KEY") {
			want = append(want, "OTEL_EXPORTER_OTLP_"+signal+name)
		}
	}
	good := map[string]string{ // by what a row accepts
		"":                                     "text",
		"true or false":                        "true",
		"a number of milliseconds, above zero": "1234",
		"a number of milliseconds, or 0 for no limit":         "1234",
		"a whole number, 1 to 1048576":                        "7",
		"a whole number, not negative":                        "7",
		"a number, 0 to 1":                                    "0.5",
		"name=value,name=value, with commas in values as %2C": "k=v",
		"http://host:port, https://host:port or host:port, with credentials in the HEADERS variable": "http://h:1",
		"grpc or http/protobuf":                                           "HTTP/protobuf",
		"gzip or none":                                                    "gzip",
		"none, or a list of otlp or console":                              "console",
		"none, or a list of otlp, console or prometheus":                  "otlp",
		"always_on, always_off or trace_based":                            "always_on",
		"cumulative, delta or lowmemory":                                  "delta",
		"explicit_bucket_histogram or base2_exponential_bucket_histogram": "base2_exponential_bucket_histogram",
		"none, or a list of tracecontext, baggage, b3, b3multi, jaeger, ottrace (or ot) or xray":                         "b3",
		"always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio": "always_off",
	}
	defaults, _ := otlp.Parse(nil)
	var have []string
	for _, v := range otlp.Table() {
		have = append(have, v.Name)
		value, known := good[v.Accepts]
		if !known || v.Doc == "" {
			t.Errorf("%+v: no value to try", v)
		}
		vars := map[string]string{v.Name: value}
		if key, ok := strings.CutSuffix(v.Name, "CLIENT_CERTIFICATE"); ok {
			vars[key+"CLIENT_KEY"] = "text"
		} else if key, ok := strings.CutSuffix(v.Name, "CLIENT_KEY"); ok {
			vars[key+"CLIENT_CERTIFICATE"] = "text"
		}
		s, warnings := otlp.Parse(vars)
		if changed := !gocmp.Equal(defaults, s); changed == v.Ignored || len(warnings) > 0 != v.Ignored {
			t.Errorf("%v: changed %v, warnings %v", vars, changed, warnings)
		}
		for _, bad := range []string{"?", " "} {
			s, warnings := otlp.Parse(map[string]string{v.Name: bad})
			wantWarnings := 0
			if bad == "?" && (v.Accepts != "" || v.Ignored) {
				wantWarnings = 1
			}
			if strings.Contains(v.Name, "CLIENT_") && bad == "?" {
				wantWarnings = 1 // half a pair
			}
			if len(warnings) != wantWarnings {
				t.Errorf("%s=%q: %v", v.Name, bad, warnings)
			}
			if v.Accepts != "" && v.Accepts != "true or false" && !gocmp.Equal(defaults, s) {
				t.Errorf("%s=%q: %s", v.Name, bad, gocmp.Diff(defaults, s))
			}
		}
		if v.Default != "" && v.Accepts != "" && !strings.Contains(v.Default, ", or ") {
			if s, warnings := otlp.Parse(map[string]string{v.Name: v.Default}); warnings != nil || v.Name != "OTEL_METRICS_EXPORTER" && strings.HasSuffix(v.Name, "_EXPORTER") && !gocmp.Equal(defaults, s) {
				t.Errorf("default %s=%s: %v", v.Name, v.Default, warnings)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := gocmp.Diff(want, have); diff != "" {
		t.Error(diff)
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
		"OTEL_METRICS_EXPORTER=prometheus":                            false,
		"OTEL_METRICS_EXPORTER=prometheus,otlp":                       true,
		"OTEL_TRACES_EXPORTER=zipkin":                                 false,
		"OTEL_LOGS_EXPORTER=Console":                                  true,
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
	s, _ := otlp.Parse(vars)
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
	s.MetricsTo = otlp.MetricDestinations{otlp.ToOTLP}
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
	s, _ := otlp.Parse(registrytest.Vars("OTEL_TRACES_EXPORTER=none OTEL_LOGS_EXPORTER=none OTEL_METRICS_EXPORTER=prometheus"))
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
	s, _ := otlp.Parse(registrytest.Vars("OTEL_TRACES_EXPORTER=console OTEL_LOGS_EXPORTER=console OTEL_METRICS_EXPORTER=console"))
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
			s, _ := otlp.Parse(map[string]string{
				"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": name, "OTEL_METRICS_EXPORTER": "otlp,console", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
			})
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
