package tracing

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"

	"github.com/seed-4591fe7d/podinfo/internal/httpmethod"
	"github.com/seed-4591fe7d/podinfo/internal/otlp"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// meter holds the instruments that are exported over OTLP, by their semantic
// conventions. The metrics that have no convention come from the metrics module
// (see bridge). on is false unless OTEL_METRICS_EXPORTER names an exporter.
type meter struct {
	on bool

	active         metric.Int64UpDownCounter
	duration       metric.Float64Histogram
	received, sent metric.Int64Histogram
	calls          metric.Float64Histogram                             // RPCs
	requests       metric.Float64Histogram                             // outgoing
	operations     metric.Float64Histogram                             // of databases
	activeBy       [len(httpmethod.Standard) + 2][2][]metric.AddOption // by method, and whether over TLS
}

// Bounds of the buckets. The semantic conventions give those of durations.
var (
	seconds   = metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
	dbSeconds = metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
	sizes     = metric.WithExplicitBucketBoundaries(0, 1<<8, 1<<10, 1<<12, 1<<14, 1<<16, 1<<18, 1<<20, 1<<22, 1<<24, 1<<26, 1<<28, 1<<30)
)

func (m *Module) startMetrics(ctx context.Context) error {
	exporter, closed, err := m.settings.MetricExporter(ctx)
	if err != nil || exporter == nil {
		return err
	}
	filter := map[otlp.Exemplars]exemplar.Filter{"always_on": exemplar.AlwaysOnFilter, "always_off": exemplar.AlwaysOffFilter, "trace_based": exemplar.TraceBasedFilter}
	provider := sdkmetric.NewMeterProvider(
		sdkmetric.WithResource(m.resource),
		sdkmetric.WithExemplarFilter(filter[m.settings.Exemplars]),
		sdkmetric.WithCardinalityLimit(2000),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metricExporter{&m.pushes, exporter},
			sdkmetric.WithInterval(m.settings.MetricEvery.Duration()), sdkmetric.WithTimeout(m.settings.MetricTimeout.Duration()),
			sdkmetric.WithProducer(runtime.NewProducer()), sdkmetric.WithProducer(m.newBridge()))))
	m.stopWith(&m.pushes, provider.Shutdown, closed)
	if err := runtime.Start(runtime.WithMeterProvider(provider)); err != nil {
		return err
	}
	return m.meter.init(provider.Meter(scope, metric.WithInstrumentationVersion(m.host.Build().Version)))
}

func (i *meter) init(m metric.Meter) error {
	active, err1 := httpconv.NewServerActiveRequests(m)
	duration, err2 := httpconv.NewServerRequestDuration(m, seconds)
	received, err3 := httpconv.NewServerRequestBodySize(m, sizes)
	sent, err4 := httpconv.NewServerResponseBodySize(m, sizes)
	calls, err5 := rpcconv.NewServerCallDuration(m)
	requests, err6 := httpconv.NewClientRequestDuration(m, seconds)
	operations, err7 := dbconv.NewClientOperationDuration(m, dbSeconds)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return err
	}
	i.active, i.duration, i.received, i.sent = active.Inst(), duration.Inst(), received.Inst(), sent.Inst()
	i.calls, i.requests, i.operations = calls.Inst(), requests.Inst(), operations.Inst()
	for method, name := range methods {
		for secure, scheme := range []string{"http", "https"} {
			i.activeBy[method][secure] = []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(semconv.HTTPRequestMethodKey.String(name), semconv.URLScheme(scheme)))}
		}
	}
	i.on = true
	return nil
}

// labels identify the attributes of a measured request, apart from the route's.
type labels struct {
	method, status int
	failure        string
	secure         int // 1 over TLS
	version        string
}

// measured is a request whose duration and sizes are recorded.
type measured struct {
	route *route
	ctx   context.Context
	began time.Time
	body  *sized
	labels
}

// measure counts r as active, and counts the bytes that are read of its body.
// The caller must call end.
func (rt *route) measure(r *http.Request, method int) *measured {
	x := &measured{route: rt, ctx: r.Context(), began: time.Now(), labels: labels{method: method, version: version(r.ProtoMajor, r.ProtoMinor)}}
	if r.TLS != nil {
		x.secure = 1
	}
	if r.Body != nil && r.Body != http.NoBody {
		x.body = &sized{ReadCloser: r.Body}
		r.Body = x.body
	}
	m := &rt.module.meter
	m.active.Add(x.ctx, 1, m.activeBy[method][x.secure]...)
	return x
}

// sized counts the bytes that are read of a body.
type sized struct {
	io.ReadCloser
	n atomic.Int64 // a proxy's transport may read after the handler returned
}

func (s *sized) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.n.Add(int64(n))
	return n, err
}

// end records the request.
func (x *measured) end(outcome record.Outcome) {
	m := &x.route.module.meter
	m.active.Add(x.ctx, -1, m.activeBy[x.method][x.secure]...)
	x.status, x.failure = outcome.Status, outcome.ErrorType()
	options, ok := x.route.series.Load(x.labels)
	if !ok {
		options, _ = x.route.series.LoadOrStore(x.labels, []metric.RecordOption{metric.WithAttributeSet(x.attributes())})
	}
	attrs := options.([]metric.RecordOption)
	m.duration.Record(x.ctx, time.Since(x.began).Seconds(), attrs...)
	m.sent.Record(x.ctx, int64(outcome.Bytes), attrs...)
	received := int64(0)
	if x.body != nil {
		received = x.body.n.Load()
	}
	m.received.Record(x.ctx, received, attrs...)
}

func (x *measured) attributes() attribute.Set {
	a := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(methods[x.method]), semconv.URLScheme([]string{"http", "https"}[x.secure]), semconv.NetworkProtocolVersion(x.version),
	}
	if x.route.pattern != "" {
		a = append(a, semconv.HTTPRoute(x.route.pattern))
	}
	if x.status != 0 {
		a = append(a, semconv.HTTPResponseStatusCode(x.status))
	}
	if x.failure != "" {
		a = append(a, semconv.ErrorTypeKey.String(x.failure))
	}
	return attribute.NewSet(a...)
}

// measure records the duration of an operation with those attributes of its
// span that keep accepts.
func (a *attributes) measure(ctx context.Context, h metric.Float64Histogram, began time.Time, keep attribute.Filter) {
	if h == nil {
		return
	}
	set, _ := attribute.NewSetWithFiltered(slices.Clone(a.list), keep)
	h.Record(ctx, time.Since(began).Seconds(), metric.WithAttributeSet(set))
}

// ofClients accepts the attributes of outgoing requests and of operations on
// databases that have few values.
func ofClients(kv attribute.KeyValue) bool {
	switch kv.Key {
	case semconv.URLFullKey, semconv.HTTPRequestMethodOriginalKey:
		return false
	}
	return true
}

// ofCalls accepts the attributes of calls that clients cannot choose.
func ofCalls(kv attribute.KeyValue) bool {
	switch kv.Key {
	case semconv.RPCSystemNameKey, semconv.RPCMethodKey, semconv.RPCResponseStatusCodeKey, semconv.ErrorTypeKey:
		return true
	}
	return false
}
