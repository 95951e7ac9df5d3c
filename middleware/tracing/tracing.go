// Package tracing exports spans, logs and metrics over OTLP.
package tracing

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-4591fe7d/podinfo/internal/otlp"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// Module is the tracing module.
//
// The standard OTEL_* variables of the environment that New was given configure
// it too (see internal/otlp).
type Module struct {
	ServiceName string `env:"OTEL_SERVICE_NAME" doc:"service name in exported traces, logs and metrics; turns tracing on" accepts:"text" takes:"NAME"`

	Internal bool `env:"TRACING_INTERNAL" doc:"make spans of probes, scrapes and health checks too"`

	settings    otlp.Settings
	host        *registry.Host
	resource    *resource.Resource
	pages       []capability.MetricsPage
	propagators propagators
	sampler     sdk.Sampler
	provider    *sdk.TracerProvider
	tracer      trace.Tracer
	meter       meter
	hook        *hook

	spans, records, pushes signal
	stops                  []func(context.Context) // one for each signal that Start started
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{
		Name: "tracing", Doc: "Export spans, logs and metrics over OTLP and propagate traces.",
		Phase: registry.Observe, OptIn: true, EnableVar: "OTEL_SERVICE_NAME", Unprefixed: true,
	}
}

// EnabledBy turns the module on when the standard OTEL_* variables name an
// endpoint or an exporter.
func (*Module) EnabledBy(environ []string) bool { return otlp.Wanted(otlp.Variables(environ)) }

// scope is the instrumentation scope of the spans, records and metrics.
const scope = "github.com/seed-4591fe7d/podinfo"

// Provision reads the OTEL_* variables and creates the tracer. Its spans are not
// exported before Start.
func (m *Module) Provision(h *registry.Host) error {
	m.host, m.pages = h, registry.All(h, capability.MetricsPages)
	var warnings []*registry.SettingError
	m.settings, warnings = otlp.Parse(otlp.Variables(h.Environ()))
	for _, w := range warnings {
		h.Log.Warn(w)
	}
	if slices.Contains(m.settings.MetricsTo, otlp.ToPrometheus) && len(m.pages) == 0 {
		h.Log.Warn("OTEL_METRICS_EXPORTER has prometheus, which needs the metrics module: turn it on")
	}
	m.resource = m.detect()
	m.propagators = newPropagators(m.settings.Propagators)
	m.sampler = sampler(&m.settings)
	m.provider = sdk.NewTracerProvider(sdk.WithResource(m.resource), sdk.WithSampler(attributed{m.sampler}), sdk.WithIDGenerator(ids{}), sdk.WithRawSpanLimits(spanLimits(&m.settings)))
	m.tracer = m.provider.Tracer(scope, trace.WithInstrumentationVersion(h.Build().Version))
	m.spans.init("traces", int(m.settings.Spans.Queue), h.Log)
	m.records.init("logs", int(m.settings.Records.Queue), h.Log)
	m.pushes.init("metrics", 1, h.Log)
	return nil
}

// Start starts the exporters. It does not wait for the collector. A signal that
// cannot be exported, for example because a certificate cannot be read, is an
// error in the log.
func (m *Module) Start(ctx context.Context) error {
	if m.settings.Disabled {
		return nil
	}
	m.hook = new(hook)
	for _, s := range []struct {
		*signal
		start func(context.Context) error
	}{{&m.spans, m.startSpans}, {&m.records, m.startLogs}, {&m.pushes, m.startMetrics}} {
		if err := s.start(ctx); err != nil {
			s.log.WithError(err).WithField("signal", s.name).Error("telemetry is not exported")
		}
	}
	m.log().AddHook(m.hook)
	return nil
}

// Bind returns the middleware that creates the spans of rt.
func (m *Module) Bind(rt registry.Route) registry.Middleware {
	if m.settings.Disabled {
		return nil
	}
	return newRoute(m, rt)
}

// RequestTrace returns the span of ctx for the access log.
func (m *Module) RequestTrace(ctx context.Context) (traceID, spanID string, sampled bool) {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		return sc.TraceID().String(), sc.SpanID().String(), sc.IsSampled()
	}
	return "", "", false
}

// SampledSpan returns the IDs of the span of ctx, for the exemplars of metrics.
func (m *Module) SampledSpan(ctx context.Context) (_ [16]byte, _ [8]byte, sampled bool) {
	sc := trace.SpanContextFromContext(ctx)
	return sc.TraceID(), sc.SpanID(), sc.IsValid() && sc.IsSampled()
}

// FaultInjected adds an event to the span that the fault hit. It implements
// registry/fault's observer.
func (m *Module) FaultInjected(ctx context.Context, fault string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent("fault injected", trace.WithAttributes(attribute.String("podinfo.fault", fault)))
	}
}

// TraceTransport returns a transport that creates a span for each request sent
// through next and adds the trace's headers to the request.
func (m *Module) TraceTransport(next http.RoundTripper) http.RoundTripper {
	if m.settings.Disabled {
		return next
	}
	return &transport{m, next}
}

// ContributeMetrics registers the counters of dropped telemetry.
func (m *Module) ContributeMetrics(set *vm.Set) {
	for _, s := range []*signal{&m.spans, &m.records, &m.pushes} {
		set.NewGauge(`podinfo_otel_dropped_total{signal="`+s.name+`"}`, func() float64 { return float64(s.dropped.Load()) })
	}
}

// DescribeMetrics says what they mean.
func (*Module) DescribeMetrics() map[string]string {
	return map[string]string{"podinfo_otel_dropped_total": "Spans, log records and metric exports that did not reach the collector."}
}

// name returns the service name.
func (m *Module) name() string {
	return cmp.Or(m.ServiceName, m.settings.Service, m.settings.Resource["service.name"], "podinfo")
}

// log returns the logger whose lines are exported.
func (m *Module) log() *logrus.Logger { return m.host.Log.Logger }
