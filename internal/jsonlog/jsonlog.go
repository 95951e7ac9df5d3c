// Package jsonlog writes logrus entries as lines of JSON with upstream's keys:
// level, ts, msg and the entry's fields.
package jsonlog

import (
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
	// AppendJSON appends each field as `,"key":value`.
	AppendJSON(dst []byte) []byte
}

// Formatter formats an entry as one line of JSON, with secrets redacted.
type Formatter struct{}

// TimeFormat is the layout of the key ts: ISO 8601 with milliseconds.
const TimeFormat = "2006-01-02T15:04:05.000Z0700"

// Format implements logrus.Formatter.
func (Formatter) Format(e *logrus.Entry) ([]byte, error) {
	var b []byte
	if e.Buffer != nil {
		e.Buffer.Grow(typicalLine)
		b = e.Buffer.AvailableBuffer()
	}
	b = append(b, `{"level":"`...)
	b = append(b, levelName(e.Level)...)
	b = append(b, `","ts":"`...)
	b = e.Time.AppendFormat(b, TimeFormat)
	b = append(b, `","msg":`...)
	b = AppendString(b, redact.Text(e.Message))
	if r, ok := e.Context.(Record); ok {
		b = r.AppendJSON(b)
	}
	if len(e.Data) > 0 {
		b = appendFields(b, e.Data)
	}
	return append(b, '}', '\n'), nil
}

// typicalLine is enough bytes for most lines, so that they need one allocation.
const typicalLine = 512

func appendFields(b []byte, fields logrus.Fields) []byte {
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		b = append(b, ',')
		b = AppendString(b, k)
		b = append(b, ':')
		b = appendValue(b, fields[k])
	}
	return b
}

// levelName returns zap's name for a level, because users of upstream filter
// by it.
func levelName(l logrus.Level) string {
	if l == logrus.WarnLevel {
		return "warn"
	}
	return l.String()
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return AppendString(b, redact.Text(v))
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
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[from:i]...), "\uFFFD"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
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
			from = i + 1
		}
		i++
	}
	return append(append(b, s[from:]...), '"')
}

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
	s := string(line[:min(len(line), 20)])
	return !strings.HasPrefix(s, `{"level":"info"`) && !strings.HasPrefix(s, `{"level":"debug"`)
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
