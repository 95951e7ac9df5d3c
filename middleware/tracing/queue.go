package tracing

import (
	"context"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// signal bounds and counts what waits to be exported. The SDK would drop what
// is too much, too, but does not say so, and gives errors to a handler that the
// whole process shares.
type signal struct {
	name    string
	limit   int64
	log     *logrus.Entry
	life    context.Context // of exports
	cut     context.CancelFunc
	waiting atomic.Int64
	dropped atomic.Int64

	told atomic.Int64 // of dropped, in the log
	when atomic.Int64 // that was, in nanoseconds since 1970
}

func (s *signal) init(name string, limit int, log *logrus.Entry) {
	s.name, s.limit, s.log = name, int64(limit), log
	s.life, s.cut = context.WithCancel(context.Background())
}

// take makes room for one more, or drops it.
func (s *signal) take() bool {
	if s.waiting.Add(1) <= s.limit {
		return true
	}
	s.waiting.Add(-1)
	s.dropped.Add(1)
	return false
}

// sent notes how the export of n ended. What is lost counts as such before it
// makes room, so that at no moment it counts as nothing.
func (s *signal) sent(n int, err error) {
	if err != nil {
		s.dropped.Add(lost(err, n))
	}
	s.waiting.Add(-int64(n))
	s.tell(err, time.Now())
}

// quiet is the time between two lines about a signal.
const quiet = 30 * time.Second

// tell logs a failure, or that something was dropped, now and then.
func (s *signal) tell(err error, now time.Time) {
	dropped, when := s.dropped.Load(), s.when.Load()
	if err == nil && dropped == s.told.Load() {
		return
	}
	if when != 0 && now.UnixNano()-when < int64(quiet) || !s.when.CompareAndSwap(when, now.UnixNano()) {
		return
	}
	log := s.log.WithFields(logrus.Fields{"signal": s.name, "dropped": dropped - s.told.Swap(dropped)})
	if err == nil {
		log.Warn("telemetry dropped: the collector is too slow")
		return
	}
	log.WithError(err).Warn("telemetry export failed")
}

// end counts what was never tried, and says what was lost last.
func (s *signal) end() {
	s.dropped.Add(max(0, s.waiting.Swap(0)))
	if d := s.dropped.Load(); d != s.told.Load() {
		s.log.WithFields(logrus.Fields{"signal": s.name, "dropped": d - s.told.Swap(d)}).Warn("telemetry lost at shutdown")
	}
}

// partial is how the exporters say that a collector refused some of a batch
// (OTLP 1.x, "Partial Success").
var partial = regexp.MustCompile(`\((\d+) [a-z ]+ rejected\)`)

// lost is how many of n an export that failed did not deliver.
func lost(err error, n int) int64 {
	if found := partial.FindStringSubmatch(err.Error()); found != nil {
		if some, err := strconv.Atoi(found[1]); err == nil && some <= n {
			return int64(some)
		}
	}
	return int64(n)
}

// bound is ctx that also ends with the signal's life.
func (s *signal) bound(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// spanQueue is the way of spans into the batch processor.
type spanQueue struct {
	*signal
	sdk.SpanProcessor
}

func (q spanQueue) OnEnd(span sdk.ReadOnlySpan) {
	if span.SpanContext().IsSampled() && q.take() {
		q.SpanProcessor.OnEnd(span)
	}
}

// spanExporter is their way out.
type spanExporter struct {
	*signal
	sdk.SpanExporter
}

func (e spanExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, done := e.bound(ctx)
	defer done()
	e.sent(len(spans), e.SpanExporter.ExportSpans(ctx, spans))
	return nil
}

// logQueue is the way of log records into the batch processor.
type logQueue struct {
	*signal
	sdklog.Processor
}

func (q logQueue) OnEmit(ctx context.Context, r *sdklog.Record) error {
	if !q.take() {
		return nil
	}
	return q.Processor.OnEmit(ctx, r)
}

// logExporter is their way out.
type logExporter struct {
	*signal
	sdklog.Exporter
}

func (e logExporter) Export(ctx context.Context, records []sdklog.Record) error {
	if len(records) == 0 {
		return nil
	}
	ctx, done := e.bound(ctx)
	defer done()
	e.sent(len(records), e.Exporter.Export(ctx, records))
	return nil
}

// metricExporter is the way out of metrics, which do not queue.
type metricExporter struct {
	*signal
	metric.Exporter
}

func (e metricExporter) Export(ctx context.Context, data *metricdata.ResourceMetrics) error {
	ctx, done := e.bound(ctx)
	defer done()
	e.waiting.Add(1)
	e.sent(1, e.Exporter.Export(ctx, data))
	return nil
}
