package tracing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
)

// hook emits an OTLP log record for each line of a logger. The record belongs
// to the span in the line's context.
type hook struct{ logger log.Logger }

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

// Fire queues the record. It skips the lines of this module, which report
// failed exports.
func (h *hook) Fire(e *logrus.Entry) error {
	if e.Data["module"] == "tracing" {
		return nil
	}
	var r log.Record
	r.SetTimestamp(e.Time)
	r.SetObservedTimestamp(e.Time)
	r.SetSeverity(severities[e.Level])
	r.SetSeverityText(strings.Replace(e.Level.String(), "warning", "warn", 1)) // the name that the log lines use
	r.SetBody(attribute.StringValue(redact.Text(e.Message)))
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background()
	}
	if rec, ok := ctx.(jsonlog.Record); ok {
		for k, v := range decode(rec) {
			r.AddAttributes(field(k, v))
		}
	}
	for k, v := range e.Data {
		r.AddAttributes(field(k, v))
	}
	h.logger.Emit(ctx, r)
	return nil
}

// decode returns the fields of a line that come as JSON. It leaves out the trace
// ID, which the record has in a field of its own.
func decode(rec jsonlog.Record) map[string]any {
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(append(rec.AppendJSON([]byte(`{"trace_id":""`)), '}')))
	dec.UseNumber()
	_ = dec.Decode(&fields)
	delete(fields, "trace_id")
	return fields
}

// field returns a log field as an attribute.
func field(key string, value any) attribute.KeyValue {
	k := attribute.Key(key)
	switch v := value.(type) {
	case string:
		return k.String(redact.Text(v))
	case bool:
		return k.Bool(v)
	case int:
		return k.Int(v)
	case int64:
		return k.Int64(v)
	case float64:
		return k.Float64(v)
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return k.Int64(n)
		}
		f, _ := v.Float64()
		return k.Float64(f)
	case time.Duration:
		return k.Float64(v.Seconds())
	case error:
		return k.String(redact.Text(v.Error()))
	}
	return k.String(redact.Text(fmt.Sprint(value)))
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
