package tracing

import (
	"context"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
)

// hook adds the span in a line's context to the line, and emits an OTLP log
// record for it.
type hook struct {
	logger log.Logger // nil if logs are not exported
}

// Levels returns all levels.
func (*hook) Levels() []logrus.Level { return logrus.AllLevels }

// severities are the severity numbers of the log data model
// (https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber).
var severities = map[logrus.Level]log.Severity{
	logrus.TraceLevel: log.SeverityTrace,
	logrus.DebugLevel: log.SeverityDebug,
	logrus.InfoLevel:  log.SeverityInfo,
	logrus.WarnLevel:  log.SeverityWarn,
	logrus.ErrorLevel: log.SeverityError,
	logrus.FatalLevel: log.SeverityFatal,
	logrus.PanicLevel: log.SeverityFatal4,
}

// Fire adds the span and queues the record. It queues none for the lines of this
// module, which report failed exports.
func (h *hook) Fire(e *logrus.Entry) error {
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background()
	}
	rec, _ := ctx.(jsonlog.Record)
	if h.logger != nil && e.Data["module"] != "tracing" {
		h.emit(ctx, e, rec)
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() && rec == nil {
		if e.Data == nil {
			e.Data = logrus.Fields{}
		}
		e.Data[jsonlog.TraceKey] = jsonlog.TraceID{ID: sc.TraceID().String(), Sampled: sc.IsSampled()}
		e.Data[jsonlog.SpanKey] = sc.SpanID().String()
	}
	return nil
}

func (h *hook) emit(ctx context.Context, e *logrus.Entry, rec jsonlog.Record) {
	var r log.Record
	r.SetTimestamp(e.Time)
	r.SetObservedTimestamp(e.Time)
	r.SetSeverity(severities[e.Level])
	r.SetSeverityText(jsonlog.LevelName(e.Level)) // as the log lines have it
	r.SetBody(attribute.StringValue(redact.Text(e.Message)))
	a := newAttributes()
	if rec != nil {
		rec.Attributes((*recordAttributes)(a))
	}
	for k, v := range e.Data {
		a.field(k, v)
	}
	h.logger.Emit(&emitting{ctx, a.list}, r)
	a.release()
}

// emitting is the context in which a record is emitted.
type emitting struct {
	context.Context
	attributes []attribute.KeyValue
}

// attributing is a processor that sets the attributes of a record in one call. The
// SDK copies those that a record comes with one by one, which costs as much as the
// rest of a record.
type attributing struct{ sdklog.Processor }

// OnEmit implements sdklog.Processor.
func (p attributing) OnEmit(ctx context.Context, r *sdklog.Record) error {
	if c, ok := ctx.(*emitting); ok {
		r.AddAttributes(c.attributes...)
	}
	return p.Processor.OnEmit(ctx, r)
}

// names are the names of fields in the semantic conventions.
var names = map[string]attribute.Key{
	logrus.ErrorKey: semconv.ExceptionMessageKey,
	"client":        semconv.ClientAddressKey,
	"file":          semconv.FilePathKey,
	"path":          semconv.URLPathKey,
	"pattern":       semconv.HTTPRouteKey,
	"server":        semconv.ServerAddressKey,
}

// recordAttributes are the attributes that a line gives to its record. They
// implement jsonlog.Attributes.
type recordAttributes attributes

func (a *recordAttributes) String(key, value string) {
	a.list = append(a.list, attribute.String(key, value))
}

func (a *recordAttributes) Int(key string, value int) {
	a.list = append(a.list, attribute.Int(key, value))
}

func (a *recordAttributes) Float(key string, value float64) {
	a.list = append(a.list, attribute.Float64(key, value))
}

// field adds a field of a line.
func (a *attributes) field(key string, value any) {
	k := attribute.Key(key)
	if name, ok := names[key]; ok {
		k = name
	}
	switch v := value.(type) {
	case string:
		a.add(k.String(redact.Text(v)))
	case bool:
		a.add(k.Bool(v))
	case int:
		a.add(k.Int(v))
	case int64:
		a.add(k.Int64(v))
	case float64:
		a.add(k.Float64(v))
	case time.Duration:
		a.add(k.Float64(v.Seconds()))
	case error:
		a.add(k.String(redact.Text(v.Error())))
		if k == semconv.ExceptionMessageKey {
			a.add(semconv.ExceptionType(fmt.Sprintf("%T", v)))
		}
	default:
		a.add(k.String(redact.Text(fmt.Sprint(value))))
	}
}

// relay replaces the hooks of a logger while they are exchanged. A line that is
// logged in the meantime waits until the hooks are known and then runs them all.
type relay struct {
	ready chan struct{}
	hooks logrus.LevelHooks
}

func (*relay) Levels() []logrus.Level { return logrus.AllLevels }

func (r *relay) Fire(e *logrus.Entry) error {
	<-r.ready
	return r.hooks.Fire(e.Level, e)
}

// atLevel limits a hook to one level.
type atLevel struct {
	logrus.Hook
	level logrus.Level
}

func (h atLevel) Levels() []logrus.Level { return []logrus.Level{h.level} }

// unhook removes h from a logger and keeps every other hook. logrus can only
// replace all hooks at once.
func unhook(l *logrus.Logger, h *hook) {
	r, standIn := &relay{ready: make(chan struct{}), hooks: logrus.LevelHooks{}}, logrus.LevelHooks{}
	standIn.Add(r)
	rest := logrus.LevelHooks{}
	for level, hooks := range l.ReplaceHooks(standIn) {
		for _, x := range hooks {
			if x != logrus.Hook(h) {
				rest[level] = append(rest[level], x)
				r.hooks[level] = append(r.hooks[level], x)
			}
		}
	}
	close(r.ready)
	for level, hooks := range l.ReplaceHooks(rest) {
		for _, x := range hooks {
			if x != logrus.Hook(r) { // added in the meantime
				l.AddHook(atLevel{x, level})
			}
		}
	}
}
