package tracing_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

const (
	traceID  = "5759e988bd862e3fe1be46a994272793"
	parentID = "53ce929d0e0e4736"
)

// incoming holds the headers of one trace in each format.
var incoming = map[string][]string{
	"tracecontext": {"Traceparent", "00-" + traceID + "-" + parentID + "-01"},
	"b3":           {"B3", traceID + "-" + parentID + "-1"},
	"b3 multi":     {"X-B3-Traceid", traceID, "X-B3-Spanid", parentID, "X-B3-Sampled", "1"},
	"jaeger":       {"Uber-Trace-Id", traceID + ":" + parentID + ":0:1"},
	"ottrace":      {"Ot-Tracer-Traceid", traceID[16:], "Ot-Tracer-Spanid", parentID, "Ot-Tracer-Sampled", "true"},
	"xray":         {"X-Amzn-Trace-Id", "Root=1-" + traceID[:8] + "-" + traceID[8:] + ";Parent=" + parentID + ";Sampled=1"},
}

// backend records the headers of the last request.
type backend struct {
	*httptest.Server
	mu     sync.Mutex
	header http.Header
}

func newBackend(t *testing.T) *backend {
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.header = r.Header.Clone()
		b.mu.Unlock()
		switch r.URL.Path {
		case "/missing":
			w.WriteHeader(404)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("part"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		default:
			w.Write([]byte("hello"))
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func TestPropagators(t *testing.T) {
	all := "tracecontext,baggage,b3,jaeger,ottrace,xray"
	for _, c := range []struct {
		configured string // "" is the default
		sent       string
		carried    bool
		passed     string // names of the headers that reach the backend, sorted
	}{
		{"", "tracecontext", true, "B3 Ot-Tracer-Sampled Ot-Tracer-Spanid Ot-Tracer-Traceid Traceparent Uber-Trace-Id X-Amzn-Trace-Id"},
		{"", "b3", true, ""}, {"", "b3 multi", true, ""}, {"", "jaeger", true, ""}, {"", "ottrace", true, ""}, {"", "xray", true, ""},
		{all, "b3 multi", true, "B3 Ot-Tracer-Sampled Ot-Tracer-Spanid Ot-Tracer-Traceid Traceparent Uber-Trace-Id X-Amzn-Trace-Id"},
		{"tracecontext", "tracecontext", true, "Traceparent"},
		{"tracecontext", "jaeger", false, "Traceparent Uber-Trace-Id"}, // an unknown format is passed on unchanged
		{"b3", "b3", true, "B3"},
		{"b3", "b3 multi", true, "B3"},
		{"b3multi", "b3", true, "X-B3-Sampled X-B3-Spanid X-B3-Traceid"},
		{"b3multi", "b3 multi", true, "X-B3-Sampled X-B3-Spanid X-B3-Traceid"},
		{"jaeger", "jaeger", true, "Uber-Trace-Id"},
		{"ot", "ottrace", true, "Ot-Tracer-Sampled Ot-Tracer-Spanid Ot-Tracer-Traceid"},
		{"xray", "xray", true, "X-Amzn-Trace-Id"},
		{"xray,b3", "tracecontext", false, "B3 Traceparent X-Amzn-Trace-Id"},
		{"none", "tracecontext", false, "Traceparent"},
	} {
		collector, b := otlptest.Start(t), newBackend(t)
		s := serve(t, collector, map[string]string{"OTEL_PROPAGATORS": c.configured}, &app{backend: b.URL})
		registrytest.Send(t, "GET", s.URL+"/call", incoming[c.sent]...)
		stop(t, s)
		name := c.configured + " given " + c.sent
		spans := byKind(collector)
		server, client := spans[tracepb.Span_SPAN_KIND_SERVER], spans[tracepb.Span_SPAN_KIND_CLIENT]
		wantTrace := traceID
		if c.sent == "ottrace" { // 64 bits
			wantTrace = strings.Repeat("0", 16) + traceID[16:]
		}
		if carried := server.Trace == wantTrace && server.Parent == parentID; carried != c.carried {
			t.Errorf("%s: trace %s, parent %s", name, server.Trace, server.Parent)
		}
		if client.Trace != server.Trace || client.Parent != server.ID {
			t.Errorf("%s: the client span is %s below %s, want %s below %s", name, client.Trace, client.Parent, server.Trace, server.ID)
		}
		var passed []string
		for k, v := range b.header {
			if slices.Contains([]string{"User-Agent", "Accept-Encoding", "Connection"}, k) {
				continue
			}
			passed = append(passed, k)
			joined := strings.Join(v, ",")
			own := strings.Contains(joined, client.ID)
			if k == "Ot-Tracer-Sampled" || k == "X-B3-Sampled" {
				own = joined == "true" || joined == "1"
			}
			if k == "Ot-Tracer-Traceid" || k == "X-B3-Traceid" {
				own = strings.HasSuffix(client.Trace, joined)
			}
			if !own && (c.carried || c.sent != "jaeger" && c.sent != "tracecontext") {
				t.Errorf("%s: %s: %q does not name %s", name, k, joined, client.ID)
			}
		}
		slices.Sort(passed)
		if got := strings.Join(passed, " "); c.passed != "" && got != c.passed {
			t.Errorf("%s: passed on %s, want %s", name, got, c.passed)
		}
	}
}

func byKind(c *otlptest.Collector) map[tracepb.Span_SpanKind]otlptest.Span {
	out := map[tracepb.Span_SpanKind]otlptest.Span{}
	for _, s := range c.Spans() {
		out[s.Kind] = s
	}
	return out
}

func TestBaggage(t *testing.T) {
	collector, b := otlptest.Start(t), newBackend(t)
	s := serve(t, collector, nil, &app{backend: b.URL})
	registrytest.Send(t, "GET", s.URL+"/call", "Baggage", "user=a,tier=b")
	stop(t, s)
	if got := b.header.Get("Baggage"); !strings.Contains(got, "user=a") || !strings.Contains(got, "tier=b") {
		t.Errorf("%q", got)
	}
}

// TestSeveralFormats checks that the last format of OTEL_PROPAGATORS wins.
func TestSeveralFormats(t *testing.T) {
	collector := otlptest.Start(t)
	s := serve(t, collector, nil, new(app))
	registrytest.Send(t, "GET", s.URL+"/", append([]string{"Traceparent", "00-" + strings.Repeat("a", 32) + "-" + strings.Repeat("b", 16) + "-01"}, incoming["xray"]...)...)
	registrytest.Send(t, "GET", s.URL+"/", "Traceparent", "nonsense", "B3", "x", "Uber-Trace-Id", ":", "X-Amzn-Trace-Id", ";;", "Ot-Tracer-Traceid", "z", "Baggage", "=")
	stop(t, s)
	got := collector.Spans()
	if len(got) != 2 || got[0].Trace != traceID || got[1].Parent != "" {
		t.Errorf("%+v", got)
	}
}

func TestClientSpans(t *testing.T) {
	b := newBackend(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	host, port, _ := strings.Cut(b.Listener.Addr().String(), ":")
	for _, c := range []struct {
		method, backend, query string
		name                   string
		more                   otlptest.Attributes
		failed                 bool
	}{
		{"GET", b.URL + "/hello", "", "GET", otlptest.Attributes{"http.response.status_code": int64(200), "url.full": b.URL + "/hello?", "network.protocol.version": "1.1"}, false},
		{"POST", "http://user:pass@" + b.Listener.Addr().String() + "/hello", "token=x", "POST", otlptest.Attributes{
			"http.response.status_code": int64(200), "network.protocol.version": "1.1",
			"url.full": "http://REDACTED:REDACTED@" + b.Listener.Addr().String() + "/hello?token=REDACTED",
		}, false},
		{"BREW", b.URL + "/missing", "", "HTTP", otlptest.Attributes{
			"http.request.method": "_OTHER", "http.request.method_original": "BREW", "error.type": "404",
			"http.response.status_code": int64(404), "url.full": b.URL + "/missing?", "network.protocol.version": "1.1",
		}, true},
		{"GET", b.URL + "/cut", "", "GET", otlptest.Attributes{
			"http.response.status_code": int64(200), "error.type": "connection_closed", "url.full": b.URL + "/cut?", "network.protocol.version": "1.1",
		}, true},
		{"GET", gone.URL, "", "GET", otlptest.Attributes{"error.type": "connection_refused", "url.full": gone.URL + "?", "server.port": number(t, gone.URL[strings.LastIndexByte(gone.URL, ':')+1:])}, true},
	} {
		collector := otlptest.Start(t)
		s := serve(t, collector, nil, &app{backend: c.backend})
		registrytest.Send(t, c.method, s.URL+"/call?"+c.query)
		stop(t, s)
		want := otlptest.Attributes{"http.request.method": c.method, "server.address": host, "server.port": number(t, port)}
		for k, v := range c.more {
			want[k] = v
		}
		got := byKind(collector)[tracepb.Span_SPAN_KIND_CLIENT]
		if diff := cmp.Diff(want, got.Attributes); diff != "" || got.Name != c.name || (got.Status == tracepb.Status_STATUS_CODE_ERROR) != c.failed {
			t.Errorf("%s %s: %q %v %s", c.method, c.backend, got.Name, got.Status, diff)
		}
	}
}

func TestDatabaseSpan(t *testing.T) {
	for _, c := range []struct {
		err         error
		code, class string
	}{
		{},
		{errors.New("the key is 7"), "", "_OTHER"},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), "", "connection_refused"},
		{errors.New("OOM command not allowed"), "OOM", "OOM"},
	} {
		collector := otlptest.Start(t)
		s := serve(t, collector, nil, new(app))
		tracer := s.App.Get("tracing").(*tracing.Module)
		outer, endOuter := tracer.DatabaseSpan(t.Context(), capability.DatabaseOperation{System: "redis", Name: "MULTI"})
		ctx, end := tracer.DatabaseSpan(outer, capability.DatabaseOperation{System: "redis", Namespace: "3", Name: "GET", Server: "[::1]:6379"})
		if trace, span, sampled := tracer.RequestTrace(ctx); trace == "" || span == "" || !sampled {
			t.Error("no trace")
		}
		end(c.err, c.code)
		endOuter(nil, "")
		stop(t, s)
		want := otlptest.Attributes{"db.system.name": "redis", "db.namespace": "3", "db.operation.name": "GET", "server.address": "::1", "server.port": int64(6379)}
		if c.class != "" {
			want["error.type"] = c.class
		}
		if c.code != "" {
			want["db.response.status_code"] = c.code
		}
		got := collector.Spans()
		if len(got) != 2 || got[0].Name != "GET" || got[0].Parent != got[1].ID || got[0].Kind != tracepb.Span_SPAN_KIND_CLIENT {
			t.Fatalf("%+v", got)
		}
		if diff := cmp.Diff(want, got[0].Attributes); diff != "" || (got[0].Status == tracepb.Status_STATUS_CODE_ERROR) != (c.err != nil) {
			t.Errorf("%v %s", got[0].Status, diff)
		}
	}
}

// FuzzExtract checks that no headers of a client make OpenTelemetry call its
// global error handler, which writes to standard error.
func FuzzExtract(f *testing.F) {
	f.Add("00-"+traceID+"-"+parentID+"-01", "a=b", traceID+"-"+parentID+"-1", traceID+":"+parentID+":0:1", parentID, "x")
	f.Add("", "=", "", "", parentID, "\xff")
	f.Add("", "a=%ff,b=c", "0", "::", parentID, "%zz")
	var handled atomic.Value
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { handled.Store(err.Error()) }))
	a, err := registry.New([]registry.Module{&tracing.Module{ServiceName: "a"}, new(app)}, registry.Env(map[string]string{"PODINFO_TRACING_ENABLED": "true"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, traceparent, bag, b3, uber, ot, otBag string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = http.Header{
			"Traceparent": {traceparent}, "Tracestate": {bag}, "Baggage": {bag, otBag}, "B3": {b3}, "X-B3-Traceid": {b3}, "Uber-Trace-Id": {uber},
			"Ot-Tracer-Traceid": {ot}, "Ot-Tracer-Spanid": {ot}, "Ot-Baggage-" + bag: {otBag}, "X-Amzn-Trace-Id": {uber},
		}
		a.ServeHTTP(httptest.NewRecorder(), r)
		if e := handled.Load(); e != nil {
			t.Fatal(e)
		}
	})
}
