// Package tracing exports spans, logs and metrics of requests over OTLP.
package tracing

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-4591fe7d/podinfo/internal/otlp"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is tracing.
type Module struct {
	ServiceName string `env:"OTEL_SERVICE_NAME" doc:"name of this service in traces, logs and metrics over OTLP; turns tracing on" accepts:"text"`

	// Environ has the standard OTEL_* variables that the module goes by, see
	// internal/otlp. It does not look at the process's own. When it names an
	// endpoint or an exporter, the module is on.
	Environ map[string]string `env:"-"`

	settings otlp.Settings
	host     *registry.Host
	wire     wire
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	meter    meter
	hook     *hook

	spans, records, pushes signal
	stops                  []func(context.Context) // what Start began
}

// Info describes the module.
func (m *Module) Info() registry.Info {
	return registry.Info{
		Name: "tracing", Doc: "Export spans, logs and metrics over OTLP, and carry traces on.",
		Phase: registry.Observe, OptIn: !otlp.Wanted(m.Environ), EnableVar: "OTEL_SERVICE_NAME", Unprefixed: true,
	}
}

// Validate checks the OTEL_* variables.
func (m *Module) Validate() (err error) {
	m.settings, err = otlp.Parse(m.Environ)
	return err
}

// scope names who made the spans and records.
const scope = "github.com/seed-4591fe7d/podinfo"

// Provision makes the tracer. Without Start its spans go nowhere.
func (m *Module) Provision(h *registry.Host) error {
	m.host = h
	m.wire = newWire(m.settings.Propagators)
	m.provider = sdk.NewTracerProvider(sdk.WithResource(m.resource()), sdk.WithSampler(sampler(&m.settings)), sdk.WithRawSpanLimits(spanLimits(&m.settings)))
	m.tracer = m.provider.Tracer(scope, trace.WithInstrumentationVersion(h.Build().Version))
	m.spans.init("traces", int(m.settings.Spans.Queue), h.Log)
	m.records.init("logs", int(m.settings.Records.Queue), h.Log)
	m.pushes.init("metrics", 1, h.Log)
	return nil
}

// Start begins to export. A collector need not be there.
func (m *Module) Start(ctx context.Context) error {
	if m.settings.Disabled {
		return nil
	}
	err := errors.Join(m.startSpans(ctx), m.startLogs(ctx), m.startMetrics(ctx))
	if err != nil {
		_ = m.Stop(ctx)
	}
	return err
}

// Bind returns the handler that makes the spans of rt.
func (m *Module) Bind(rt registry.Route) registry.Middleware {
	if m.settings.Disabled {
		return nil
	}
	return newRoute(m, rt.Pattern)
}

// RequestTraceID is the trace of a request, for the access log.
func (m *Module) RequestTraceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}

// FaultInjected marks the span that the fault hit, as an observer of
// registry/fault.
func (m *Module) FaultInjected(ctx context.Context, fault string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent("fault injected", trace.WithAttributes(attribute.String("podinfo.fault", fault)))
	}
}

// TraceTransport makes a span of each call that goes through next, and tells the
// server of the trace.
func (m *Module) TraceTransport(next http.RoundTripper) http.RoundTripper {
	if m.settings.Disabled {
		return next
	}
	return &transport{m, next}
}

// ContributeMetrics shows what was dropped.
func (m *Module) ContributeMetrics(set *vm.Set) {
	for _, s := range []*signal{&m.spans, &m.records, &m.pushes} {
		set.NewGauge(`podinfo_otel_dropped_total{signal="`+s.name+`"}`, func() float64 { return float64(s.dropped.Load()) })
	}
}

// DescribeMetrics says what they mean.
func (*Module) DescribeMetrics() map[string]string {
	return map[string]string{"podinfo_otel_dropped_total": "Spans, log records and pushes of metrics that did not reach the collector."}
}

// name is that of the service.
func (m *Module) name() string {
	return cmp.Or(m.ServiceName, m.settings.Service, m.settings.Resource["service.name"], "podinfo")
}

// log is the logger whose lines are exported.
func (m *Module) log() *logrus.Logger { return m.host.Log.Logger }
