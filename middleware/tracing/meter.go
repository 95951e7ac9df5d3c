package tracing

import (
	"context"
	"net/http"
	"runtime/metrics"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"

	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// meter holds the instruments that are exported over OTLP. It is empty unless
// OTEL_METRICS_EXPORTER names an exporter.
type meter struct {
	duration httpconv.ServerRequestDuration
}

// buckets are the bounds that the semantic conventions give for durations.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

func (m *Module) startMetrics(ctx context.Context) error {
	exporter, closed, err := m.settings.MetricExporter(ctx)
	if err != nil || exporter == nil {
		return err
	}
	provider := sdkmetric.NewMeterProvider(
		sdkmetric.WithResource(m.resource()),
		sdkmetric.WithExemplarFilter(exemplar.TraceBasedFilter),
		sdkmetric.WithCardinalityLimit(2000),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metricExporter{&m.pushes, exporter},
			sdkmetric.WithInterval(m.settings.MetricEvery.Duration()), sdkmetric.WithTimeout(m.settings.MetricTimeout.Duration()))))
	m.stopWith(&m.pushes, provider.Shutdown, closed)
	meter := provider.Meter(scope, metric.WithInstrumentationVersion(m.host.Build().Version))
	m.meter.duration, err = httpconv.NewServerRequestDuration(meter, metric.WithExplicitBucketBoundaries(buckets...))
	if err != nil {
		return err
	}
	return observeRuntime(meter)
}

// labels are the labels of a duration, without those of the route.
type labels struct {
	method, status int
	class          record.Class
	https          bool
	version        string
}

// record records the duration of a request.
func (rt *route) record(ctx context.Context, d time.Duration, r *http.Request, method int, outcome record.Outcome) {
	l := labels{method, outcome.Status, outcome.Class, r.TLS != nil, version(r.ProtoMajor, r.ProtoMinor)}
	set, ok := rt.series.Load(l)
	if !ok {
		var a attributes
		a.add(semconv.HTTPRequestMethodKey.String(methods[method]), semconv.URLScheme(scheme(r)), semconv.NetworkProtocolVersion(l.version))
		if rt.pattern != "" {
			a.add(semconv.HTTPRoute(rt.pattern))
		}
		a.response(outcome)
		set, _ = rt.series.LoadOrStore(l, attribute.NewSet(a.list...))
	}
	rt.module.meter.duration.RecordSet(ctx, d.Seconds(), set.(attribute.Set))
}

// gauges are the metrics of the runtime by the semantic conventions for Go
// (https://opentelemetry.io/docs/specs/semconv/runtime/go-metrics/).
var gauges = []struct{ name, unit, source, text string }{
	{"go.goroutine.count", "{goroutine}", "/sched/goroutines:goroutines", "Count of live goroutines."},
	{"go.memory.used", "By", "/memory/classes/total:bytes", "Memory used by the Go runtime."},
	{"go.memory.gc.goal", "By", "/gc/heap/goal:bytes", "Heap size target for the end of the GC cycle."},
	{"go.processor.limit", "{thread}", "/sched/gomaxprocs:threads", "The number of OS threads that can execute user-level Go code simultaneously."},
}

func observeRuntime(m metric.Meter) error {
	samples := make([]metrics.Sample, len(gauges))
	observers := make([]metric.Int64ObservableUpDownCounter, len(gauges))
	var all []metric.Observable
	for i, g := range gauges {
		o, err := m.Int64ObservableUpDownCounter(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.text))
		if err != nil {
			return err
		}
		samples[i].Name, observers[i] = g.source, o
		all = append(all, o)
	}
	_, err := m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		metrics.Read(samples) // not locked: callbacks of one reader never run concurrently
		for i, s := range samples {
			to.ObserveInt64(observers[i], int64(s.Value.Uint64()))
		}
		return nil
	}, all...)
	return err
}
