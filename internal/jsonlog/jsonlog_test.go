package jsonlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
)

func TestFormat(t *testing.T) {
	var out bytes.Buffer
	l := logrus.New()
	l.SetOutput(&out)
	l.SetFormatter(jsonlog.Formatter{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 6789000, time.UTC)
	l.WithTime(at).WithFields(logrus.Fields{
		"text": "a\"b\\c\n\x01é\xff</script>", "n": 3, "for": 1500 * time.Millisecond, "err": errors.New("no"), "list": []int{1}, "bad": make(chan int),
	}).Warn("hello")
	want := `{"level":"warn","ts":"2026-01-02T03:04:05.006Z","msg":"hello","bad":"json: unsupported type: chan int","err":"no","for":1.5,"list":[1],"n":3,` +
		`"text":"a\"b\\c\n\u0001é` + "\uFFFD" + `</script>"}` + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if !json.Valid(out.Bytes()) {
		t.Error("not JSON")
	}
}

type record struct {
	context.Context
	n string
}

func (r record) AppendJSON(b []byte) []byte  { return append(b, `,"n":`+r.n...) }
func (record) Attributes(jsonlog.Attributes) {}
func (record) Trace() (t jsonlog.Trace) {
	return jsonlog.Trace{TraceID: "12", SpanID: "34", Sampled: true}
}

func TestRecord(t *testing.T) {
	for f, want := range map[jsonlog.Formatter]string{
		{}:          `"msg":"m","n":7,"trace_id":"12","span_id":"34","k":"v"}`,
		{GCP: true}: `"message":"m","n":7,"logging.googleapis.com/trace":"12","logging.googleapis.com/spanId":"34","logging.googleapis.com/trace_sampled":true,"k":"v"}`,
	} {
		var out bytes.Buffer
		l := logrus.New()
		l.SetOutput(&out)
		l.SetFormatter(f)
		l.WithContext(record{t.Context(), "7"}).WithField("k", "v").Info("m")
		if got := out.String(); !strings.HasSuffix(got, want+"\n") {
			t.Error(got)
		}
	}
}

// TestGCP checks the names that Google Cloud Logging reads.
func TestGCP(t *testing.T) {
	for level, severity := range map[logrus.Level]string{
		logrus.DebugLevel: "DEBUG", logrus.InfoLevel: "INFO", logrus.WarnLevel: "WARNING", logrus.ErrorLevel: "ERROR",
	} {
		var out bytes.Buffer
		l := logrus.New()
		l.SetLevel(logrus.DebugLevel)
		l.SetOutput(&out)
		l.SetFormatter(jsonlog.Formatter{GCP: true})
		l.WithTime(time.Date(2026, 1, 2, 3, 4, 5, 6789000, time.UTC)).WithFields(logrus.Fields{
			jsonlog.TraceKey: jsonlog.TraceID{ID: "12"}, jsonlog.SpanKey: "34", "exception.stacktrace": "at",
		}).Log(level, "m")
		want := `{"severity":"` + severity + `","time":"2026-01-02T03:04:05.006789Z","message":"m","stack_trace":"at",` +
			`"logging.googleapis.com/spanId":"34","logging.googleapis.com/trace":"12","logging.googleapis.com/trace_sampled":false}` + "\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\xf0\x28\x00\u2028\"\\")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		b := jsonlog.AppendString(nil, s)
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); strings.Count(got, "") < strings.Count(want, "") {
			t.Errorf("%q became %q", s, got)
		}
	})
}

// counter counts writes.
type counter struct {
	mu            sync.Mutex
	writes, bytes int
}

func (c *counter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	c.bytes += len(p)
	return len(p), nil
}

func (c *counter) count() (writes, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes, c.bytes
}

func TestWriterBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(counter)
		w := jsonlog.NewWriter(out)
		line := []byte(`{"level":"info","msg":"x"}` + "\n")
		step := func(what string, wantWrites int, do func()) {
			do()
			if writes, _ := out.count(); writes != wantWrites {
				t.Errorf("%s: %d writes, want %d", what, writes, wantWrites)
			}
		}
		step("ten lines", 0, func() {
			for range 10 {
				w.Write(line)
			}
		})
		step("after the delay", 1, func() { time.Sleep(jsonlog.BatchDelay); synctest.Wait() })
		if _, n := out.count(); n != 10*len(line) {
			t.Errorf("wrote %d bytes", n)
		}
		step("a line held back", 1, func() { w.Write(line) })
		step("a warning", 2, func() { w.Write([]byte(`{"level":"warn","msg":"y"}` + "\n")) })
		step("a line of Google Cloud held back", 2, func() { w.Write([]byte(`{"severity":"INFO","time":"x"}` + "\n")) })
		step("a warning of Google Cloud", 3, func() { w.Write([]byte(`{"severity":"WARNING","time":"x"}` + "\n")) })
		step("a full batch", 4, func() {
			for range jsonlog.BatchSize/len(line) + 1 {
				w.Write(line)
			}
		})
		step("flush", 5, func() { w.Write(line); w.Flush() })
	})
}
