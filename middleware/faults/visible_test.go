package faults_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
)

// The access log, the trace and the metrics contain the outcome that the client
// saw, and the name of the rule.
func TestRecordsAgreeWithTheClient(t *testing.T) {
	// Faults and the outcomes of requests that they hit. A delay and goaway do
	// not change the outcome.
	web := map[string]string{
		"delay: 1ms": "200", "fault: {goaway: true}": "200", "fault: {status: 503}": "503", "fault: {reset: true}": "444", "fault: {empty: true}": "444",
		"fault: {truncate: 3}": "444", "fault: {truncate: 3, reset: true}": "444", "fault: {bad-chunk: true}": "444", "fault: {garbage: true}": "444",
	}
	calls := map[string]string{
		"delay: 1ms": "OK", "fault: {goaway: true}": "OK", "fault: {grpc: NOT_FOUND}": "NotFound", "fault: {reset: true}": "Internal", "fault: {empty: true}": "Unavailable",
	}
	text, want := "rules:\n", map[string]string{} // by rule
	add := func(what, match, outcome string) (rule string) {
		rule = fmt.Sprint("r", len(want))
		text += fmt.Sprintf("- { name: %s, match: { %s, headers: { x: %s } }, %s }\n", rule, match, rule, what)
		want["faults/"+rule] = outcome
		return rule
	}
	requests, rpcs := map[string]string{}, map[string]string{} // outcomes by rule
	for what, outcome := range web {
		requests[add(what, "path: /a", outcome)] = outcome
	}
	for what, outcome := range calls {
		rpcs[add(what, "grpc: '*'", outcome)] = outcome
	}
	collector := otlptest.Start(t)
	counts := new(metrics.Module)
	env := rules(text)
	env["OTEL_EXPORTER_OTLP_ENDPOINT"], env["OTEL_LOGS_EXPORTER"] = "http://"+collector.GRPC, "none"
	s := grpctest.Serve(t, env, &tracing.Module{ServiceName: "svc"}, counts, new(accesslog.Module), new(faults.Module), new(endpoint), new(grpctest.Service))
	srv := httptest.NewServer(s.App)
	defer srv.Close()
	sizes := map[string]int{} // of the bodies that clients received, by rule
	for rule, outcome := range requests {
		req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/a", nil) // POST is not retried
		must(t, err)
		req.Header.Set("x", rule)
		status := "444"
		if res, err := srv.Client().Do(req); err == nil {
			n, err := io.Copy(io.Discard, res.Body)
			if sizes["faults/"+rule] = int(n); err == nil {
				status = fmt.Sprint(res.StatusCode)
			}
			res.Body.Close()
		}
		if status != outcome {
			t.Errorf("%s: the client got %s, want %s\n%s", rule, status, outcome, text)
		}
	}
	for rule, outcome := range rpcs {
		err := s.Call(metadata.AppendToOutgoingContext(t.Context(), "x", rule), "UnaryCall")
		if got := status.Code(err).String(); got != outcome {
			t.Errorf("%s: the client got %v, want %s\n%s", rule, err, outcome, text)
		}
	}
	srv.Close()
	must(t, s.App.Stop(context.Background())) // flushes all records

	logged, traced := map[string]string{}, map[string]string{}
	for line := range strings.SplitSeq(s.Log.String(), "\n") {
		var entry struct {
			Fault, Code   string
			Status, Bytes int
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Fault != "" {
			logged[entry.Fault] = cmp.Or(entry.Code, fmt.Sprint(entry.Status))
			if b, ok := sizes[entry.Fault]; ok && b != entry.Bytes {
				t.Errorf("%s: %d bytes are logged, the client got %d\n%s", entry.Fault, entry.Bytes, b, text)
			}
		}
	}
	for _, span := range collector.Spans() {
		outcome := fmt.Sprint(cmp.Or(span.Attributes["http.response.status_code"], span.Attributes["rpc.response.status_code"]))
		kind := span.Attributes["error.type"] // set only when the server failed
		if served := outcome == "200" || outcome == "OK" || outcome == "NOT_FOUND"; served != (kind == nil) || !served && fmt.Sprint(kind) != outcome {
			t.Errorf("a span of outcome %s has error.type %v", outcome, kind)
		}
		for _, e := range span.Events {
			traced[fmt.Sprint(e.Attributes["podinfo.fault"])] = outcome
		}
	}
	if diff := gocmp.Diff(want, logged); diff != "" {
		t.Errorf("the access log: %s", diff)
	}
	upper := map[string]string{"NotFound": "NOT_FOUND", "Internal": "INTERNAL", "Unavailable": "UNAVAILABLE"} // names in OpenTelemetry
	for rule, outcome := range want {
		want[rule] = cmp.Or(upper[outcome], outcome)
	}
	if diff := gocmp.Diff(want, traced); diff != "" {
		t.Errorf("the trace: %s", diff)
	}
	rec := httptest.NewRecorder()
	counts.MetricsPageHandler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`http_requests_total{status="200"} 2`, `http_requests_total{status="503"} 1`, `http_requests_total{status="444"} 6`,
		`grpc_code="OK"} 2`, `grpc_code="NotFound"} 1`, `grpc_code="Internal"} 1`, `grpc_code="Unavailable"} 1`,
	} {
		if !strings.Contains(rec.Body.String(), line+"\n") {
			t.Errorf("no %s in the metrics", line)
		}
	}
	for rule := range want {
		if line := fmt.Sprintf("podinfo_faults_injected_total{fault=%q} 1\n", rule); !strings.Contains(rec.Body.String(), line) {
			t.Errorf("no %s in the metrics", line)
		}
		if line := fmt.Sprintf("podinfo_fault_hits_total{rule=%q,kind=", strings.TrimPrefix(rule, "faults/")); !strings.Contains(rec.Body.String(), line) {
			t.Errorf("no %s in the metrics", line)
		}
	}
	if t.Failed() {
		t.Log(rec.Body.String())
	}
}
