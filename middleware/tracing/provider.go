package tracing

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/seed-4591fe7d/podinfo/internal/otlp"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
)

// pod returns the attributes of the Pod, from the variables that the manifests
// fill through the downward API.
func pod(environ []string) (attrs []attribute.KeyValue) {
	vars := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		vars[name] = value
	}
	// The name of a Deployment's Pod is deployment-hash-suffix.
	if deployment, suffix, ok := strings.Cut(vars["POD_NAME"], "-"+vars["POD_TEMPLATE_HASH"]+"-"); ok && len(suffix) == 5 && vars["POD_TEMPLATE_HASH"] != "" {
		vars["deployment"] = deployment
	}
	for name, key := range map[string]attribute.Key{
		"POD_NAME": semconv.K8SPodNameKey, "POD_UID": semconv.K8SPodUIDKey, "POD_NAMESPACE": semconv.K8SNamespaceNameKey,
		"NODE_NAME": semconv.K8SNodeNameKey, "deployment": semconv.K8SDeploymentNameKey,
	} {
		if vars[name] != "" {
			attrs = append(attrs, key.String(vars[name]))
		}
	}
	return attrs
}

// detect returns the attributes that identify this instance. Those of the
// environment that New was given override those that are detected.
func (m *Module) detect() *resource.Resource {
	attrs := append(pod(m.host.Environ()), semconv.ServiceVersion(m.host.Build().Version))
	for k, v := range m.settings.Resource {
		attrs = append(attrs, attribute.String(k, redact.Variable(k, v)))
	}
	attrs = append(attrs, semconv.ServiceName(m.name())) // the last value of a key wins
	r, _ := resource.New(context.Background(),           // what cannot be detected is left out
		resource.WithSchemaURL(semconv.SchemaURL), resource.WithService(), resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithProcessPID(), resource.WithProcessExecutableName(), // not the arguments, which may have secrets
		resource.WithProcessRuntimeName(), resource.WithProcessRuntimeVersion(), resource.WithProcessRuntimeDescription(),
		resource.WithAttributes(attrs...))
	// The SDK's providers add the attributes in the process's environment, which
	// is not this App's. It has no option to leave them out: empty them.
	var others []attribute.KeyValue
	for _, kv := range resource.Environment().Attributes() {
		if !r.Set().HasValue(kv.Key) {
			others = append(others, kv.Key.String(""))
		}
	}
	r, _ = resource.Merge(r, resource.NewSchemaless(others...))
	return r
}

// sampler returns the sampler that OTEL_TRACES_SAMPLER names.
func sampler(s *otlp.Settings) sdk.Sampler {
	ratio := sdk.TraceIDRatioBased(float64(s.SamplerArg))
	switch s.Sampler {
	case "always_on":
		return sdk.AlwaysSample()
	case "always_off":
		return sdk.NeverSample()
	case "traceidratio":
		return ratio
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample())
	case "parentbased_traceidratio":
		return sdk.ParentBased(ratio)
	}
	return sdk.ParentBased(sdk.AlwaysSample())
}

func spanLimits(s *otlp.Settings) sdk.SpanLimits {
	return sdk.SpanLimits{
		AttributeValueLengthLimit:   otlp.First(sdk.DefaultAttributeValueLengthLimit, s.SpanLength, s.AttributeLength),
		AttributeValueDepthLimit:    sdk.DefaultAttributeValueDepthLimit,
		AttributeCountLimit:         otlp.First(sdk.DefaultAttributeCountLimit, s.SpanCount, s.AttributeCount),
		EventCountLimit:             otlp.First(sdk.DefaultEventCountLimit, s.SpanEvents),
		LinkCountLimit:              otlp.First(sdk.DefaultLinkCountLimit, s.SpanLinks),
		AttributePerEventCountLimit: otlp.First(sdk.DefaultAttributePerEventCountLimit, s.EventCount),
		AttributePerLinkCountLimit:  otlp.First(sdk.DefaultAttributePerLinkCountLimit, s.LinkCount),
	}
}

func (m *Module) startSpans(ctx context.Context) error {
	exporter, closed, err := m.settings.SpanExporter(ctx)
	if err != nil || exporter == nil {
		return err
	}
	b := m.settings.Spans
	m.provider.RegisterSpanProcessor(spanQueue{&m.spans, sdk.NewBatchSpanProcessor(spanExporter{&m.spans, exporter},
		sdk.WithBatchTimeout(b.Delay.Duration()), sdk.WithExportTimeout(b.Timeout.Duration()),
		sdk.WithMaxQueueSize(int(b.Queue)), sdk.WithMaxExportBatchSize(int(b.Size)))})
	m.stopWith(&m.spans, m.provider.Shutdown, closed)
	return nil
}

func (m *Module) startLogs(ctx context.Context) error {
	exporter, closed, err := m.settings.LogExporter(ctx)
	if err != nil || exporter == nil {
		return err
	}
	b := m.settings.Records
	provider := sdklog.NewLoggerProvider(
		sdklog.WithResource(m.resource),
		sdklog.WithAllowKeyDuplication(), // the hook sets no key twice, and to look for it costs more than the rest of a record
		sdklog.WithAttributeCountLimit(otlp.First(128, m.settings.RecordCount, m.settings.AttributeCount)),
		sdklog.WithAttributeValueLengthLimit(otlp.First(-1, m.settings.RecordLength, m.settings.AttributeLength)),
		sdklog.WithProcessor(attributing{logQueue{&m.records, sdklog.NewBatchProcessor(logExporter{&m.records, exporter},
			sdklog.WithExportInterval(b.Delay.Duration()), sdklog.WithExportTimeout(b.Timeout.Duration()),
			sdklog.WithMaxQueueSize(int(b.Queue)), sdklog.WithExportMaxBatchSize(int(b.Size)))}}))
	m.hook.logger = provider.Logger(scope, log.WithInstrumentationVersion(m.host.Build().Version))
	m.stopWith(&m.records, provider.Shutdown, closed)
	return nil
}

// stopWith adds the function that flushes a signal and closes its connection to
// those that Stop calls.
func (m *Module) stopWith(s *signal, shutdown func(context.Context) error, closed func()) {
	m.stops = append(m.stops, func(ctx context.Context) {
		defer closed()
		stop := context.AfterFunc(ctx, s.abort) // aborts the export in progress and those that would follow
		defer stop()
		_ = shutdown(context.WithoutCancel(ctx)) // the signal has logged its errors
		s.abort()
		s.end()
	})
}

// flushTime is how long Stop flushes when its context has no deadline.
const flushTime = 10 * time.Second

// Stop exports what is queued, all signals in parallel, within nine tenths of
// the time until ctx's deadline. It drops and logs the rest, but returns no
// error for it, because no request was cut.
func (m *Module) Stop(ctx context.Context) error {
	if m.hook != nil {
		unhook(m.log(), m.hook)
	}
	left := flushTime
	if end, ok := ctx.Deadline(); ok {
		left = time.Until(end) * 9 / 10
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	var all sync.WaitGroup
	for _, stop := range m.stops {
		all.Go(func() { stop(ctx) })
	}
	all.Wait()
	return nil
}
