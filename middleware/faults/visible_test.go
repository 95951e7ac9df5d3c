package faults_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/wsecho"
	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// endings is a module with a route for each way a request can end without a fault. It
// is outermost, so that it sees the records of a call complete.
type endings struct {
	entered chan struct{}
	leave   sync.Map       // what makes the client leave, by the fault that has hit it
	calls   sync.WaitGroup // that are being served
}

func (*endings) Info() registry.Info {
	return registry.Info{Name: "endings", Phase: registry.Edge, Before: "recovery"}
}

// FaultInjected makes the client leave that waits for the fault. Before, the request
// may not have arrived.
func (e *endings) FaultInjected(_ context.Context, fault string) {
	if leave, ok := e.leave.Load(fault); ok {
		time.AfterFunc(50*time.Millisecond, leave.(context.CancelFunc))
	}
}

func (e *endings) ServeRPC(ctx context.Context, _ *rpc.Call, next func(context.Context) error) error {
	e.calls.Add(1)
	defer e.calls.Done()
	return next(ctx)
}

func (e *endings) Routes() []registry.Route {
	return []registry.Route{
		{Path: "/early-panic", Handler: func(http.ResponseWriter, *http.Request) { panic("on purpose") }},
		{Path: "/late-panic", Handler: func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, text)
			http.NewResponseController(w).Flush()
			panic("on purpose")
		}},
		{Path: "/refused", Handler: func(w http.ResponseWriter, r *http.Request) { reply.Overloaded(w, r, "test", "refused") }},
		{Path: "/client-leaves", Handler: func(_ http.ResponseWriter, r *http.Request) { e.entered <- struct{}{}; <-r.Context().Done() }},
	}
}

// ending is how the client of a request saw it end, or how a record says so.
type ending struct {
	label  string // under which it is counted
	sent   string // the status that was sent, if any
	failed bool
	bytes  int
}

// The access log, the trace and both kinds of metrics contain the outcome that the client
// saw, for each kind of fault over each protocol, and for requests that end
// without one.
func TestRecordsAgreeWithTheClient(t *testing.T) {
	collector, e := otlptest.Start(t), &endings{entered: make(chan struct{})}
	var text strings.Builder
	rule := func(match, what string) string { // returns the name
		name := fmt.Sprint("r", strings.Count(text.String(), "\n"))
		fmt.Fprintf(&text, "- { name: %s, match: { %s, headers: { x: %[1]s } }, %[3]s }\n", name, match, what)
		return "faults/" + name
	}
	type request struct{ what, path, proto string }
	requests, calls := map[string]request{}, map[string]string{} // by fault
	for proto, scope := range map[string]scenario.Scope{"HTTP/1.1": scenario.HTTPRequests, "HTTP/2.0": scenario.HTTPRequests, "WebSocket": scenario.WebSockets} {
		path, more := "/a", []string{"delay: 1ms", "at: after, fault: {reset: true}", "at: after, fault: {status: 504}", "fault: {truncate: 3, reset: true}", "fault: {status: 599}"}
		if scope == scenario.WebSockets {
			path, more = "/ws/echo", []string{"delay: 1ms"}
		}
		for _, k := range scenario.Kinds(scope) {
			more = append(more, fmt.Sprintf("fault: {%s: %s}", k.Name, k.Example))
		}
		for _, what := range more {
			requests[rule("path: "+path, what)] = request{what, path, proto}
		}
		if scope == scenario.HTTPRequests {
			for _, rt := range e.Routes() {
				requests[rule("path: "+rt.Path, "delay: 1ms")] = request{"no fault", rt.Path, proto}
			}
		}
	}
	for _, k := range scenario.Kinds(scenario.GRPCCalls) {
		what := fmt.Sprintf("fault: {%s: %s}", k.Name, strings.Replace(k.Example, "REFUSED_STREAM", "INTERNAL_ERROR", 1)) // clients repeat a refused call
		calls[rule("grpc: '*'", what)] = what
	}

	counts := new(metrics.Module)
	env := rules("rules:\n" + text.String())
	env["OTEL_EXPORTER_OTLP_ENDPOINT"], env["OTEL_LOGS_EXPORTER"] = "http://"+collector.GRPC, "none"
	env["OTEL_METRICS_EXPORTER"] = "otlp"
	s := grpctest.Serve(t, env, new(recovery.Module), &tracing.Module{ServiceName: "svc"}, counts, new(accesslog.Module), new(faults.Module), new(endpoint), e, new(wsecho.Module), new(grpctest.Service))
	h1, h2 := httptest.NewServer(s.App), httptest.NewUnstartedServer(s.App)
	h2.EnableHTTP2 = true
	h2.StartTLS()
	defer h1.Close()
	defer h2.Close()

	saw, counted := map[string]ending{}, map[string]int{}
	for name, q := range requests {
		srv := h1
		if q.proto == "HTTP/2.0" {
			srv = h2
		}
		saw[name] = send(t, srv, q.path, q.proto, strings.TrimPrefix(name, "faults/"), q.what, e)
		counted[fmt.Sprintf("http_requests_total{status=%q}", saw[name].label)]++
	}
	codes := map[string]string{}
	for name := range calls {
		ctx, cancel := context.WithCancel(t.Context())
		if strings.Contains(calls[name], "hang") {
			e.leave.Store(name, cancel)
		}
		err := s.Call(metadata.AppendToOutgoingContext(ctx, "x", strings.TrimPrefix(name, "faults/")), "UnaryCall")
		cancel()
		codes[name] = status.Code(err).String()
		counted[fmt.Sprintf("grpc_code=%q}", codes[name])]++
	}
	h1.Close()
	h2.Close()
	e.calls.Wait()                            // a client that has left does not wait for the end
	must(t, s.App.Stop(context.Background())) // flushes all records

	logged, loggedCodes, classes := map[string]ending{}, map[string]string{}, map[string]string{}
	for line := range strings.SplitSeq(s.Log.String(), "\n") {
		var entry struct {
			Fault, Code   string
			Status, Bytes int
			Class         string `json:"error_type"`
		}
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Fault == "" {
			continue
		}
		classes[entry.Fault] = entry.Class
		if loggedCodes[entry.Fault] = entry.Code; entry.Code == "" {
			delete(loggedCodes, entry.Fault)
			logged[entry.Fault] = ending{label: fmt.Sprint(entry.Status), failed: entry.Status >= 500, bytes: entry.Bytes}
		}
	}
	for name, e := range saw {
		q, l := requests[name], logged[name]
		l.sent = e.sent // the log has only the label
		if requests[name].path == "/early-panic" {
			l.bytes = e.bytes // the response is written after the log line
		}
		if e != l {
			t.Errorf("%s, %s over %s: the client saw %+v, the access log has %+v", q.what, q.path, q.proto, e, l)
		}
		if broken := e.failed && e.sent != e.label; broken != (classes[name] != "") {
			t.Errorf("%s, %s over %s: the client saw %+v, the access log has the class %q", q.what, q.path, q.proto, e, classes[name])
		}
	}
	if diff := gocmp.Diff(codes, loggedCodes); diff != "" {
		t.Errorf("the access log: %s", diff)
	}

	spans := 0
	for _, span := range collector.Spans() {
		for _, event := range span.Events {
			if event.Attributes["podinfo.fault"] == nil { // a panic
				continue
			}
			name := fmt.Sprint(event.Attributes["podinfo.fault"])
			spans++
			e, ok := saw[name]
			if !ok { // a call
				served := codes[name] == "OK" || codes[name] == "Canceled" // by the client
				class, sent := classes[name], span.Attributes["rpc.response.status_code"] != nil
				if kind := span.Attributes["error.type"]; sent != (class == "") || class != "" && kind != class || served != (kind == nil) {
					t.Errorf("%s: the client saw %s, the log has the class %q, the span %v", calls[name], codes[name], class, span.Attributes)
				}
				continue
			}
			var want ending // without the label and the size
			if sent := span.Attributes["http.response.status_code"]; sent != nil {
				want.sent = fmt.Sprint(sent)
			}
			kind := span.Attributes["error.type"]
			want.failed = kind != nil
			if got := (ending{sent: e.sent, failed: e.failed}); got != want {
				t.Errorf("%+v: the client saw %+v, the span has %+v", requests[name], got, want)
			}
			if want.failed && kind != cmp.Or(classes[name], e.sent) {
				t.Errorf("%+v: the span's error.type is %v, the log's %q", requests[name], kind, classes[name])
			}
		}
	}
	if n := len(saw) + len(codes); spans != n {
		t.Errorf("%d of %d spans", spans, n)
	}

	measured, exported := map[string]uint64{}, map[string]uint64{} // requests by status that was sent, and error.type
	for name, e := range saw {
		kind := classes[name]
		if e.failed {
			kind = cmp.Or(kind, e.sent)
		}
		measured[e.sent+" "+kind]++
	}
	for _, m := range collector.Metrics() {
		if m.Name != "http.server.request.duration" {
			continue
		}
		for _, p := range m.GetHistogram().GetDataPoints() {
			var sent, kind string
			for _, kv := range p.Attributes {
				switch kv.Key {
				case "http.response.status_code":
					sent = fmt.Sprint(kv.Value.GetIntValue())
				case "error.type":
					kind = kv.Value.GetStringValue()
				}
			}
			exported[sent+" "+kind] += p.Count
		}
	}
	if diff := gocmp.Diff(measured, exported); diff != "" {
		t.Errorf("the OTLP metrics: %s", diff)
	}

	rec := httptest.NewRecorder()
	counts.MetricsPageHandler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	page := rec.Body.String()
	for series, n := range counted {
		if line := fmt.Sprintf("%s %d\n", series, n); !strings.Contains(page, line) {
			t.Errorf("no %s in the metrics", line)
		}
	}
	for name := range classes {
		if line := fmt.Sprintf("podinfo_faults_injected_total{fault=%q} 1\n", name); !strings.Contains(page, line) {
			t.Errorf("no %s in the metrics", line)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

// send sends a request that a rule hits, and returns how the client saw it end.
func send(t *testing.T, srv *httptest.Server, path, proto, rule, what string, e *endings) ending {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	method := "POST" // is not retried
	if proto == "WebSocket" {
		method = "GET"
	}
	req, err := http.NewRequestWithContext(ctx, method, srv.URL+path, nil)
	must(t, err)
	req.Header.Set("x", rule)
	if proto == "WebSocket" {
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OTAxMjM0NQ=="} {
			req.Header.Set(name, value)
		}
		srv.Client().CloseIdleConnections() // a request on a new connection is not retried
	}
	if strings.Contains(what, "hang") { // until the client leaves
		e.leave.Store("faults/"+rule, leave)
	}
	if path == "/client-leaves" {
		go func() { <-e.entered; leave() }()
	}
	res, err := srv.Client().Do(req)
	switch {
	case ctx.Err() != nil:
		return ending{label: "499"}
	case err != nil:
		return ending{label: "599", failed: true}
	}
	defer res.Body.Close()
	got := ending{label: strconv.Itoa(res.StatusCode), failed: res.StatusCode >= 500}
	got.sent = got.label
	if res.StatusCode == http.StatusSwitchingProtocols {
		return got
	}
	if res.Proto != proto && proto != "WebSocket" {
		t.Errorf("%s, want %s", res.Proto, proto)
	}
	n, err := io.Copy(io.Discard, res.Body)
	if got.bytes = int(n); err != nil {
		got.label, got.failed = "599", true
	}
	return got
}
