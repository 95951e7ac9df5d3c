// Package jsonlog writes logrus entries as lines of JSON with upstream's keys:
// level, ts, msg and the entry's fields.
package jsonlog

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
)

// A Record is a context.Context that holds a line's fields. Logging an entry
// with such a context needs no Fields map and costs a tenth.
type Record interface {
	// AppendJSON appends each field as `,"key":value`, without those of Trace.
	AppendJSON(dst []byte) []byte
	// Attributes sets the fields by their names in OpenTelemetry's semantic
	// conventions.
	Attributes(set Attributes)
	// Trace returns the span that the line belongs to.
	Trace() Trace
}

// Attributes takes the attributes of a log record.
type Attributes interface {
	String(key, value string)
	Int(key string, value int)
	Float(key string, value float64)
}

// Trace is the span that a line belongs to, and its zero value no span.
type Trace struct {
	TraceID, SpanID string
	Sampled         bool
}

// The keys of a span in logrus.Fields. The value of the first one is a [TraceID],
// the value of the second one a string.
const (
	TraceKey = "trace_id"
	SpanKey  = "span_id"
)

// TraceID is a trace ID that knows whether the trace is sampled.
type TraceID struct {
	ID      string
	Sampled bool
}

// String returns the ID.
func (id TraceID) String() string { return id.ID }

// MarshalText implements [encoding.TextMarshaler].
func (id TraceID) MarshalText() ([]byte, error) { return []byte(id.ID), nil }

// Formatter formats an entry as one line of JSON, with secrets redacted.
type Formatter struct {
	// GCP names the fields as Google Cloud Logging does
	// (https://cloud.google.com/logging/docs/structured-logging).
	GCP bool
}

// TimeFormat is the layout of the key ts: ISO 8601 with milliseconds.
const TimeFormat = "2006-01-02T15:04:05.000Z0700"

// Format implements logrus.Formatter.
func (f Formatter) Format(e *logrus.Entry) ([]byte, error) {
	var b []byte
	if e.Buffer != nil {
		e.Buffer.Grow(typicalLine)
		b = e.Buffer.AvailableBuffer()
	}
	level, ts, msg, layout := `{"level":"`, `","ts":"`, `","msg":`, TimeFormat
	name := LevelName(e.Level)
	if f.GCP {
		level, ts, msg, layout = `{"severity":"`, `","time":"`, `","message":`, time.RFC3339Nano
		name = severities[e.Level]
	}
	b = append(append(b, level...), name...)
	b = e.Time.AppendFormat(append(b, ts...), layout)
	b = AppendString(append(b, msg...), redact.Text(e.Message))
	if r, ok := e.Context.(Record); ok {
		b = r.AppendJSON(b)
		b = f.appendTrace(b, r.Trace())
	}
	if len(e.Data) > 0 {
		b = f.appendFields(b, e.Data)
	}
	return append(b, '}', '\n'), nil
}

// severities are the values of LogSeverity.
var severities = map[logrus.Level]string{
	logrus.TraceLevel: "DEBUG", logrus.DebugLevel: "DEBUG", logrus.InfoLevel: "INFO", logrus.WarnLevel: "WARNING",
	logrus.ErrorLevel: "ERROR", logrus.FatalLevel: "CRITICAL", logrus.PanicLevel: "ALERT",
}

// gcpKeys are the keys that Google Cloud reads.
var gcpKeys = map[string]string{
	TraceKey:               "logging.googleapis.com/trace",
	SpanKey:                "logging.googleapis.com/spanId",
	"exception.stacktrace": "stack_trace", // for Error Reporting
}

const gcpSampled = `,"logging.googleapis.com/trace_sampled":`

func (f Formatter) appendTrace(b []byte, t Trace) []byte {
	if t.TraceID != "" {
		b = AppendString(f.appendKey(b, TraceKey), t.TraceID)
	}
	if t.SpanID != "" {
		b = AppendString(f.appendKey(b, SpanKey), t.SpanID)
		if f.GCP {
			b = strconv.AppendBool(append(b, gcpSampled...), t.Sampled)
		}
	}
	return b
}

func (f Formatter) appendKey(b []byte, key string) []byte {
	if other, ok := gcpKeys[key]; ok && f.GCP {
		key = other
	}
	return append(AppendString(append(b, ','), key), ':')
}

// typicalLine is enough bytes for most lines, so that they need one allocation.
const typicalLine = 512

func (f Formatter) appendFields(b []byte, fields logrus.Fields) []byte {
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		b = appendValue(f.appendKey(b, k), fields[k])
		if id, ok := fields[k].(TraceID); ok && f.GCP {
			b = strconv.AppendBool(append(b, gcpSampled...), id.Sampled)
		}
	}
	return b
}

// LevelName returns zap's name for a level, because users of upstream filter
// by it.
func LevelName(l logrus.Level) string {
	if l == logrus.WarnLevel {
		return "warn"
	}
	return l.String()
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return AppendString(b, redact.Text(v))
	case TraceID:
		return AppendString(b, v.ID)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case time.Duration:
		return strconv.AppendFloat(b, v.Seconds(), 'f', -1, 64)
	case error:
		return AppendString(b, redact.Text(v.Error()))
	}
	enc, err := json.Marshal(v)
	if err != nil {
		return AppendString(b, err.Error())
	}
	return append(b, enc...)
}

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func AppendString(b []byte, s string) []byte {
	return append(AppendEscaped(append(b, '"'), s), '"')
}

// AppendEscaped is AppendString without the quotes.
func AppendEscaped[Text string | []byte](b []byte, s Text) []byte {
	from := 0
	for i := plain(s); i < len(s); i += plain(s[i:]) {
		c := s[i]
		if c >= utf8.RuneSelf {
			n, valid := character(s[i:])
			if !valid {
				b = append(append(b, s[from:i]...), replacement...)
				from = i + 1
			}
			i += n
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(b, s[from:]...)
}

// EscapedLen returns the number of bytes that AppendEscaped appends.
func EscapedLen[Text string | []byte](s Text) int {
	n := len(s)
	for i := plain(s); i < len(s); i += plain(s[i:]) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			size, valid := character(s[i:])
			if !valid {
				n += len(replacement) - 1
			}
			i += size
			continue
		case c == '"' || c == '\\' || c == '\n' || c == '\t':
			n++
		default:
			n += len(`\u0000`) - 1
		}
		i++
	}
	return n
}

// character returns the length of the character that s begins with, and whether it
// is UTF-8.
func character[Text string | []byte](s Text) (n int, valid bool) {
	r, n := utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
	return n, r != utf8.RuneError || n > 1
}

// plain returns the number of bytes at the beginning of s that are ASCII and need
// no escape. It looks at eight of them at a time.
func plain[Text string | []byte](s Text) (n int) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(s)-n >= 8; n += 8 {
		w := uint64(s[n]) | uint64(s[n+1])<<8 | uint64(s[n+2])<<16 | uint64(s[n+3])<<24 |
			uint64(s[n+4])<<32 | uint64(s[n+5])<<40 | uint64(s[n+6])<<48 | uint64(s[n+7])<<56
		// The high bit of a byte x-y is set if x < y, as long as neither has its own set.
		special := w | (w - ' '*ones) | ((w ^ '"'*ones) - ones) | ((w ^ '\\'*ones) - ones) | (w + ones)
		if special&highs != 0 {
			break
		}
	}
	for n < len(s) && s[n] >= ' ' && s[n] < 0x7f && s[n] != '"' && s[n] != '\\' {
		n++
	}
	return n
}

const replacement = "\uFFFD"

// Writer collects the lines of a Formatter and writes them in batches: after
// BatchDelay, when BatchSize is reached, or immediately when a line has a level
// above info. Call Flush before the process ends.
type Writer struct {
	mu    sync.Mutex
	out   io.Writer
	buf   []byte
	timer *time.Timer
}

// Limits of a Writer's batch.
const (
	BatchSize  = 32 << 10
	BatchDelay = 100 * time.Millisecond
)

// NewWriter returns a Writer that writes to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// SetOutput writes the current batch and sets where the next one goes.
func (w *Writer) SetOutput(out io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushLocked()
	w.out = out
}

// Write adds one line to the batch.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, line...)
	if len(w.buf) >= BatchSize || urgent(line) {
		return len(line), w.flushLocked()
	}
	if w.timer == nil {
		w.timer = time.AfterFunc(BatchDelay, func() { w.Flush() })
	}
	return len(line), nil
}

// urgent reports whether the line's level is above info.
func urgent(line []byte) bool {
	_, rest, _ := bytes.Cut(line[:min(len(line), 24)], []byte(`":"`))
	level, _, _ := bytes.Cut(rest, []byte(`"`))
	switch string(level) {
	case "info", "debug", "INFO", "DEBUG":
		return false
	}
	return true
}

// Flush writes the current batch.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flushLocked()
}

// flushLocked is Flush for a caller that holds w.mu.
func (w *Writer) flushLocked() error {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	if len(w.buf) == 0 {
		return nil
	}
	_, err := w.out.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

// Std returns a standard logger, as http.Server.ErrorLog needs one, that logs
// to e at level info.
func Std(e *logrus.Entry) *log.Logger { return log.New(stdWriter{e}, "", 0) }

type stdWriter struct{ e *logrus.Entry }

func (w stdWriter) Write(p []byte) (int, error) {
	w.e.Info(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// AcceptFailed returns a function that logs why a port accepts no connections.
func AcceptFailed(e *logrus.Entry) func(error) {
	return func(err error) { e.WithError(err).Error("cannot accept connections; trying again") }
}
