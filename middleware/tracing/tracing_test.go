package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app has a route for each thing that the exported telemetry shows.
type app struct {
	host    *registry.Host
	faults  fault.Observers
	wrap    []wrapper
	backend string // URL that /call calls

	transport *http.Transport
	client    *http.Client
}

// wrapper is the capability that endpoints with backends look for.
type wrapper interface {
	TraceTransport(http.RoundTripper) http.RoundTripper
}

func (*app) Info() registry.Info { return registry.Info{Name: "app"} }

func (a *app) Provision(h *registry.Host) error {
	a.host, a.faults, a.wrap = h, fault.ObserversOf(h), registry.All(h, registry.Capability[wrapper]{})
	return nil
}

func (a *app) Start(context.Context) error {
	a.transport = &http.Transport{}
	rt := http.RoundTripper(a.transport)
	for _, w := range a.wrap {
		rt = w.TraceTransport(rt)
	}
	a.client = &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return nil
}

func (a *app) Stop(context.Context) error { a.transport.CloseIdleConnections(); return nil }

func (a *app) Routes() []registry.Route {
	return []registry.Route{
		{Path: "/", Handler: func(http.ResponseWriter, *http.Request) {}},
		{Path: "/status/{code}", Handler: func(w http.ResponseWriter, r *http.Request) {
			var code int
			fmt.Sscan(r.PathValue("code"), &code)
			r.URL.Path = "/changed"
			r.Header.Set("User-Agent", "changed")
			w.WriteHeader(code)
		}},
		{Method: "GET", Path: "/get", Handler: func(http.ResponseWriter, *http.Request) {}},
		{Path: "/panic", Handler: func(http.ResponseWriter, *http.Request) { panic("on purpose") }},
		{Path: "/faults", Handler: func(_ http.ResponseWriter, r *http.Request) { a.faults.Report(r.Context(), "delay") }},
		{Path: "/log/{level}", Handler: func(_ http.ResponseWriter, r *http.Request) {
			level, err := logrus.ParseLevel(r.PathValue("level"))
			if err != nil {
				panic(err)
			}
			a.host.Log.WithContext(r.Context()).WithField("n", 7).WithField("took", 1500*time.Millisecond).WithError(errors.New("broken")).Log(level, "said")
		}},
		{Path: "/call", Handler: a.call},
	}
}

// call calls the backend and passes its response on.
func (a *app) call(w http.ResponseWriter, r *http.Request) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, a.backend+"?"+r.URL.RawQuery, nil)
	if err != nil {
		panic(err)
	}
	req.Header = r.Header.Clone()
	res, err := a.client.Do(req)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	io.Copy(w, res.Body)
}

// serve starts mods and a tracing module that exports to collector. env holds
// OTEL_* variables and variables of the App.
func serve(t testing.TB, collector *otlptest.Collector, env map[string]string, mods ...registry.Module) *registrytest.Server {
	t.Helper()
	vars := map[string]string{"PODINFO_OTEL_SERVICE_NAME": "svc"}
	if collector != nil {
		vars["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://" + collector.GRPC
	}
	maps.Copy(vars, env)
	return registrytest.Serve(t, vars, append([]registry.Module{new(recovery.Module), new(tracing.Module)}, mods...)...)
}

// stop stops the server, which exports everything that is queued.
func stop(t testing.TB, s *registrytest.Server) {
	t.Helper()
	s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.App.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// said returns the records of the lines that /log logs.
func said(c *otlptest.Collector) []otlptest.Record {
	return slices.DeleteFunc(c.Records(), func(r otlptest.Record) bool { return r.Body != "said" })
}

func TestServerSpans(t *testing.T) {
	for _, c := range []struct {
		method, path string
		name, route  string
		status       int64
		more         otlptest.Attributes
		code         tracepb.Status_StatusCode
	}{
		{"GET", "/p/status/204", "GET /p/status/{code}", "/p/status/{code}", 204, nil, 0},
		{"POST", "/p/status/404", "POST /p/status/{code}", "/p/status/{code}", 404, nil, 0},
		{"PUT", "/p/status/503", "PUT /p/status/{code}", "/p/status/{code}", 503, otlptest.Attributes{"error.type": "503"}, tracepb.Status_STATUS_CODE_ERROR},
		{"DELETE", "/p/panic", "DELETE /p/panic", "/p/panic", 500, otlptest.Attributes{"error.type": "500"}, tracepb.Status_STATUS_CODE_ERROR},
		{"HEAD", "/p/get", "HEAD /p/get", "/p/get", 200, nil, 0},
		{"BREW", "/p/status/418", "HTTP /p/status/{code}", "/p/status/{code}", 418, otlptest.Attributes{"http.request.method": "_OTHER", "http.request.method_original": "BREW"}, 0},
		{"GET", "/p/", "GET /p", "/p", 200, nil, 0},
		{"GET", "/p?a=1&token=x&sig=y&b", "GET /p", "/p", 200, otlptest.Attributes{"url.query": "a=1&token=REDACTED&sig=REDACTED&b"}, 0},
		{"GET", "/nowhere", "GET", "", 404, nil, 0},
		{"QUERY", "/nowhere", "QUERY", "", 404, otlptest.Attributes{"http.request.method": "QUERY"}, 0},
		{"BREW", "/nowhere", "HTTP", "", 404, otlptest.Attributes{"http.request.method": "_OTHER", "http.request.method_original": "BREW"}, 0},
		{"POST", "/p/get", "POST", "", 405, nil, 0},
	} {
		collector := otlptest.Start(t)
		s := serve(t, collector, map[string]string{"PODINFO_PREFIX": "/p"}, new(app))
		registrytest.Send(t, c.method, s.URL+c.path)
		stop(t, s)
		path, _, _ := strings.Cut(c.path, "?")
		host, port, _ := strings.Cut(s.Listener.Addr().String(), ":")
		want := otlptest.Span{
			Attributes: otlptest.Attributes{
				"http.request.method": c.method, "url.path": path, "url.scheme": "http", "http.response.status_code": c.status,
				"server.address": host, "server.port": number(t, port), "client.address": "127.0.0.1", "network.peer.address": "127.0.0.1", "user_agent.original": "test", "network.protocol.version": "1.1",
			},
			Name: c.name, Kind: tracepb.Span_SPAN_KIND_SERVER, Status: c.code,
		}
		if c.route != "" {
			want.Attributes["http.route"] = c.route
		}
		maps.Copy(want.Attributes, c.more)
		got := collector.Spans()
		for i := range got {
			if len(got[i].Trace) != 32 || len(got[i].ID) != 16 {
				t.Errorf("%q %q", got[i].Trace, got[i].ID)
			}
			if port, _ := got[i].Attributes["network.peer.port"].(int64); port == 0 {
				t.Errorf("%s %s: no port of the client", c.method, c.path)
			}
			delete(got[i].Attributes, "network.peer.port")
			got[i].Trace, got[i].ID, got[i].Events = "", "", nil
			got[i].Resource = nil
		}
		if diff := cmp.Diff([]otlptest.Span{want}, got); diff != "" {
			t.Errorf("%s %s: %s", c.method, c.path, diff)
		}
	}
}

func number(t *testing.T, s string) (n int64) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSpanOverTLS checks the scheme of a request over TLS.
func TestSpanOverTLS(t *testing.T) {
	collector := otlptest.Start(t)
	s := serve(t, collector, nil, new(app))
	secure := httptest.NewTLSServer(s.App)
	defer secure.Close()
	res, err := secure.Client().Get(secure.URL + "/get")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	secure.Client().CloseIdleConnections()
	stop(t, s)
	if got := collector.Spans(); len(got) != 1 || got[0].Attributes["url.scheme"] != "https" {
		t.Errorf("%+v", got)
	}
}

func TestSamplers(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	parents := map[string]string{"none": "", "sampled": "00-" + trace + "-" + span + "-01", "unsampled": "00-" + trace + "-" + span + "-00"}
	for _, c := range []struct{ name, arg, sampled string }{
		{"", "", "none,sampled"},
		{"always_on", "", "none,sampled,unsampled"},
		{"always_off", "", ""},
		{"traceidratio", "0", ""},
		{"traceidratio", "1", "none,sampled,unsampled"},
		{"parentbased_always_on", "", "none,sampled"},
		{"parentbased_always_off", "", "sampled"},
		{"parentbased_traceidratio", "0", "sampled"},
		{"parentbased_traceidratio", "", "none,sampled"},
	} {
		var got []string
		for _, parent := range slices.Sorted(maps.Keys(parents)) {
			collector := otlptest.Start(t)
			s := serve(t, collector, map[string]string{"OTEL_TRACES_SAMPLER": c.name, "OTEL_TRACES_SAMPLER_ARG": c.arg}, new(app))
			if parents[parent] == "" {
				registrytest.Send(t, "GET", s.URL+"/")
			} else {
				registrytest.Send(t, "GET", s.URL+"/", "traceparent", parents[parent])
			}
			stop(t, s)
			if len(collector.Spans()) > 0 {
				got = append(got, parent)
			}
		}
		if strings.Join(got, ",") != c.sampled {
			t.Errorf("%s %s: sampled %v, want %s", c.name, c.arg, got, c.sampled)
		}
	}
}

func TestRatio(t *testing.T) {
	collector := otlptest.Start(t)
	s := serve(t, collector, map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, new(app))
	const n = 1000
	for range n {
		s.App.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}
	stop(t, s)
	if got := len(collector.Spans()); got < n/2-100 || got > n/2+100 { // six standard deviations
		t.Errorf("%d of %d sampled", got, n)
	}
}

func TestFaults(t *testing.T) {
	collector := otlptest.Start(t)
	s := serve(t, collector, nil, new(app))
	registrytest.Send(t, "GET", s.URL+"/faults")
	stop(t, s)
	want := []otlptest.Event{{Name: "fault injected", Attributes: otlptest.Attributes{"podinfo.fault": "delay"}}}
	if got := collector.Spans(); len(got) != 1 || !cmp.Equal(want, got[0].Events) {
		t.Errorf("%+v", got)
	}
}

func TestAccessLogHasTheTrace(t *testing.T) {
	collector := otlptest.Start(t)
	s := serve(t, collector, nil, new(accesslog.Module), new(app))
	registrytest.Send(t, "GET", s.URL+"/get")
	stop(t, s)
	spans := collector.Spans()
	if len(spans) != 1 || !strings.Contains(s.Log.String(), `"trace_id":"`+spans[0].Trace+`","span_id":"`+spans[0].ID+`"`) {
		t.Errorf("%+v %s", spans, s.Log)
	}
}

// TestTwoApps checks that each App exports to its own collector.
func TestTwoApps(t *testing.T) {
	one, two := otlptest.Start(t), otlptest.Start(t)
	a := serve(t, one, map[string]string{"PODINFO_OTEL_SERVICE_NAME": "one"}, new(app))
	b := serve(t, two, map[string]string{
		"PODINFO_OTEL_SERVICE_NAME": "two", "OTEL_EXPORTER_OTLP_ENDPOINT": two.HTTP, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
	}, new(app))
	for range 3 {
		registrytest.Send(t, "GET", a.URL+"/log/info")
	}
	for range 5 {
		registrytest.Send(t, "GET", b.URL+"/log/info")
	}
	stop(t, a)
	stop(t, b)
	for _, c := range []struct {
		*otlptest.Collector
		name string
		n    int
	}{{one, "one", 3}, {two, "two", 5}} {
		spans, records := c.Spans(), said(c.Collector)
		if len(spans) != c.n || len(records) != c.n {
			t.Errorf("%s: %d spans and %d records, want %d", c.name, len(spans), len(records), c.n)
		}
		for _, s := range spans {
			if s.Resource["service.name"] != c.name {
				t.Errorf("%s has a span of %s", c.name, s.Resource["service.name"])
			}
		}
	}
}

func TestSwitch(t *testing.T) {
	for _, c := range []struct {
		vars, environ string
		want          registry.State
	}{
		{"", "", registry.Off},
		{"", "OTEL_SERVICE_NAME=b", registry.Off},
		{"PODINFO_OTEL_SERVICE_NAME=a", "", registry.On},
		{"PODINFO_TRACING_ENABLED=true", "", registry.On},
		{"", "OTEL_EXPORTER_OTLP_ENDPOINT=http://x", registry.On},
		{"", "OTEL_TRACES_EXPORTER=otlp", registry.On},
		{"PODINFO_TRACING_ENABLED=false", "OTEL_TRACES_EXPORTER=otlp", registry.Off},
		{"", "OTEL_TRACES_EXPORTER=otlp OTEL_SDK_DISABLED=true", registry.Off},
	} {
		a, err := registry.New([]registry.Module{new(tracing.Module)}, registry.Env(registrytest.Vars(c.vars)), registry.Environ(registrytest.Environ(registrytest.Vars(c.environ))))
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Modules()[0].State; got != c.want {
			t.Errorf("%s %s: %v, want %v", c.vars, c.environ, got, c.want)
		}
	}
}
func TestServiceName(t *testing.T) {
	for _, c := range []struct{ vars, want string }{
		{"PODINFO_OTEL_SERVICE_NAME=a OTEL_SERVICE_NAME=b", "a"},
		{"PODINFO_OTEL_SERVICE_NAME= OTEL_SERVICE_NAME=b OTEL_RESOURCE_ATTRIBUTES=service.name=c", "b"},
		{"PODINFO_OTEL_SERVICE_NAME= OTEL_RESOURCE_ATTRIBUTES=service.name=c", "c"},
		{"PODINFO_OTEL_SERVICE_NAME=", "podinfo"},
	} {
		collector := otlptest.Start(t)
		s := serve(t, collector, registrytest.Vars(c.vars), new(app))
		registrytest.Send(t, "GET", s.URL+"/")
		stop(t, s)
		if got := collector.Spans(); len(got) != 1 || got[0].Resource["service.name"] != c.want {
			t.Errorf("%s: %+v", c.vars, got)
		}
	}
}

// TestDisabled checks that OTEL_SDK_DISABLED leaves nothing in the chain.
func TestDisabled(t *testing.T) {
	collector := otlptest.Start(t)
	a := &app{backend: collector.HTTP + "/v1/traces"}
	s := serve(t, collector, map[string]string{"OTEL_SDK_DISABLED": "true"}, a)
	registrytest.Send(t, "GET", s.URL+"/log/info")
	if got := registrytest.Send(t, "POST", s.URL+"/call", "Content-Type", "application/x-protobuf"); got != "" {
		t.Error(got)
	}
	for _, m := range s.App.Mounted() {
		if slices.Contains(m.Chain, "tracing") {
			t.Errorf("%s %v", m.Path, m.Chain)
		}
	}
	stop(t, s)
	if got := len(collector.Spans()) + len(collector.Records()); got != 0 {
		t.Errorf("%d spans and records", got)
	}
	for _, h := range collector.Headers() {
		if len(h["traceparent"]) > 0 {
			t.Errorf("%v", h)
		}
	}
}

// TestBadVariables checks that what the OTEL_* variables say ends no start: it is
// a warning or, if nothing can be exported, an error in the log.
func TestBadVariables(t *testing.T) {
	for _, c := range []struct {
		vars, level, want string
		spans             int
	}{
		{"OTEL_TRACES_SAMPLER=often", "warn", `OTEL_TRACES_SAMPLER=\"often\": want always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio; ignored`, 1},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "warn", `OTEL_EXPORTER_OTLP_PROTOCOL=\"http/json\": want grpc or http/protobuf; ignored`, 1},
		{"OTEL_SDK_DISABLED=1", "warn", `OTEL_SDK_DISABLED=\"1\": want true or false; taken as false`, 1},
		{"OTEL_CONFIG_FILE=otel.yaml", "warn", `OTEL_CONFIG_FILE=\"otel.yaml\": no effect: declarative configuration is not supported; use the other variables`, 1},
		{"OTEL_METRICS_EXPORTER=prometheus", "warn", "OTEL_METRICS_EXPORTER has prometheus, which needs the metrics module: turn it on", 1},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://x:1 OTEL_EXPORTER_OTLP_CERTIFICATE=/none", "error", "telemetry is not exported", 0},
	} {
		collector := otlptest.Start(t)
		s := serve(t, collector, registrytest.Vars(c.vars), new(app))
		registrytest.Send(t, "GET", s.URL+"/get")
		stop(t, s)
		if got := s.Log.String(); strings.Count(got, c.want) != 1 || strings.Count(got, `"level":"`+c.level) != 1 {
			t.Errorf("%s: %s", c.vars, got)
		}
		if got := len(collector.Spans()); got != c.spans {
			t.Errorf("%s: %d spans", c.vars, got)
		}
	}
}

// TestProcessEnvironment checks that the process's variables do not affect an
// App, apart from the names of resource attributes.
func TestProcessEnvironment(t *testing.T) {
	for k, v := range map[string]string{
		"OTEL_SERVICE_NAME": "process", "OTEL_TRACES_SAMPLER": "always_off", "OTEL_BSP_MAX_QUEUE_SIZE": "1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1",
		"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "1", "OTEL_BLRP_MAX_QUEUE_SIZE": "1", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "1",
		"OTEL_PROPAGATORS": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_HEADERS": "a=b", "OTEL_METRICS_EXEMPLAR_FILTER": "always_off",
		"OTEL_SDK_DISABLED": "true", "OTEL_RESOURCE_ATTRIBUTES": "service.version=9,zone=z",
	} {
		t.Setenv(k, v)
	}
	collector := otlptest.Start(t)
	s := serve(t, collector, nil, new(app))
	for range 5 {
		registrytest.Send(t, "GET", s.URL+"/log/info", incoming["tracecontext"]...)
	}
	stop(t, s)
	spans, records := collector.Spans(), said(collector)
	if len(spans) != 5 || len(records) != 5 {
		t.Fatalf("%d spans, %d records", len(spans), len(records))
	}
	if s := spans[0]; s.Trace != traceID || s.Resource["service.name"] != "svc" || s.Resource["service.version"] != "1.2.3" || s.Resource["zone"] != "" || s.Attributes["http.route"] != "/log/{level}" {
		t.Errorf("%+v", s)
	}
	if r := records[0]; len(r.Attributes) != 5 || r.Body != "said" || r.Attributes["exception.message"] != "broken" {
		t.Errorf("%+v", r)
	}
}

func TestLimits(t *testing.T) {
	collector := otlptest.Start(t)
	s := serve(t, collector, map[string]string{
		"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "2", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3", "OTEL_SPAN_EVENT_COUNT_LIMIT": "0", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "1",
	}, new(app))
	registrytest.Send(t, "DELETE", s.URL+"/faults")
	registrytest.Send(t, "GET", s.URL+"/log/info")
	stop(t, s)
	want := otlptest.Attributes{"http.request.method": "DEL", "url.scheme": "htt"}
	spans := collector.Spans()
	if len(spans) != 2 || !cmp.Equal(want, spans[0].Attributes) || len(spans[0].Events) != 0 {
		t.Errorf("%+v", spans)
	}
	if r := said(collector); len(r) != 1 || len(r[0].Attributes) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestOthersDoNotLinkIt checks that packages without this module do not depend
// on OpenTelemetry.
func TestOthersDoNotLinkIt(t *testing.T) {
	const root = "github.com/seed-4591fe7d/podinfo/"
	out, err := exec.Command("go", "list", "-deps", root+"registry", root+"middleware/accesslog", root+"middleware/metrics", root+"endpoints/echo").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), root+"registry\n") || strings.Contains(string(out), "go.opentelemetry.io") {
		t.Errorf("%s", out)
	}
}
