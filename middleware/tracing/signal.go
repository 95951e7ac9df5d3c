package tracing

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
)

// signal limits and counts the items of one signal (spans, log records or metric
// exports) that wait to be exported. The SDK also drops items above a limit, but
// it does not count them, and it reports errors to a process-wide handler.
type signal struct {
	name    string
	limit   int64
	log     *logrus.Entry
	exports context.Context // its end aborts the exports
	abort   context.CancelFunc
	waiting atomic.Int64
	dropped atomic.Int64

	logged   atomic.Int64 // how many of dropped the log has reported
	loggedAt atomic.Int64 // time of the last line, in nanoseconds since 1970
}

func (s *signal) init(name string, limit int, log *logrus.Entry) {
	s.name, s.limit, s.log = name, int64(limit), log
	s.exports, s.abort = context.WithCancel(context.Background())
}

// admit reports whether there is room for one more item. Without room, it
// counts the item as dropped.
func (s *signal) admit() bool {
	if s.waiting.Add(1) <= s.limit {
		return true
	}
	s.waiting.Add(-1)
	s.dropped.Add(1)
	return false
}

// sent records the result of exporting n items. Lost items are counted as
// dropped before they stop counting as waiting, so that the sum of both never
// misses one.
func (s *signal) sent(n int, err error) {
	if err != nil {
		s.dropped.Add(lost(err, n))
	}
	s.waiting.Add(-int64(n))
	s.report(err, time.Now())
}

// logInterval is the shortest time between two log lines of one signal.
const logInterval = 30 * time.Second

// report logs a failed export or dropped items, at most once per logInterval.
func (s *signal) report(err error, now time.Time) {
	dropped, last := s.dropped.Load(), s.loggedAt.Load()
	if err == nil && dropped == s.logged.Load() {
		return
	}
	if last != 0 && now.UnixNano()-last < int64(logInterval) || !s.loggedAt.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	log := s.log.WithFields(logrus.Fields{"signal": s.name, "dropped": dropped - s.logged.Swap(dropped)})
	if err == nil {
		log.Warn("telemetry dropped: the collector is too slow")
		return
	}
	log.WithError(err).Warn("telemetry export failed")
}

// end counts the items that still wait as dropped and logs losses that are not
// logged yet.
func (s *signal) end() {
	s.dropped.Add(max(0, s.waiting.Swap(0)))
	if d := s.dropped.Load(); d != s.logged.Load() {
		s.log.WithFields(logrus.Fields{"signal": s.name, "dropped": d - s.logged.Swap(d)}).Warn("telemetry lost at shutdown")
	}
}

// partial matches the exporters' error for a batch that the collector accepted
// in part (OTLP 1.x, "Partial Success").
var partial = lazyregexp.New(`\((\d+) [a-z ]+ rejected\)`)

// lost returns how many of n items the export that failed with err lost.
func lost(err error, n int) int64 {
	if found := partial().FindStringSubmatch(err.Error()); found != nil {
		if rejected, err := strconv.Atoi(found[1]); err == nil && rejected <= n {
			return int64(rejected)
		}
	}
	return int64(n)
}

// abortable returns ctx, cancelled also when the signal's exports are aborted.
func (s *signal) abortable(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.exports, cancel)
	return ctx, func() { stop(); cancel() }
}

// spanQueue passes ended spans to the batch processor while there is room.
type spanQueue struct {
	*signal
	sdk.SpanProcessor
}

func (q spanQueue) OnEnd(span sdk.ReadOnlySpan) {
	if span.SpanContext().IsSampled() && q.admit() {
		q.SpanProcessor.OnEnd(span)
	}
}

// spanExporter counts the spans that the batch processor exports.
type spanExporter struct {
	*signal
	sdk.SpanExporter
}

func (e spanExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, done := e.abortable(ctx)
	defer done()
	e.sent(len(spans), e.SpanExporter.ExportSpans(ctx, spans))
	return nil
}

// logQueue passes log records to the batch processor while there is room.
type logQueue struct {
	*signal
	sdklog.Processor
}

func (q logQueue) OnEmit(ctx context.Context, r *sdklog.Record) error {
	if !q.admit() {
		return nil
	}
	return q.Processor.OnEmit(ctx, r)
}

// logExporter counts the log records that the batch processor exports.
type logExporter struct {
	*signal
	sdklog.Exporter
}

func (e logExporter) Export(ctx context.Context, records []sdklog.Record) error {
	if len(records) == 0 {
		return nil
	}
	ctx, done := e.abortable(ctx)
	defer done()
	e.sent(len(records), e.Exporter.Export(ctx, records))
	return nil
}

// metricExporter counts the exports of metrics, which are not queued.
type metricExporter struct {
	*signal
	metric.Exporter
}

// Export ignores the cancellation of ctx, by which Shutdown would abort the
// periodic export in progress and lose its deltas. Stop aborts it when the time
// is up.
func (e metricExporter) Export(ctx context.Context, data *metricdata.ResourceMetrics) error {
	uncut := context.WithoutCancel(ctx)
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		uncut, cancel = context.WithDeadline(uncut, end)
		defer cancel()
	}
	ctx, done := e.abortable(uncut)
	defer done()
	e.waiting.Add(1)
	e.sent(1, e.Exporter.Export(ctx, data))
	return nil
}
