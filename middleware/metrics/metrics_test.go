package metrics_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/urfave/negroni/v3"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app has a route for each way a request can end.
type app struct {
	entered chan struct{} // receives when /wait is called
	faults  fault.Observers
}

func (*app) Info() registry.Info { return registry.Info{Name: "app"} }

func (a *app) Provision(h *registry.Host) error { a.faults = fault.ObserversOf(h); return nil }

func (a *app) Routes() []registry.Route {
	return []registry.Route{
		{Path: "/ok", Handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }},
		{Path: "/item/{id}", Label: "item", Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }},
		{Path: "/quiet", Handler: func(http.ResponseWriter, *http.Request) {}},
		{Path: "/early", Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) }},
		{Path: "/panic", Handler: func(http.ResponseWriter, *http.Request) { panic("on purpose") }},
		{Path: "/impossible", Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(1000) }},
		{Path: "/abort", Handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{Path: "/cut", Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(206); panic(http.ErrAbortHandler) }},
		{Path: "/hijack", Handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			conn.Close()
		}},
		{Path: "/wait", Handler: func(_ http.ResponseWriter, r *http.Request) { a.entered <- struct{}{}; <-r.Context().Done() }},
		{Path: "/fault/{name...}", Handler: func(_ http.ResponseWriter, r *http.Request) {
			a.faults.Report(r.Context(), strings.TrimPrefix(r.PathValue("name"), "/"))
		}},
	}
}

// families parses what m serves, the way Prometheus' own tools do.
func families(t *testing.T, m *metrics.Module) map[string]*dto.MetricFamily {
	t.Helper()
	rec := httptest.NewRecorder()
	m.MetricsPageHandler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if got := rec.Header().Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	return parse(t, rec.Body)
}

func parse(t *testing.T, r io.Reader) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	out, err := parser.TextToMetricFamilies(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// values returns the samples of a family by their labels. The value of a
// histogram is its count.
func values(t *testing.T, f *dto.MetricFamily) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName()+"="+l.GetValue())
		}
		key := strings.Join(labels, " ")
		if _, twice := out[key]; twice {
			t.Errorf("%s{%s} appears twice", f.GetName(), key)
		}
		out[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return out
}

func TestRequests(t *testing.T) {
	m, a := new(metrics.Module), &app{entered: make(chan struct{})}
	s := registrytest.Serve(t, nil, m, registrytest.Rescue{}, a)
	for _, c := range []struct{ method, path string }{
		{"GET", "/ok"}, {"GET", "/ok"}, {"HEAD", "/ok"}, {"BREW", "/ok"}, {"FOOBAR1", "/ok"}, {"other", "/ok"},
		{"PUT", "/item/1"}, {"PUT", "/item/2"},
		{"GET", "/quiet"}, {"GET", "/early"}, {"GET", "/hijack"},
		{"GET", "/panic"}, {"GET", "/impossible"}, {"GET", "/abort"}, {"GET", "/cut"},
		{"GET", "/nowhere"}, {"GET", "/elsewhere/2"}, {"DELETE", "/metrics"}, {"GET", "//ok"},
	} {
		registrytest.Send(t, c.method, s.URL+c.path)
	}
	registrytest.Send(t, "GET", s.URL+"/hijack", "Upgrade", "any", "Connection", "Upgrade")
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-a.entered; leave() }()
	req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := new(http.Transport).RoundTrip(req); err == nil {
		t.Error("a client that left got a response")
	}
	s.Close() // waits for the handlers

	got := families(t, m)
	want := map[string]float64{
		"method=GET path=ok status=200":         2,
		"method=HEAD path=ok status=200":        1,
		"method=other path=ok status=200":       3,
		"method=PUT path=item status=418":       2,
		"method=GET path=quiet status=200":      1,
		"method=GET path=early status=200":      1,
		"method=GET path=hijack status=200":     1, // not asked to switch protocols
		"method=GET path=hijack status=101":     1,
		"method=GET path=panic status=500":      1,
		"method=GET path=impossible status=599": 1,
		"method=GET path=abort status=500":      1,
		"method=GET path=cut status=599":        1,
		"method=GET path=wait status=499":       1,
		"method=GET path=unmatched status=404":  2,
		"method=GET path=unmatched status=301":  1,
		"method=DELETE path=metrics status=200": 1,
	}
	if diff := cmp.Diff(want, values(t, got["http_request_duration_seconds"])); diff != "" {
		t.Error(diff)
	}
	want = map[string]float64{"status=200": 10, "status=418": 2, "status=500": 2, "status=599": 2, "status=101": 1, "status=499": 1, "status=404": 2, "status=301": 1}
	if diff := cmp.Diff(want, values(t, got["http_requests_total"])); diff != "" {
		t.Error(diff)
	}
	var bounds []float64
	for _, b := range got["http_request_duration_seconds"].GetMetric()[0].GetHistogram().GetBucket() {
		bounds = append(bounds, b.GetUpperBound())
	}
	if diff := cmp.Diff("[0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 +Inf]", fmt.Sprint(bounds)); diff != "" {
		t.Error(diff)
	}
}

func TestDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(metrics.Module)
		registrytest.New(t, nil, m)
		h := m.Bind(registry.Route{Label: "x"})
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), func(http.ResponseWriter, *http.Request) { time.Sleep(250 * time.Millisecond) })
		if got := families(t, m)["http_request_duration_seconds"].GetMetric()[0].GetHistogram().GetSampleSum(); got != 0.25 {
			t.Errorf("the sum is %v seconds", got)
		}
	})
}

// TestStream checks that a stream that was open for an hour does not count as a
// request that took an hour.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(metrics.Module)
		registrytest.New(t, nil, m)
		total := 0.
		for _, stream := range []bool{true, false} { // both with the same label
			h := m.Bind(registry.Route{Label: "x", Stream: stream})
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), func(http.ResponseWriter, *http.Request) {
				if stream {
					time.Sleep(time.Hour)
				}
			})
			got := families(t, m)
			want := map[string]float64{"method=GET path=x status=200": 1}
			if stream {
				want = map[string]float64{}
			}
			if diff := cmp.Diff(want, values(t, got["http_request_duration_seconds"])); diff != "" {
				t.Error(diff)
			}
			total++
			if n := values(t, got["http_requests_total"])["status=200"]; n != total {
				t.Errorf("%v requests, want %v", n, total)
			}
		}
	})
}

// TestWatchRequests checks what a watcher is told, and that requests after its end
// cost nothing.
func TestWatchRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(metrics.Module)
		registrytest.New(t, nil, m)
		h := m.Bind(registry.Route{Label: "a"})
		stream := m.Bind(registry.Route{Label: "s", Stream: true})
		var got []capability.MeasuredRequest
		serve := func(h registry.Middleware, status int, fault bool) {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(120 * time.Millisecond)
				if fault {
					m.FaultInjected(r.Context(), "status")
				}
				w.WriteHeader(status)
			})
		}
		call := func(kind rpc.Kind, err error) {
			m.ServeRPC(t.Context(), &rpc.Call{FullMethod: "/a.B/C", Kind: kind}, func(context.Context) error { time.Sleep(time.Second); return err })
		}
		serve(h, 200, false)
		stop := m.WatchRequests(func(r capability.MeasuredRequest) { got = append(got, r) })
		serve(h, 200, false)
		serve(h, 503, true)
		serve(stream, 200, false)
		call(rpc.Unary, nil)
		call(rpc.BidiStream, &rpc.Error{Code: rpc.Unavailable})
		stop()
		serve(h, 200, false)
		const took = 120 * time.Millisecond
		want := []capability.MeasuredRequest{
			{Name: "a", Took: took}, {Name: "a", Took: took, Failed: true, Faulted: true}, {Name: "s", Took: -1},
			{Name: "/a.B/C", RPC: true, Took: time.Second}, {Name: "/a.B/C", RPC: true, Took: -1, Failed: true},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestUnwatchedRequestsAreFree checks that a request allocates nothing for a watcher
// without one.
func TestUnwatchedRequestsAreFree(t *testing.T) {
	m := new(metrics.Module)
	registrytest.New(t, nil, m)
	h := m.Bind(registry.Route{Label: "a"})
	w, r := negroni.NewResponseWriter(httptest.NewRecorder()), httptest.NewRequest("GET", "/", nil)
	allocs := func() float64 {
		return testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r, func(http.ResponseWriter, *http.Request) {}) })
	}
	before := allocs()
	stop := m.WatchRequests(func(capability.MeasuredRequest) {})
	during := allocs()
	stop()
	if after := allocs(); before != 0 || after != 0 || during == 0 {
		t.Errorf("%v allocations before, %v while watched, %v after", before, during, after)
	}
}

func TestPage(t *testing.T) {
	m := new(metrics.Module)
	s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": "/p"}, m, new(app))
	s.Call(t, "GET", "/p/ok", "")
	res, body := s.Call(t, "GET", "/p/metrics", "", "Accept-Encoding", "identity")
	if got := res.Header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" || res.StatusCode != 200 {
		t.Errorf("%d %q", res.StatusCode, got)
	}
	kinds := map[string]dto.MetricType{}
	for name, f := range parse(t, strings.NewReader(body)) {
		kinds[name] = f.GetType()
		values(t, f) // no duplicates
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		if n := strings.Count(body, "# TYPE "+name+" "); n != 1 {
			t.Errorf("%s: %d lines of TYPE", name, n)
		}
	}
	for name, want := range map[string]dto.MetricType{
		"http_request_duration_seconds": dto.MetricType_HISTOGRAM,
		"http_requests_total":           dto.MetricType_COUNTER,
		"podinfo_build_info":            dto.MetricType_GAUGE,
		"go_gc_duration_seconds":        dto.MetricType_SUMMARY,
		"go_gc_forced_total":            dto.MetricType_COUNTER,
		"go_goroutines":                 dto.MetricType_GAUGE,
		"go_info":                       dto.MetricType_GAUGE,
		"go_memstats_alloc_bytes":       dto.MetricType_GAUGE,
		"go_memstats_alloc_bytes_total": dto.MetricType_COUNTER,
		"go_sched_latencies_seconds":    dto.MetricType_HISTOGRAM,
		"go_threads":                    dto.MetricType_GAUGE,
		"process_cpu_seconds_total":     dto.MetricType_COUNTER,
		"process_max_fds":               dto.MetricType_GAUGE,
		"process_open_fds":              dto.MetricType_GAUGE,
		"process_resident_memory_bytes": dto.MetricType_GAUGE,
		"process_start_time_seconds":    dto.MetricType_GAUGE,
		"process_virtual_memory_bytes":  dto.MetricType_GAUGE,
	} {
		if got, ok := kinds[name]; !ok || got != want {
			t.Errorf("%s: found %v, %v, want %v", name, ok, got, want)
		}
	}
	if !strings.Contains(body, `podinfo_build_info{version="1.2.3",revision="abc",goversion="go`) {
		t.Error("build info is missing")
	}
	if !strings.Contains(body, `path="p_ok"`) {
		t.Error("the path label does not include the prefix")
	}
}

func TestEncoding(t *testing.T) {
	s := registrytest.Serve(t, nil, new(metrics.Module))
	for accept, zipped := range map[string]bool{
		"gzip": true, "deflate, GZIP;q=0.5": true, "gzip; q=1.0, *;q=0": true,
		"identity": false, "gzip;q=0": false, "br, gzip ; q=0.000": false, "gzip;q=x": false, "xgzip": false,
	} {
		res, body := s.Call(t, "GET", "/metrics", "", "Accept-Encoding", accept)
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != zipped || res.Header.Get("Vary") != "Accept, Accept-Encoding" {
			t.Errorf("%q: zipped %v, header %v", accept, got, res.Header)
			continue
		}
		var page io.Reader = strings.NewReader(body)
		if zipped {
			z, err := gzip.NewReader(page)
			if err != nil {
				t.Fatal(err)
			}
			page = z
		}
		if parse(t, page)["go_goroutines"] == nil {
			t.Errorf("%q: not the page", accept)
		}
	}
}

// guest contributes metrics of every type.
type guest struct{ app }

func (*guest) Info() registry.Info { return registry.Info{Name: "guest"} }

func (*guest) ContributeMetrics(set *vm.Set) {
	set.NewCounter(`guest_hits_total{role="a"}`).Add(3)
	set.NewGauge(`guest_items`, func() float64 { return 7 })
	set.NewPrometheusHistogram(`guest_seconds{role="b"}`).Update(1)
	set.NewPrometheusHistogram(`guest_seconds{role="a"}`).Update(1)
	set.RegisterMetricsWriter(func(w io.Writer) {
		fmt.Fprint(w, "# a comment\n\nguest_hits_total{role=\"b\"} 4\nguest_wait{quantile=\"0.5\"} 1\nguest_wait_sum 2\nguest_wait_count 3\n")
	})
}

func (*guest) DescribeMetrics() map[string]string {
	return map[string]string{"guest_items": "Items,\nby \\ guest."}
}

func TestContributors(t *testing.T) {
	m := new(metrics.Module)
	registrytest.New(t, nil, m, new(guest))
	got := families(t, m)
	for name, want := range map[string]struct {
		kind    dto.MetricType
		samples map[string]float64
	}{
		"guest_hits_total": {dto.MetricType_COUNTER, map[string]float64{"role=a": 3, "role=b": 4}},
		"guest_items":      {dto.MetricType_GAUGE, map[string]float64{"": 7}},
		"guest_seconds":    {dto.MetricType_HISTOGRAM, map[string]float64{"role=a": 1, "role=b": 1}},
		"guest_wait":       {dto.MetricType_SUMMARY, map[string]float64{"": 0}},
	} {
		if diff := cmp.Diff(want.samples, values(t, got[name])); diff != "" || got[name].GetType() != want.kind {
			t.Errorf("%s %v: %s", name, got[name].GetType(), diff)
		}
	}
	if got := got["guest_wait"].GetMetric()[0].GetSummary(); got.GetSampleSum() != 2 || got.GetSampleCount() != 3 {
		t.Errorf("summary: %v", got)
	}
	if got := got["guest_items"].GetHelp(); got != "Items,\nby \\ guest." {
		t.Errorf("help: %q", got)
	}
}

func TestFaults(t *testing.T) {
	m := new(metrics.Module)
	s := registrytest.Serve(t, nil, m, new(app))
	for _, name := range []string{"delay", "delay", `a"b\c%0Ad`, "%ff"} {
		s.Call(t, "GET", "/fault/"+name, "")
	}
	want := map[string]float64{"fault=delay": 2, "fault=a\"b\\c\nd": 1, "fault=\uFFFD": 1}
	if diff := cmp.Diff(want, values(t, families(t, m)["podinfo_faults_injected_total"])); diff != "" {
		t.Error(diff)
	}
	for i := range 200 {
		m.FaultInjected(t.Context(), fmt.Sprint("made-up-", i))
	}
	m.FaultInjected(t.Context(), "delay")
	got := values(t, families(t, m)["podinfo_faults_injected_total"])
	if len(got) != 101 || got["fault=delay"] != 3 || got["fault=other"] != 103 {
		t.Errorf("%d series, delay %v, other %v", len(got), got["fault=delay"], got["fault=other"])
	}
}

// holder is a module that reserves memory.
type holder struct{ budget *budget.Budget }

func (*holder) Info() registry.Info                   { return registry.Info{Name: "holder"} }
func (h *holder) Provision(host *registry.Host) error { h.budget = host.Budget(); return nil }

func TestMemoryBudget(t *testing.T) {
	m, h := new(metrics.Module), new(holder)
	registrytest.New(t, map[string]string{"PODINFO_MEMORY_BUDGET": "1000"}, m, h)
	for _, step := range []struct {
		reserve       int
		used, refused float64
	}{{0, 0, 0}, {600, 600, 0}, {600, 600, 1}, {400, 1000, 1}} {
		h.budget.Reserve(step.reserve)
		got := families(t, m)
		if diff := cmp.Diff(map[string]float64{"state=in_use": step.used, "state=limit": 1000}, values(t, got["podinfo_memory_budget_bytes"])); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]float64{"reason=memory": step.refused}, values(t, got["podinfo_requests_refused_total"])); diff != "" {
			t.Error(diff)
		}
		if got := got["podinfo_requests_refused_total"].GetType(); got != dto.MetricType_COUNTER {
			t.Error(got)
		}
	}
}

// FuzzFaultName checks that no fault name breaks the page.
func FuzzFaultName(f *testing.F) {
	f.Add("delay")
	f.Add("a\"} 1\n# TYPE \\")
	f.Fuzz(func(t *testing.T, name string) {
		m := new(metrics.Module)
		if _, err := registry.New([]registry.Module{m}); err != nil {
			t.Fatal(err)
		}
		m.FaultInjected(t.Context(), name)
		want := map[string]float64{"fault=" + strings.ToValidUTF8(name, "\uFFFD"): 1}
		if diff := cmp.Diff(want, values(t, families(t, m)["podinfo_faults_injected_total"])); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSwitchKeepsSeries(t *testing.T) {
	m := new(metrics.Module)
	s := registrytest.Serve(t, nil, m, new(app))
	for _, on := range []bool{true, false, true} {
		if err := s.App.Switch("metrics", on); err != nil {
			t.Fatal(err)
		}
		s.Call(t, "GET", "/ok", "")
	}
	if got := values(t, families(t, m)["http_request_duration_seconds"]); got["method=GET path=ok status=200"] != 2 {
		t.Errorf("%v", got)
	}
	if rt := (registry.Route{Label: "ok"}); m.Bind(rt) != m.Bind(rt) {
		t.Error("the route was bound twice")
	}
}

func TestInstancesShareNothing(t *testing.T) {
	a, b := new(metrics.Module), new(metrics.Module)
	s := registrytest.Serve(t, nil, a, new(app))
	registrytest.Serve(t, nil, b, new(app))
	s.Call(t, "GET", "/ok", "")
	if got := families(t, b)["http_requests_total"]; got != nil {
		t.Errorf("%v", got)
	}
	var global bytes.Buffer
	vm.WritePrometheus(&global, false)
	if strings.Contains(global.String(), "http_") {
		t.Errorf("the global set has metrics of the instance: %s", global.String())
	}
}

func TestConcurrency(t *testing.T) {
	m := new(metrics.Module)
	registrytest.New(t, nil, m)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			h := m.Bind(registry.Route{Label: "x"})
			for code := range 100 {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200 + code) })
				m.FaultInjected(t.Context(), fmt.Sprint(code))
			}
			if i == 0 {
				families(t, m)
			}
		})
	}
	all.Wait()
	for name, want := range map[string]int{"http_request_duration_seconds": 100, "http_requests_total": 100, "podinfo_faults_injected_total": 100} {
		got := values(t, families(t, m)[name])
		if counts := slices.Compact(slices.Collect(maps.Values(got))); len(got) != want || !slices.Equal(counts, []float64{8}) {
			t.Errorf("%s: %d series, counts %v", name, len(got), counts)
		}
	}
}

// writer discards the response.
type writer struct{ header http.Header }

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) Write(p []byte) (int, error) { return len(p), nil }
func (w *writer) WriteHeader(int)             {}

func direct(t testing.TB) (h registry.Middleware, w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	m := new(metrics.Module)
	registrytest.New(t, nil, m)
	w = negroni.NewResponseWriter(&writer{http.Header{}})
	return m.Bind(registry.Route{Label: "x"}), w, httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }
}

func TestNoAllocations(t *testing.T) {
	h, w, r, next := direct(t)
	if n := testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, r, next) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
	m := new(metrics.Module)
	registrytest.New(t, nil, m)
	if n := testing.AllocsPerRun(1000, func() { m.FaultInjected(context.Background(), "delay") }); n != 0 {
		t.Errorf("%v allocations a fault", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	h, w, r, next := direct(b)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r, next)
	}
}

func BenchmarkPage(b *testing.B) {
	m := new(metrics.Module)
	registrytest.New(b, nil, m)
	h := m.MetricsPageHandler()
	r := httptest.NewRequest("GET", "/metrics", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(&writer{http.Header{}}, r)
	}
}
