package tracing_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// lines returns the lines with this message.
func lines(t *testing.T, log, msg string) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log) {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if got["msg"] == msg {
			out = append(out, got)
		}
	}
	return out
}

// checkPanic checks the line, the event and the record of a panic in a function
// of this name.
func checkPanic(t *testing.T, c *otlptest.Collector, log, function string) {
	t.Helper()
	got, spans := lines(t, log, "handler panicked"), c.Spans()
	if len(got) != 1 || len(spans) != 1 || len(spans[0].Events) != 1 || spans[0].Events[0].Name != "exception" {
		t.Fatalf("%v %+v", got, spans)
	}
	if got[0]["trace_id"] != spans[0].Trace || got[0]["span_id"] != spans[0].ID {
		t.Errorf("%v is not in the span %s of %s", got[0], spans[0].ID, spans[0].Trace)
	}
	sources := map[string]map[string]any{"line": got[0], "event": spans[0].Events[0].Attributes}
	for _, r := range c.Records() {
		if r.Body == "handler panicked" {
			sources["record"] = r.Attributes
			if r.Span != spans[0].ID {
				t.Errorf("%+v is not in the span %s", r, spans[0].ID)
			}
		}
	}
	for what, fields := range sources {
		if stack, _ := fields["exception.stacktrace"].(string); fields["exception.type"] != "string" || fields["exception.message"] != "on purpose" || !strings.Contains(stack, function) {
			t.Errorf("%s: %v", what, fields)
		}
	}
	if len(sources) != 3 {
		t.Error("the panic has no record")
	}
}

func TestPanic(t *testing.T) {
	for _, sampler := range []string{"always_on", "always_off"} {
		collector := otlptest.Start(t)
		s := serve(t, collector, map[string]string{"OTEL_TRACES_SAMPLER": sampler}, new(app))
		registrytest.Send(t, "GET", s.URL+"/panic")
		stop(t, s)
		if sampler == "always_on" {
			checkPanic(t, collector, s.Log.String(), "(*app).Routes")
		} else if got := lines(t, s.Log.String(), "handler panicked"); len(got) != 1 || got[0]["trace_id"] == nil {
			t.Errorf("%s: %v", sampler, got)
		}
	}
}

// TestLinesHaveTheSpan checks that what a handler logs has the IDs of the span,
// also if the trace is not sampled.
func TestLinesHaveTheSpan(t *testing.T) {
	for _, c := range []struct{ sampler, exporter string }{{"always_on", "otlp"}, {"always_on", "none"}, {"always_off", "otlp"}} {
		s := serve(t, otlptest.Start(t), map[string]string{"OTEL_TRACES_SAMPLER": c.sampler, "OTEL_LOGS_EXPORTER": c.exporter}, new(accesslog.Module), new(app))
		registrytest.Send(t, "GET", s.URL+"/log/info", "traceparent", "00-"+traceID+"-"+parentID+"-01")
		stop(t, s)
		said, access := lines(t, s.Log.String(), "said"), lines(t, s.Log.String(), "request completed")
		if len(said) != 1 || len(access) != 1 || said[0]["trace_id"] != traceID || said[0]["span_id"] == nil || said[0]["span_id"] == parentID || said[0]["span_id"] != access[0]["span_id"] || access[0]["trace_id"] != traceID {
			t.Errorf("%v: %v %v", c, said, access)
		}
		if got := lines(t, s.Log.String(), "Starting"); len(got) > 0 && got[0]["trace_id"] != nil {
			t.Errorf("%v", got)
		}
	}
}

// TestTrustedProxies checks that spans, records and lines have the client that a
// trusted proxy names.
func TestTrustedProxies(t *testing.T) {
	for trusted, want := range map[string][2]any{"127.0.0.0/8": {"203.0.113.9", "https"}, "10.0.0.0/8": {"127.0.0.1", "http"}} {
		collector := otlptest.Start(t)
		s := serve(t, collector, map[string]string{"PODINFO_TRUSTED_PROXIES": trusted}, new(accesslog.Module), new(app))
		registrytest.Send(t, "GET", s.URL+"/get", "X-Forwarded-For", "198.51.100.1, 203.0.113.9", "X-Forwarded-Proto", "https")
		stop(t, s)
		records := slices.DeleteFunc(collector.Records(), func(r otlptest.Record) bool { return r.Body != "request completed" })
		for _, a := range []otlptest.Attributes{collector.Spans()[0].Attributes, records[0].Attributes} {
			if a["client.address"] != want[0] || a["url.scheme"] != want[1] || a["network.peer.address"] != "127.0.0.1" {
				t.Errorf("%s: %v", trusted, a)
			}
		}
		line := lines(t, s.Log.String(), "request completed")[0]
		if client, _ := line["client"].(string); (client == want[0]) != (want[0] != "127.0.0.1") || !strings.HasPrefix(line["remote"].(string), "127.0.0.1:") {
			t.Errorf("%s: %v", trusted, line)
		}
	}
}

// probe has an internal route.
type probe struct{}

func (*probe) Info() registry.Info { return registry.Info{Name: "probe"} }
func (*probe) Routes() []registry.Route {
	return []registry.Route{{Path: "/probe", Internal: true, Handler: func(http.ResponseWriter, *http.Request) {}}}
}

// TestInternalRoutes checks that probes have spans only if a setting asks for them,
// and are measured in any case.
func TestInternalRoutes(t *testing.T) {
	for internal, want := range map[string]int{"false": 0, "true": 1} {
		collector := otlptest.Start(t)
		s := serve(t, collector, map[string]string{"PODINFO_TRACING_INTERNAL": internal, "OTEL_METRICS_EXPORTER": "otlp"}, new(probe))
		registrytest.Send(t, "GET", s.URL+"/probe", "traceparent", "00-"+traceID+"-"+parentID+"-01")
		stop(t, s)
		if got := collector.Spans(); len(got) != want {
			t.Errorf("PODINFO_TRACING_INTERNAL=%s: %+v", internal, got)
		}
		found := false
		for _, m := range collector.Metrics() {
			found = found || m.Name == "http.server.request.duration"
		}
		if !found {
			t.Error("the probe was not measured")
		}
	}
}
