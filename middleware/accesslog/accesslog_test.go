package accesslog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"github.com/urfave/negroni/v3"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app has a route for each way a request can end.
type app struct {
	entered chan struct{} // receives when /wait is called
	host    *registry.Host
	faults  fault.Observers
}

func (*app) Info() registry.Info { return registry.Info{Name: "app"} }

func (a *app) Provision(h *registry.Host) error {
	a.host, a.faults = h, fault.ObserversOf(h)
	return nil
}

func (a *app) Routes() []registry.Route {
	return []registry.Route{
		{Path: "/ok", Handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }},
		{Path: "/item/{id}", Handler: func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path, r.Method, r.RequestURI = "/rewritten", "REWRITTEN", "/rewritten"
			w.WriteHeader(418)
		}},
		{Path: "/quiet", Handler: func(http.ResponseWriter, *http.Request) {}},
		{Path: "/panic", Handler: func(http.ResponseWriter, *http.Request) { panic("on purpose") }},
		{Path: "/impossible", Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(1000) }},
		{Path: "/abort", Handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{Path: "/cut", Handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(206)
			io.WriteString(w, "abc")
			panic(http.ErrAbortHandler)
		}},
		{Path: "/wait", Handler: func(_ http.ResponseWriter, r *http.Request) { a.entered <- struct{}{}; <-r.Context().Done() }},
		{Path: "/slow", Handler: func(_ http.ResponseWriter, r *http.Request) { registry.Sleep(r.Context(), 1500*time.Millisecond) }},
		{Path: "/faults", Handler: func(_ http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
			defer cancel()
			a.faults.Report(ctx, "delay")
			a.faults.Report(ctx, `er"ror`)
		}},
		{Path: "/refused", Handler: func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
			defer cancel()
			record.Refuse(ctx, record.RefusedMemory)
			w.WriteHeader(503)
		}},
		{Path: "/log", Handler: func(_ http.ResponseWriter, r *http.Request) { a.host.Log.WithContext(r.Context()).Info("own line") }},
	}
}

var ids = regexp.MustCompile(`"(ts|remote|duration)":("[^"]+"|[0-9.e-]+)`)

// lines returns the logged lines, without the values that differ in each run.
func lines(log *registrytest.Log) []string {
	var out []string
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, `"seed"`) {
			out = append(out, strings.TrimSpace(ids.ReplaceAllString(line, `"$1":…`)))
		}
	}
	return out
}

const (
	trace  = "0af7651916cd43dd8448eb211c80319c"
	parent = "00-" + trace + "-b7ad6b7169203331-01"
)

func TestLines(t *testing.T) {
	for _, c := range []struct {
		method, path string
		headers      []string
		want         string
	}{
		{"GET", "/ok?a=1&b=%22", nil, `"uri":"/ok?a=1&b=%22","method":"GET","remote":…,"user-agent":"test","route":"/ok","status":200,"bytes":5,"duration":…}`},
		{"GET", "/ok?a=1&token=x&X-Amz-Signature=y&b", nil, `"uri":"/ok?a=1&token=REDACTED&X-Amz-Signature=REDACTED&b","method":"GET","remote":…,"user-agent":"test","route":"/ok","status":200,"bytes":5,"duration":…}`},
		{"HEAD", "/ok", nil, `"uri":"/ok","method":"HEAD","remote":…,"user-agent":"test","route":"/ok","status":200,"bytes":0,"duration":…}`},
		{"PUT", "/item/7", []string{"User-Agent", "second"}, `"uri":"/item/7","method":"PUT","remote":…,"user-agent":"test","route":"/item/{id}","status":418,"bytes":0,"duration":…}`},
		{"GET", "/quiet", nil, `"uri":"/quiet","method":"GET","remote":…,"user-agent":"test","route":"/quiet","status":200,"bytes":0,"duration":…}`},
		{"GET", "/panic", nil, `"uri":"/panic","method":"GET","remote":…,"user-agent":"test","route":"/panic","status":500,"bytes":0,"duration":…}`},
		{"GET", "/impossible", nil, `"uri":"/impossible","method":"GET","remote":…,"user-agent":"test","route":"/impossible","status":599,"bytes":0,"error_type":"no_response","duration":…}`},
		{"GET", "/abort", nil, `"uri":"/abort","method":"GET","remote":…,"user-agent":"test","route":"/abort","status":500,"bytes":0,"duration":…}`},
		{"GET", "/cut", nil, `"uri":"/cut","method":"GET","remote":…,"user-agent":"test","route":"/cut","status":599,"bytes":3,"error_type":"truncated","duration":…}`},
		{"GET", "//ok", nil, `"uri":"//ok","method":"GET","remote":…,"user-agent":"test","route":"unmatched","status":301,"bytes":0,"duration":…}`},
		{"GET", "/nowhere", []string{"traceparent", parent}, `"uri":"/nowhere","method":"GET","remote":…,"user-agent":"test","route":"unmatched","status":404,"bytes":48,"duration":…,"trace_id":"` + trace + `"}`},
		{"GET", "/quiet", []string{"traceparent", parent, "traceparent", parent}, `"uri":"/quiet","method":"GET","remote":…,"user-agent":"test","route":"/quiet","status":200,"bytes":0,"duration":…}`},
		{"GET", "/faults", []string{"traceparent", parent}, `"uri":"/faults","method":"GET","remote":…,"user-agent":"test","route":"/faults","status":200,"bytes":0,"duration":…,"fault":"delay,er\"ror","trace_id":"` + trace + `"}`},
		{"GET", "/refused", nil, `"uri":"/refused","method":"GET","remote":…,"user-agent":"test","route":"/refused","status":503,"bytes":0,"duration":…,"refused":"memory"}`},
	} {
		s := registrytest.Serve(t, nil, registrytest.Rescue{}, new(accesslog.Module), new(app))
		registrytest.Send(t, c.method, s.URL+c.path, c.headers...)
		s.Close() // waits for the handlers
		want := []string{`{"level":"debug","ts":…,"msg":"request completed","proto":"HTTP/1.1",` + c.want}
		if diff := cmp.Diff(want, lines(s.Log)); diff != "" {
			t.Errorf("%s %s: %s", c.method, c.path, diff)
		}
	}
}

func TestClientLeft(t *testing.T) {
	a := &app{entered: make(chan struct{})}
	s := registrytest.Serve(t, nil, new(accesslog.Module), a)
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-a.entered; leave() }()
	req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := new(http.Transport).RoundTrip(req); err == nil {
		t.Error("a client that left got a response")
	}
	s.Close()
	if got := lines(s.Log); len(got) != 1 || !strings.Contains(got[0], `"status":499,`) {
		t.Errorf("%q", got)
	}
}

func TestDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, log := registrytest.New(t, nil, new(accesslog.Module), new(app))
		a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/slow", nil))
		if got := log.String(); !strings.Contains(got, `"duration":1.5}`) {
			t.Error(got)
		}
	})
}

func TestLevel(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"", "debug"},
		{"PODINFO_ACCESS_LOG_LEVEL=info", "info"},
		{"PODINFO_ACCESS_LOG_LEVEL=WARN", "warn"},
		{"PODINFO_ACCESS_LOG_LEVEL=error PODINFO_LEVEL=error", "error"},
		{"PODINFO_LEVEL=info", ""},
		{"PODINFO_ACCESS_LOG_LEVEL=info PODINFO_LEVEL=warn", ""},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		a, log := registrytest.New(t, env, new(accesslog.Module), new(app))
		a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/faults", nil))
		got := lines(log)
		if c.want == "" && len(got) != 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], `{"level":"`+c.want+`"`)) {
			t.Errorf("%s: %q", c.env, got)
		}
	}
	for _, level := range []string{"loud", "panic", "fatal", "trace"} {
		_, err := registry.New([]registry.Module{new(accesslog.Module)}, registry.Env(map[string]string{"PODINFO_ACCESS_LOG_LEVEL": level}))
		want := `PODINFO_ACCESS_LOG_LEVEL="` + level + `": want debug, info, warn or error`
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", level, err, want)
		}
	}
	a, log := registrytest.New(t, nil, &accesslog.Module{Level: logrus.InfoLevel}, new(app))
	a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/ok", nil))
	if got := lines(log); len(got) != 1 || !strings.HasPrefix(got[0], `{"level":"info"`) {
		t.Errorf("set in code: %q", got)
	}
}

// TestHandlersLine checks that a line that a handler logs with the request's
// context does not get the access log's fields.
func TestHandlersLine(t *testing.T) {
	a, log := registrytest.New(t, nil, new(accesslog.Module), new(app))
	a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/log", nil))
	if got := lines(log); len(got) != 2 || got[0] != `{"level":"info","ts":…,"msg":"own line","module":"app"}` {
		t.Errorf("%q", got)
	}
}

// tracing is a middleware that starts traces.
type tracing struct{}

type traceKey struct{}

func (tracing) Info() registry.Info { return registry.Info{Name: "tracing", Phase: registry.Observe} }

func (tracing) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(w, r.WithContext(context.WithValue(r.Context(), traceKey{}, r.Header.Get("X-Trace"))))
}

func (tracing) RequestTrace(ctx context.Context) (trace, span string, sampled bool) {
	if trace, _ = ctx.Value(traceKey{}).(string); trace != "" {
		span = "5678"
	}
	return trace, span, true
}

func TestTracer(t *testing.T) {
	a, log := registrytest.New(t, nil, tracing{}, new(accesslog.Module), new(app))
	for _, own := range []string{"", "1234"} {
		r := httptest.NewRequest("GET", "/ok", nil)
		r.Header.Set("Traceparent", parent)
		r.Header.Set("X-Trace", own)
		a.ServeHTTP(httptest.NewRecorder(), r)
	}
	if got := lines(log); len(got) != 2 || !strings.HasSuffix(got[0], `"trace_id":"`+trace+`"}`) || !strings.HasSuffix(got[1], `"trace_id":"1234","span_id":"5678"}`) {
		t.Errorf("%q", got)
	}
}

// TestNested checks that each of two nested servers logs only its own faults.
func TestNested(t *testing.T) {
	inner, innerLog := registrytest.New(t, nil, new(accesslog.Module), new(app))
	gate := &gateway{handler: inner}
	outer, outerLog := registrytest.New(t, nil, new(accesslog.Module), gate)
	outer.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/faults", nil))
	if got := lines(innerLog); len(got) != 1 || !strings.Contains(got[0], `"fault":"delay,er\"ror"`) {
		t.Errorf("inner: %q", got)
	}
	if got := lines(outerLog); len(got) != 1 || !strings.Contains(got[0], `"fault":"outer"`) {
		t.Errorf("outer: %q", got)
	}
}

// gateway forwards requests to another App in the same process.
type gateway struct {
	handler http.Handler
	faults  fault.Observers
}

func (*gateway) Info() registry.Info { return registry.Info{Name: "gateway"} }

func (g *gateway) Provision(h *registry.Host) error { g.faults = fault.ObserversOf(h); return nil }

func (g *gateway) Routes() []registry.Route {
	return []registry.Route{{Path: "/faults", Handler: func(w http.ResponseWriter, r *http.Request) {
		g.faults.Report(r.Context(), "outer")
		g.handler.ServeHTTP(w, r)
	}}}
}

// FuzzLine checks that no input from a client breaks the line.
func FuzzLine(f *testing.F) {
	f.Add("HTTP/1.1", "/a?b", "GET", "curl", parent, "/a/{b}", "delay")
	f.Add("\x00", "/\"}\n{\"level\":\"error\"", "\\", "\xff\u2028", "00-\n", "", "\"")
	f.Fuzz(func(t *testing.T, proto, uri, method, agent, traceparent, pattern, injected string) {
		var log bytes.Buffer
		logger := logrus.New()
		logger.SetOutput(&log)
		logger.SetFormatter(jsonlog.Formatter{})
		m := &accesslog.Module{Level: logrus.InfoLevel}
		if _, err := registry.New([]registry.Module{m}, registry.Logger(logger)); err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Proto: proto, RequestURI: uri, Method: method, RemoteAddr: uri, URL: new(url.URL), Pattern: pattern, Header: http.Header{"User-Agent": {agent}, "Traceparent": {traceparent}}}
		m.ServeHTTP(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) { m.FaultInjected(r.Context(), injected) })
		if bytes.Count(log.Bytes(), []byte("\n")) != 1 {
			t.Errorf("not one line: %q", log.String())
		}
		var got map[string]any
		if err := json.Unmarshal(log.Bytes(), &got); err != nil {
			t.Fatalf("%v: %q", err, log.String())
		}
		for key, sent := range map[string]string{"proto": proto, "uri": uri, "method": method, "remote": uri, "user-agent": agent, "msg": "request completed", "level": "info"} {
			if got[key] != string([]rune(sent)) {
				t.Errorf("%s is %q, sent %q", key, got[key], sent)
			}
		}
		if id, ok := got["trace_id"].(string); ok && !strings.Contains(traceparent, id) {
			t.Errorf("trace_id %q of %q", id, traceparent)
		}
	})
}

// writer discards the response.
type writer struct{ header http.Header }

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) Write(p []byte) (int, error) { return len(p), nil }
func (w *writer) WriteHeader(int)             {}

// direct calls the module without a server around it.
func direct(t testing.TB, level logrus.Level, f logrus.Formatter) func() {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	logger.SetFormatter(f)
	logger.SetLevel(level)
	m := new(accesslog.Module)
	if _, err := registry.New([]registry.Module{m}, registry.Logger(logger)); err != nil {
		t.Fatal(err)
	}
	w, r := negroni.NewResponseWriter(&writer{http.Header{}}), httptest.NewRequest("GET", "/ok?a=1&page=2&sort=name", nil)
	r.Header.Set("User-Agent", "test")
	r.Header.Set("Traceparent", parent)
	next := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }
	return func() { m.ServeHTTP(w, r, next) }
}

// preallocated formats the fields into memory that it has, so that only the
// module's allocations are counted.
type preallocated []byte

func (b preallocated) Format(e *logrus.Entry) ([]byte, error) {
	return e.Context.(jsonlog.Record).AppendJSON(b), nil
}

func TestAllocations(t *testing.T) {
	f := make(preallocated, 0, 4096)
	if n := testing.AllocsPerRun(1000, direct(t, logrus.InfoLevel, f)); n != 0 {
		t.Errorf("off: %v allocations a request", n)
	}
	// The call, the copy of the request that carries it, and logrus's own entry.
	if n := testing.AllocsPerRun(1000, direct(t, logrus.DebugLevel, f)); n > 3 {
		t.Errorf("on: %v allocations a request", n)
	}
}

func BenchmarkOff(b *testing.B) { benchmark(b, logrus.InfoLevel) }
func BenchmarkOn(b *testing.B)  { benchmark(b, logrus.DebugLevel) }

func benchmark(b *testing.B, level logrus.Level) {
	serve := direct(b, level, jsonlog.Formatter{})
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}
