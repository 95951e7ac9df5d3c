// Package otlptest is an OTLP collector for tests. It receives OTLP over gRPC
// and HTTP on loopback.
//
// It implements the gRPC services that OTLP defines. The OpenTelemetry
// Collector is not used because building it takes minutes of CPU time.
package otlptest

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // accept compressed exports
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// Attributes are the attributes of a resource, a span or a record. The values
// are string, int64, float64 or bool.
type Attributes map[string]any

// Span is a received span. IDs are hexadecimal.
type Span struct {
	Resource, Attributes    Attributes
	Name, Trace, ID, Parent string
	Kind                    tracepb.Span_SpanKind
	Status                  tracepb.Status_StatusCode
	Description             string
	Events                  []Event
}

// Event is an event of a span.
type Event struct {
	Name       string
	Attributes Attributes
}

// Record is a received log record.
type Record struct {
	Resource, Attributes Attributes
	Body, SeverityText   string
	Severity             int
	TimeUnixNano         uint64
	Trace, Span          string
}

// Metric is a received metric.
type Metric struct {
	Resource Attributes
	*metricpb.Metric
}

// Collector is an OTLP receiver that keeps what it receives.
type Collector struct {
	GRPC string // host:port
	HTTP string // http://host:port

	// Refuse, when set, is called for each export. An error refuses the export.
	// Refuse may block until ctx is done.
	Refuse func(ctx context.Context) error
	// Rejected is the number of items that each response reports as rejected
	// (a partial success).
	Rejected int64

	mu      sync.Mutex
	spans   []Span
	records []Record
	metrics []Metric
	headers []map[string][]string
	paths   []string
}

// Start starts a collector and stops it when the test ends. opts configure its
// gRPC server.
func Start(t testing.TB, opts ...grpc.ServerOption) *Collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{}
	c.ServeGRPC(t, l, opts...)
	h := httptest.NewServer(c)
	t.Cleanup(h.Close)
	c.HTTP = h.URL
	return c
}

// ServeGRPC serves on l until the test ends or stop is called.
func (c *Collector) ServeGRPC(t testing.TB, l net.Listener, opts ...grpc.ServerOption) (stop func()) {
	s := grpc.NewServer(opts...)
	traces.RegisterTraceServiceServer(s, traceService{c: c})
	logs.RegisterLogsServiceServer(s, logService{c: c})
	metrics.RegisterMetricsServiceServer(s, metricService{c: c})
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(l) })
	stop = sync.OnceFunc(func() { s.Stop(); serving.Wait() })
	t.Cleanup(stop)
	c.GRPC = l.Addr().String()
	return stop
}

// Spans returns the received spans in order of arrival.
func (c *Collector) Spans() []Span { c.mu.Lock(); defer c.mu.Unlock(); return slices.Clone(c.spans) }

// Records returns the received log records in order of arrival.
func (c *Collector) Records() []Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.records)
}

// Metrics returns the received metrics in order of arrival.
func (c *Collector) Metrics() []Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.metrics)
}

// Headers returns the headers of each export. Their names are lower case over
// gRPC.
func (c *Collector) Headers() []map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.headers)
}

// Paths returns the paths of the exports over HTTP.
func (c *Collector) Paths() []string { c.mu.Lock(); defer c.mu.Unlock(); return slices.Clone(c.paths) }

type (
	traceService struct {
		traces.UnimplementedTraceServiceServer
		c *Collector
	}
	logService struct {
		logs.UnimplementedLogsServiceServer
		c *Collector
	}
	metricService struct {
		metrics.UnimplementedMetricsServiceServer
		c *Collector
	}
)

func (c *Collector) admit(ctx context.Context) error {
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		c.mu.Lock()
		c.headers = append(c.headers, md)
		c.mu.Unlock()
	}
	if c.Refuse != nil {
		return c.Refuse(ctx)
	}
	return nil
}

func (s traceService) Export(ctx context.Context, r *traces.ExportTraceServiceRequest) (*traces.ExportTraceServiceResponse, error) {
	if err := s.c.admit(ctx); err != nil {
		return nil, err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for _, rs := range r.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, x := range ss.Spans {
				span := Span{
					Resource: attributes(rs.Resource.GetAttributes()), Attributes: attributes(x.Attributes),
					Name: x.Name, Trace: hex.EncodeToString(x.TraceId), ID: hex.EncodeToString(x.SpanId), Parent: hex.EncodeToString(x.ParentSpanId),
					Kind: x.Kind, Status: x.Status.GetCode(), Description: x.Status.GetMessage(),
				}
				for _, e := range x.Events {
					span.Events = append(span.Events, Event{e.Name, attributes(e.Attributes)})
				}
				s.c.spans = append(s.c.spans, span)
			}
		}
	}
	out := &traces.ExportTraceServiceResponse{}
	if n := s.c.Rejected; n > 0 {
		out.PartialSuccess = &traces.ExportTracePartialSuccess{RejectedSpans: n, ErrorMessage: "not these"}
	}
	return out, nil
}

func (s logService) Export(ctx context.Context, r *logs.ExportLogsServiceRequest) (*logs.ExportLogsServiceResponse, error) {
	if err := s.c.admit(ctx); err != nil {
		return nil, err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for _, rl := range r.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			for _, x := range sl.LogRecords {
				s.c.records = append(s.c.records, Record{
					Resource: attributes(rl.Resource.GetAttributes()), Attributes: attributes(x.Attributes),
					Body: x.Body.GetStringValue(), SeverityText: x.SeverityText, Severity: int(x.SeverityNumber), TimeUnixNano: x.TimeUnixNano,
					Trace: hex.EncodeToString(x.TraceId), Span: hex.EncodeToString(x.SpanId),
				})
			}
		}
	}
	out := &logs.ExportLogsServiceResponse{}
	if n := s.c.Rejected; n > 0 {
		out.PartialSuccess = &logs.ExportLogsPartialSuccess{RejectedLogRecords: n, ErrorMessage: "not these"}
	}
	return out, nil
}

func (s metricService) Export(ctx context.Context, r *metrics.ExportMetricsServiceRequest) (*metrics.ExportMetricsServiceResponse, error) {
	if err := s.c.admit(ctx); err != nil {
		return nil, err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for _, rm := range r.ResourceMetrics {
		for _, sm := range rm.ScopeMetrics {
			for _, x := range sm.Metrics {
				s.c.metrics = append(s.c.metrics, Metric{attributes(rm.Resource.GetAttributes()), x})
			}
		}
	}
	return &metrics.ExportMetricsServiceResponse{}, nil
}

// ServeHTTP receives OTLP over HTTP in protobuf, at every path that ends in
// traces or logs; any other path receives metrics.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.paths = append(c.paths, r.URL.Path)
	c.mu.Unlock()
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		in = z
	}
	raw, err := io.ReadAll(in)
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not OTLP", http.StatusBadRequest)
		return
	}
	out, err := c.export(metadata.NewIncomingContext(r.Context(), metadata.MD(maps.Clone(r.Header))), r.URL.Path, raw)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	reply, err := proto.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Write(reply)
}

func (c *Collector) export(ctx context.Context, path string, raw []byte) (proto.Message, error) {
	switch {
	case strings.HasSuffix(path, "traces"):
		return unmarshal(raw, new(traces.ExportTraceServiceRequest), func(r *traces.ExportTraceServiceRequest) (proto.Message, error) {
			return traceService{c: c}.Export(ctx, r)
		})
	case strings.HasSuffix(path, "logs"):
		return unmarshal(raw, new(logs.ExportLogsServiceRequest), func(r *logs.ExportLogsServiceRequest) (proto.Message, error) {
			return logService{c: c}.Export(ctx, r)
		})
	default:
		return unmarshal(raw, new(metrics.ExportMetricsServiceRequest), func(r *metrics.ExportMetricsServiceRequest) (proto.Message, error) {
			return metricService{c: c}.Export(ctx, r)
		})
	}
}

func unmarshal[T proto.Message](raw []byte, into T, then func(T) (proto.Message, error)) (proto.Message, error) {
	if err := proto.Unmarshal(raw, into); err != nil {
		return nil, err
	}
	return then(into)
}

func attributes(kvs []*common.KeyValue) Attributes {
	out := Attributes{}
	for _, kv := range kvs {
		switch v := kv.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			out[kv.Key] = v.IntValue
		case *common.AnyValue_DoubleValue:
			out[kv.Key] = v.DoubleValue
		case *common.AnyValue_BoolValue:
			out[kv.Key] = v.BoolValue
		default:
			out[kv.Key] = kv.Value.String()
		}
	}
	return out
}
