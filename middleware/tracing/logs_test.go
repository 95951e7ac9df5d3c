package tracing_test

import (
	"io"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestLogs(t *testing.T) {
	for _, c := range []struct {
		level, text string
		severity    int
	}{
		{"debug", "debug", 5}, {"info", "info", 9}, {"warning", "warn", 13}, {"error", "error", 17}, {"panic", "panic", 24},
	} {
		collector := otlptest.Start(t)
		s := serve(t, collector, nil, new(app))
		registrytest.Send(t, "GET", s.URL+"/log/"+c.level)
		stop(t, s)
		spans, got := collector.Spans(), said(collector)
		if len(spans) != 1 || len(got) != 1 {
			t.Errorf("%s: %d spans, %d records", c.level, len(spans), len(got))
			continue
		}
		if got[0].TimeUnixNano == 0 {
			t.Errorf("%s: no time", c.level)
		}
		got[0].TimeUnixNano = 0
		want := otlptest.Record{
			Resource: spans[0].Resource, Body: "said", Severity: c.severity, SeverityText: c.text, Trace: spans[0].Trace, Span: spans[0].ID,
			Attributes: otlptest.Attributes{"module": "app", "n": int64(7), "took": 1.5, "exception.message": "broken", "exception.type": "*errors.errorString"},
		}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%s: %s", c.level, diff)
		}
	}
}

// TestLogLevel checks that lines below the log level are not exported.
func TestLogLevel(t *testing.T) {
	collector := otlptest.Start(t)
	s := serve(t, collector, map[string]string{"PODINFO_LEVEL": "warn"}, new(app))
	registrytest.Send(t, "GET", s.URL+"/log/info")
	stop(t, s)
	if got := collector.Records(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestAccessRecords checks that access lines are exported with their fields.
func TestAccessRecords(t *testing.T) {
	collector := otlptest.Start(t)
	s := serve(t, collector, nil, new(accesslog.Module), new(app))
	registrytest.Send(t, "GET", s.URL+"/status/201?a=1&token=x")
	stop(t, s)
	for _, r := range collector.Records() {
		if r.Body != "request completed" {
			continue
		}
		for _, k := range []string{"http.server.request.duration", "network.peer.port"} {
			if r.Attributes[k] == nil {
				t.Errorf("no %s", k)
			}
			delete(r.Attributes, k)
		}
		want := otlptest.Attributes{
			"http.request.method": "GET", "http.route": "/status/{code}", "http.response.status_code": int64(201), "http.response.body.size": int64(0),
			"url.path": "/status/201", "url.query": "a=1&token=REDACTED", "url.scheme": "http", "client.address": "127.0.0.1", "network.peer.address": "127.0.0.1",
			"network.protocol.version": "1.1", "user_agent.original": "test",
		}
		if diff := cmp.Diff(want, r.Attributes); diff != "" || r.Trace != collector.Spans()[0].Trace || r.Span != collector.Spans()[0].ID {
			t.Errorf("%s %s %s", r.Trace, r.Span, diff)
		}
		return
	}
	t.Errorf("no access line: %+v", collector.Records())
}

// counter is a hook that the embedding program installed.
type counter struct {
	mu sync.Mutex
	n  int
}

func (*counter) Levels() []logrus.Level { return []logrus.Level{logrus.InfoLevel} }
func (c *counter) Fire(*logrus.Entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return nil
}

// TestHooksAreRestored checks that Stop removes the module's hook from the
// embedding program's logger, and no other hook, while lines are logged and
// hooks are added.
func TestHooksAreRestored(t *testing.T) {
	collector := otlptest.Start(t)
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	before, during := new(counter), new(counter)
	logger.AddHook(before)
	a, err := registry.New([]registry.Module{new(tracing.Module)}, registry.Environ([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + collector.GRPC}), registry.Logger(logger))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	logger.AddHook(during)
	const n = 5000
	var busy sync.WaitGroup
	first := make(chan struct{})
	late := make([]*counter, 50)
	busy.Go(func() {
		for i := range n {
			logger.Info("line")
			if i == 100 {
				close(first)
			}
		}
	})
	busy.Go(func() {
		<-first
		for i := range late {
			late[i] = new(counter)
			logger.AddHook(late[i])
		}
	})
	<-first
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	busy.Wait()
	if before.n != n || during.n != n {
		t.Errorf("other hooks saw %d and %d of %d lines", before.n, during.n, n)
	}
	logger.Info("after")
	if before.n != n+1 || during.n != n+1 {
		t.Error("other hooks are gone")
	}
	for i, c := range late {
		if c.n == 0 {
			t.Errorf("hook %d, added during Stop, is gone", i)
		}
	}
	if got := logger.Hooks[logrus.DebugLevel]; len(got) != 0 {
		t.Errorf("%d hooks left", len(got))
	}
	for _, r := range collector.Records() {
		if r.Body == "after" {
			t.Error("exported after Stop")
		}
	}
}
