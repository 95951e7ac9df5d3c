package otlp

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutlog"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
)

// retry configures the retries of an export after a temporary failure.
var retry = struct {
	Enabled                                      bool
	InitialInterval, MaxInterval, MaxElapsedTime time.Duration
}{true, time.Second, 5 * time.Second, time.Minute}

// SpanExporter returns the exporter of spans and a function that closes its
// connections, to be called after the exporter's Shutdown. Both are nil when
// spans are not exported. It does not wait for the collector, which may start
// later.
func (s *Settings) SpanExporter(ctx context.Context) (trace.SpanExporter, func(), error) {
	all, closed, err := exporters(s, s.TracesTo, s.Traces, "v1/traces", func(t *target) (trace.SpanExporter, error) {
		switch {
		case t.grpc != nil:
			return otlptracegrpc.New(ctx, otlptracegrpc.WithGRPCConn(t.grpc), otlptracegrpc.WithHeaders(t.headers), otlptracegrpc.WithTimeout(t.timeout), otlptracegrpc.WithRetry(retry))
		case t.http != nil:
			return otlptracehttp.New(ctx, otlptracehttp.WithHTTPClient(t.http), otlptracehttp.WithEndpointURL(t.url), otlptracehttp.WithTLSClientConfig(nil),
				otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf), otlptracehttp.WithHeaders(t.headers), otlptracehttp.WithCompression(otlptracehttp.Compression(t.gzip)),
				otlptracehttp.WithRetry(retry))
		}
		return stdouttrace.New(stdouttrace.WithWriter(os.Stdout))
	})
	if len(all) == 0 {
		return nil, nil, err
	}
	return spanExporters{fan[trace.SpanExporter](all)}, closed, nil
}

// LogExporter is SpanExporter for log records.
func (s *Settings) LogExporter(ctx context.Context) (log.Exporter, func(), error) {
	all, closed, err := exporters(s, s.LogsTo, s.Logs, "v1/logs", func(t *target) (log.Exporter, error) {
		switch {
		case t.grpc != nil:
			return otlploggrpc.New(ctx, otlploggrpc.WithGRPCConn(t.grpc), otlploggrpc.WithHeaders(t.headers), otlploggrpc.WithTimeout(t.timeout), otlploggrpc.WithRetry(retry))
		case t.http != nil:
			return otlploghttp.New(ctx, otlploghttp.WithHTTPClient(t.http), otlploghttp.WithEndpointURL(t.url), otlploghttp.WithTLSClientConfig(nil),
				otlploghttp.WithHeaders(t.headers), otlploghttp.WithCompression(otlploghttp.Compression(t.gzip)), otlploghttp.WithRetry(retry))
		}
		return stdoutlog.New(stdoutlog.WithWriter(os.Stdout))
	})
	if len(all) == 0 {
		return nil, nil, err
	}
	return logExporters{fan[log.Exporter](all)}, closed, nil
}

// MetricExporter is SpanExporter for metrics.
func (s *Settings) MetricExporter(ctx context.Context) (metric.Exporter, func(), error) {
	all, closed, err := exporters(s, s.MetricsTo, s.Metrics, "v1/metrics", func(t *target) (metric.Exporter, error) {
		switch {
		case t.grpc != nil:
			return otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithGRPCConn(t.grpc), otlpmetricgrpc.WithHeaders(t.headers), otlpmetricgrpc.WithTimeout(t.timeout),
				otlpmetricgrpc.WithRetry(retry), otlpmetricgrpc.WithTemporalitySelector(s.temporality), otlpmetricgrpc.WithAggregationSelector(s.aggregation))
		case t.http != nil:
			return otlpmetrichttp.New(ctx, otlpmetrichttp.WithHTTPClient(t.http), otlpmetrichttp.WithEndpointURL(t.url), otlpmetrichttp.WithTLSClientConfig(nil),
				otlpmetrichttp.WithHeaders(t.headers), otlpmetrichttp.WithCompression(otlpmetrichttp.Compression(t.gzip)),
				otlpmetrichttp.WithRetry(retry), otlpmetrichttp.WithTemporalitySelector(s.temporality), otlpmetrichttp.WithAggregationSelector(s.aggregation))
		}
		return stdoutmetric.New(stdoutmetric.WithWriter(os.Stdout), stdoutmetric.WithTemporalitySelector(s.temporality), stdoutmetric.WithAggregationSelector(s.aggregation))
	})
	if len(all) == 0 {
		return nil, nil, err
	}
	return metricExporters{fan[metric.Exporter](all)}, closed, nil
}

// exporters returns the exporter of each destination and a function that closes
// their connections.
func exporters[E any, D ~[]Destination](s *Settings, to D, own Endpoint, path string, create func(*target) (E, error)) (all []E, closed func(), err error) {
	var targets []*target
	closed = func() {
		for _, t := range targets {
			t.close()
		}
	}
	for _, d := range to {
		t := &target{}
		switch d {
		case ToPrometheus:
			continue
		case ToOTLP:
			if t, err = s.collector(own, path); err != nil {
				closed()
				return nil, nil, err
			}
		}
		targets = append(targets, t)
		e, err := create(t)
		if err != nil {
			closed()
			return nil, nil, err
		}
		all = append(all, e)
	}
	return all, closed, nil
}

// fan is the exporters of a signal, which all export the same.
type fan[E interface{ Shutdown(context.Context) error }] []E

func (f fan[E]) each(do func(E) error) error {
	var errs []error
	for _, e := range f {
		errs = append(errs, do(e))
	}
	return errors.Join(errs...)
}

func (f fan[E]) Shutdown(ctx context.Context) error {
	return f.each(func(e E) error { return e.Shutdown(ctx) })
}

type (
	spanExporters   struct{ fan[trace.SpanExporter] }
	logExporters    struct{ fan[log.Exporter] }
	metricExporters struct{ fan[metric.Exporter] }
)

func (f spanExporters) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	return f.each(func(e trace.SpanExporter) error { return e.ExportSpans(ctx, spans) })
}

func (f logExporters) Export(ctx context.Context, records []log.Record) error {
	return f.each(func(e log.Exporter) error { return e.Export(ctx, records) })
}

func (f logExporters) ForceFlush(ctx context.Context) error {
	return f.each(func(e log.Exporter) error { return e.ForceFlush(ctx) })
}

func (f metricExporters) Export(ctx context.Context, data *metricdata.ResourceMetrics) error {
	return f.each(func(e metric.Exporter) error { return e.Export(ctx, data) })
}

func (f metricExporters) ForceFlush(ctx context.Context) error {
	return f.each(func(e metric.Exporter) error { return e.ForceFlush(ctx) })
}

// All exporters of metrics have the same temporality and aggregation.

func (f metricExporters) Temporality(k metric.InstrumentKind) metricdata.Temporality {
	return f.fan[0].Temporality(k)
}

func (f metricExporters) Aggregation(k metric.InstrumentKind) metric.Aggregation {
	return f.fan[0].Aggregation(k)
}

// aggregation is the SDK's default, apart from histograms.
func (s *Settings) aggregation(kind metric.InstrumentKind) metric.Aggregation {
	if kind == metric.InstrumentKindHistogram && s.Histograms == Exponential {
		return metric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20} // the specification's defaults
	}
	return metric.DefaultAggregationSelector(kind)
}

// temporality implements the specification's table for the metrics exporter
// (https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/).
func (s *Settings) temporality(kind metric.InstrumentKind) metricdata.Temporality {
	switch kind {
	case metric.InstrumentKindCounter, metric.InstrumentKindHistogram:
		if s.Temporality != "cumulative" {
			return metricdata.DeltaTemporality
		}
	case metric.InstrumentKindObservableCounter:
		if s.Temporality == Delta {
			return metricdata.DeltaTemporality
		}
	}
	return metricdata.CumulativeTemporality
}

// target is a connection to a collector. It is the console when both grpc and
// http are nil.
type target struct {
	grpc    *grpc.ClientConn
	http    *http.Client
	url     string // for http
	headers map[string]string
	timeout time.Duration
	gzip    int // the HTTP exporters' Compression: 1 is gzip
}

func (t *target) close() {
	if t.grpc != nil {
		t.grpc.Close()
	}
	if t.http != nil {
		t.http.CloseIdleConnections()
	}
}

// collector returns the connection to the collector of a signal. The variables
// for all signals apply where the signal's own are not set.
func (s *Settings) collector(own Endpoint, path string) (*target, error) {
	e := s.merge(own)
	u, secure, err := e.url(own.URL == "", path)
	if err != nil {
		return nil, err
	}
	t := &target{headers: e.Headers, timeout: e.Timeout.Duration(), url: u.String()}
	if t.headers == nil {
		t.headers = map[string]string{} // nil would make the exporter read the process's environment
	}
	if e.Compression == Gzip {
		t.gzip = 1
	}
	var conf *tls.Config
	if secure {
		if conf, err = e.tls(); err != nil {
			return nil, err
		}
	}
	if e.Protocol == GRPC {
		t.grpc, err = dial(u.Host, conf, t.gzip == 1)
		return t, err
	}
	t.http = &http.Client{Timeout: t.timeout, Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: t.timeout}).DialContext,
		ForceAttemptHTTP2:   true,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: t.timeout,
		IdleConnTimeout:     90 * time.Second,
	}}
	return t, nil
}

// merge returns own with the settings for all signals where it has none.
func (s *Settings) merge(own Endpoint) Endpoint {
	e := Endpoint{
		URL:         cmp.Or(own.URL, s.All.URL),
		Protocol:    cmp.Or(own.Protocol, s.All.Protocol),
		Headers:     own.Headers,
		Timeout:     cmp.Or(own.Timeout, s.All.Timeout),
		Compression: cmp.Or(own.Compression, s.All.Compression),
		Insecure:    cmp.Or(own.Insecure, s.All.Insecure),
		Certificate: cmp.Or(own.Certificate, s.All.Certificate),
		ClientCert:  cmp.Or(own.ClientCert, s.All.ClientCert),
		ClientKey:   cmp.Or(own.ClientKey, s.All.ClientKey),
	}
	if e.Headers == nil {
		e.Headers = s.All.Headers
	}
	return e
}

// url returns the address to export to and whether to use TLS: the scheme
// decides, and without a scheme Insecure does. It appends path when the address
// is shared by all signals.
func (e *Endpoint) url(shared bool, path string) (*url.URL, bool, error) {
	fallback := Address("//localhost:4317")
	if e.Protocol == HTTP {
		fallback = "//localhost:4318"
	}
	u, err := url.Parse(string(cmp.Or(e.URL, fallback)))
	if err != nil {
		return nil, false, err
	}
	if u.Scheme == "" {
		u.Scheme = "https"
		if e.Insecure != nil && bool(*e.Insecure) {
			u.Scheme = "http"
		}
	}
	if shared {
		u.Path = strings.TrimSuffix(u.Path, "/") + "/" + path
	}
	return u, u.Scheme == "https", nil
}

// tls returns the TLS configuration with the certificates of e.
func (e *Endpoint) tls() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.Certificate != "" {
		pem, err := os.ReadFile(e.Certificate)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s contains no PEM certificate", e.Certificate)
		}
	}
	if e.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(e.ClientCert, e.ClientKey)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// maxBackoff is the longest time between two attempts to connect.
const maxBackoff = 10 * time.Second

// dial returns a connection that is opened on first use.
func dial(host string, conf *tls.Config, compress bool) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if conf != nil {
		creds = credentials.NewTLS(conf)
	}
	delays := backoff.DefaultConfig
	delays.MaxDelay = maxBackoff
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: delays, MinConnectTimeout: maxBackoff}),
	}
	if compress {
		opts = append(opts, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	return grpc.NewClient(host, opts...)
}
