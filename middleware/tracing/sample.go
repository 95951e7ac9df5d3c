package tracing

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// decide returns a context in which to start a span that will be recorded. If it
// returns nil, the span will not be recorded, and dropped has it. This saves what
// the SDK would do for such a span, above all its attributes, which the samplers
// of OTEL_TRACES_SAMPLER do not look at.
func (m *Module) decide(ctx context.Context, name string, kind trace.SpanKind) (_ *starting, dropped context.Context) {
	parent := trace.SpanContextFromContext(ctx)
	id := parent.TraceID()
	if !id.IsValid() {
		id, _ = ids{}.NewIDs(ctx)
	}
	result := m.sampler.ShouldSample(sdk.SamplingParameters{ParentContext: ctx, TraceID: id, Name: name, Kind: kind})
	if result.Decision != sdk.Drop {
		return &starting{Context: ctx, id: id}, nil
	}
	return nil, trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: ids{}.NewSpanID(ctx, id), TraceFlags: parent.TraceFlags() &^ trace.FlagsSampled, TraceState: result.Tracestate,
	}))
}

// begin is decide, and returns the context in any case.
func (m *Module) begin(ctx context.Context, name string, kind trace.SpanKind) (*starting, context.Context) {
	begin, dropped := m.decide(ctx, name, kind)
	if begin != nil {
		return begin, begin
	}
	return nil, dropped
}

// starting is the context in which a span starts.
type starting struct {
	context.Context
	id         trace.TraceID        // on which the sampler decided
	attributes []attribute.KeyValue // while the span starts
}

// start starts the span with these attributes. It gives them to the sampler only:
// the span gets them when it ends, together with the others, because each call
// copies all of them.
//
// If s is nil, it returns ctx and a span that records nothing.
func (s *starting) start(m *Module, ctx context.Context, name string, options []trace.SpanStartOption, a *attributes) (context.Context, trace.Span) {
	if s == nil {
		return ctx, noop.Span{}
	}
	s.attributes = a.list
	ctx, span := m.tracer.Start(s, name, options...)
	s.attributes = nil
	return ctx, span
}

// attributed is a sampler that gets the attributes of a span that starts.
type attributed struct{ sdk.Sampler }

// ShouldSample implements sdk.Sampler.
func (s attributed) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if c, ok := p.ParentContext.(*starting); ok {
		p.Attributes = c.attributes
	}
	return s.Sampler.ShouldSample(p)
}

// ids generates IDs.
type ids struct{}

// NewIDs returns the trace ID of decide, or else a new one.
func (g ids) NewIDs(ctx context.Context) (id trace.TraceID, _ trace.SpanID) {
	if s, ok := ctx.(*starting); ok {
		id = s.id
	}
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID returns a new span ID.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
