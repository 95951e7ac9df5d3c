package tracing_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	vm "github.com/VictoriaMetrics/metrics"
	gocmp "github.com/google/go-cmp/cmp"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// point is the last value of a series: that of a sum or a gauge, or the count of
// a histogram, whose sum is also here.
type point struct {
	value, sum float64
	bounds     int
	delta      bool
}

// points returns the points in the exports of metrics by the name of the metric
// and its attributes.
func points(exported []otlptest.Metric) map[string]point {
	out := map[string]point{}
	for _, m := range exported {
		key := func(p interface{ GetAttributes() []*common.KeyValue }) string {
			var labels []string
			for _, kv := range p.GetAttributes() {
				value := kv.Value.GetStringValue()
				if n, ok := kv.Value.Value.(*common.AnyValue_IntValue); ok {
					value = fmt.Sprint(n.IntValue)
				}
				labels = append(labels, kv.Key+"="+value)
			}
			slices.Sort(labels)
			return m.Name + "{" + strings.Join(labels, ",") + "}"
		}
		const delta = metricpb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
		for _, p := range m.GetSum().GetDataPoints() {
			out[key(p)] = point{value: p.GetAsDouble() + float64(p.GetAsInt()), delta: m.GetSum().AggregationTemporality == delta}
		}
		for _, p := range m.GetGauge().GetDataPoints() {
			out[key(p)] = point{value: p.GetAsDouble() + float64(p.GetAsInt())}
		}
		for _, p := range m.GetHistogram().GetDataPoints() {
			out[key(p)] = point{float64(p.Count), p.GetSum(), len(p.ExplicitBounds), m.GetHistogram().AggregationTemporality == delta}
		}
		for _, p := range m.GetExponentialHistogram().GetDataPoints() {
			out[key(p)] = point{value: float64(p.Count), sum: p.GetSum(), bounds: -1}
		}
		for _, p := range m.GetSummary().GetDataPoints() {
			out[key(p)] = point{value: float64(p.Count), sum: p.GetSum()}
		}
	}
	return out
}

// over returns the variables that export everything, metrics included, to a
// collector.
func over(protocol string, c *otlptest.Collector) map[string]string {
	to := "http://" + c.GRPC
	if protocol != "grpc" {
		to = c.HTTP
	}
	return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": to, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_METRICS_EXPORTER": "otlp"}
}

func TestMetrics(t *testing.T) {
	const ok = "http.request.method=%[1]s,http.response.status_code=%[2]d,http.route=%[3]s,network.protocol.version=1.1,url.scheme=http"
	const bad = "error.type=%[2]d," + ok
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		collector := otlptest.Start(t)
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }))
		defer backend.Close()
		vars := over(protocol, collector)
		vars["OTEL_TRACES_SAMPLER"] = "always_off"
		s := serve(t, nil, vars, new(metrics.Module), &app{backend: backend.URL}, new(guest))
		for range 3 {
			registrytest.Send(t, "GET", s.URL+"/get")
		}
		s.Call(t, "POST", "/status/503", strings.Repeat("x", 5))
		s.Call(t, "POST", "/upper", "four")
		registrytest.Send(t, "GET", s.URL+"/nowhere")
		registrytest.Send(t, "GET", s.URL+"/call?token=x")
		registrytest.Send(t, "GET", s.URL+"/faults")
		m := s.App.Get("tracing").(*tracing.Module)
		_, end := m.DatabaseSpan(t.Context(), capability.DatabaseOperation{System: "redis", Name: "GET", Server: "redis:6379"})
		end(nil, "")
		_, end = m.DatabaseSpan(t.Context(), capability.DatabaseOperation{System: "redis", Name: "GET", Server: "redis:6379"})
		end(errors.New("broken"), "")
		stop(t, s)
		got := points(collector.Metrics())
		host, port, _ := strings.Cut(strings.TrimPrefix(backend.URL, "http://"), ":")
		for series, want := range map[string]point{
			"http.server.request.duration{" + fmt.Sprintf(ok, "GET", 200, "/get") + "}":                                                                                                            {value: 3, bounds: 14},
			"http.server.request.duration{" + fmt.Sprintf(bad, "POST", 503, "/status/{code}") + "}":                                                                                                {value: 1, bounds: 14},
			"http.server.request.body.size{" + fmt.Sprintf(ok, "POST", 200, "/upper") + "}":                                                                                                        {value: 1, sum: 4, bounds: 13},
			"http.server.response.body.size{" + fmt.Sprintf(ok, "POST", 200, "/upper") + "}":                                                                                                       {value: 1, sum: 8, bounds: 13},
			"http.server.request.body.size{" + fmt.Sprintf(ok, "GET", 200, "/get") + "}":                                                                                                           {value: 3, sum: 0, bounds: 13},
			"http.server.active_requests{http.request.method=GET,url.scheme=http}":                                                                                                                 {value: 0},
			"http.server.active_requests{http.request.method=POST,url.scheme=http}":                                                                                                                {value: 0},
			"http.server.request.duration{http.request.method=GET,http.response.status_code=404,network.protocol.version=1.1,url.scheme=http}":                                                     {value: 1, bounds: 14},
			"http.client.request.duration{error.type=418,http.request.method=GET,http.response.status_code=418,network.protocol.version=1.1,server.address=" + host + ",server.port=" + port + "}": {value: 1, bounds: 14},
			"db.client.operation.duration{db.operation.name=GET,db.system.name=redis,server.address=redis,server.port=6379}":                                                                       {value: 1, bounds: 9},
			"db.client.operation.duration{db.operation.name=GET,db.system.name=redis,error.type=_OTHER,server.address=redis,server.port=6379}":                                                     {value: 1, bounds: 9},
			"podinfo_faults_injected_total{fault=delay}":                                                                                                                                           {value: 1},
			"guest_hits_total{role=a}": {value: 3},
			"guest_items{}":            {value: 7},
			"guest_seconds{role=a}":    {value: 2, sum: 3.5, bounds: 11},
			"guest_wait{}":             {value: 3, sum: 2},
		} {
			point, ok := got[series]
			if strings.Contains(series, "duration") {
				point.sum = 0
			}
			if !ok || point != want {
				t.Errorf("%s: %s: %+v (%v), want %+v of %v", protocol, series, point, ok, want, slices.Sorted(maps.Keys(got)))
			}
		}
		if len(collector.Spans()) != 0 {
			t.Error("spans were exported with the sampler off")
		}
	}
}

func TestRPCDuration(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for code, want := range map[codes.Code]string{
			codes.OK:          "{",
			codes.NotFound:    "{",
			codes.Unavailable: "{error.type=UNAVAILABLE,",
		} {
			collector := otlptest.Start(t)
			vars := over(protocol, collector)
			vars["OTEL_TRACES_SAMPLER"] = "always_off"
			s := grpctest.Serve(t, vars, &tracing.Module{ServiceName: "svc"}, &grpctest.Service{Do: func(context.Context) error { return status.Error(code, "") }})
			_, _ = pb.NewTestServiceClient(s.Conn).UnaryCall(t.Context(), &pb.SimpleRequest{})
			if err := s.App.Stop(context.Background()); err != nil {
				t.Error(err)
			}
			name := map[codes.Code]string{codes.OK: "OK", codes.NotFound: "NOT_FOUND", codes.Unavailable: "UNAVAILABLE"}[code]
			series := "rpc.server.call.duration" + want + "rpc.method=grpc.testing.TestService/UnaryCall,rpc.response.status_code=" + name + ",rpc.system.name=grpc}"
			if got := points(collector.Metrics()); got[series].value != 1 || got[series].bounds != 14 {
				t.Errorf("%s: no %s in %v", protocol, series, slices.Sorted(maps.Keys(got)))
			}
		}
	}
}

// TestActiveRequests checks that a request counts as active until it ends.
func TestActiveRequests(t *testing.T) {
	const active = "http.server.active_requests{http.request.method=GET,url.scheme=http}"
	collector := otlptest.Start(t)
	exports := make(chan struct{}, 1000)
	collector.Refuse = func(context.Context) error { exports <- struct{}{}; return nil }
	vars := over("grpc", collector)
	vars["OTEL_METRIC_EXPORT_INTERVAL"] = "50"
	g := &guest{held: make(chan struct{})}
	s := serve(t, nil, vars, g)
	done := make(chan struct{})
	go func() { registrytest.Send(t, "GET", s.URL+"/hold"); close(done) }()
	for total(collector, active).value != 1 {
		<-exports
	}
	close(g.held)
	<-done
	stop(t, s)
	if got := total(collector, active); got != (point{}) {
		t.Errorf("%+v after the last request", got)
	}
}

// guest has metrics of every type.
type guest struct{ held chan struct{} }

func (*guest) Info() registry.Info { return registry.Info{Name: "guest"} }

func (g *guest) Routes() []registry.Route {
	return []registry.Route{{Method: "GET", Path: "/hold", Handler: func(http.ResponseWriter, *http.Request) { <-g.held }}, {Method: "POST", Path: "/upper", Handler: func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(append(b, b...))
	}}}
}

func (*guest) ContributeMetrics(set *vm.Set) {
	set.NewCounter(`guest_hits_total{role="a"}`).Add(3)
	set.NewGauge(`guest_items`, func() float64 { return 7 })
	h := set.NewPrometheusHistogram(`guest_seconds{role="a"}`)
	h.Update(0.5)
	h.Update(3)
	set.RegisterMetricsWriter(func(w io.Writer) {
		io.WriteString(w, "guest_wait{quantile=\"0.5\"} 1\nguest_wait_sum 2\nguest_wait_count 3\n")
	})
}

// TestParity checks that every metric of the stock server that Prometheus sees is
// also exported over OTLP, under its own name or under that of its semantic
// convention.
func TestParity(t *testing.T) {
	byConvention := map[string]string{
		"http_requests_total":           "http.server.request.duration",
		"http_request_duration_seconds": "http.server.request.duration",
		"go_goroutines":                 "go.goroutine.count",
		"go_gomaxprocs":                 "go.processor.limit",
		"go_memstats_sys_bytes":         "go.memory.used",
		"go_memstats_alloc_bytes_total": "go.memory.allocated",
		"go_memstats_mallocs_total":     "go.memory.allocations",
		"go_memstats_next_gc_bytes":     "go.memory.gc.goal",
		"go_sched_latencies_seconds":    "go.schedule.duration",
	}
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		collector := otlptest.Start(t)
		vars := over(protocol, collector)
		a, err := podinfo.New(registry.Env(map[string]string{"PODINFO_MODULES": "faults", "PODINFO_MEMORY_BUDGET": "1MB"}), registry.Environ(registrytest.Environ(vars)))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		page := func() string {
			w := httptest.NewRecorder()
			a.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			return w.Body.String()
		}
		page()
		want := page()
		if err := a.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for _, m := range collector.Metrics() {
			have[m.Name] = true
		}
		for line := range strings.Lines(want) {
			f := strings.Fields(line)
			if f[0] != "#" || f[1] != "TYPE" {
				continue
			}
			name, ok := byConvention[f[2]]
			if !ok && strings.HasPrefix(f[2], "go_") {
				continue // of no use outside Go's own conventions
			}
			if !have[cmp.Or(name, f[2])] {
				t.Errorf("%s: %s is not exported", protocol, f[2])
			}
		}
		for _, name := range []string{"podinfo_websocket_connections", "podinfo_cache_operations_total", "podinfo_memory_budget_bytes", "podinfo_requests_refused_total", "podinfo_fault_rules", "go.config.gogc"} {
			if !have[name] {
				t.Errorf("%s: %s is not exported", protocol, name)
			}
		}
	}
}

// TestIdentity exports from two processes to one collector. No two series may have
// one identity, which is service.name, service.instance.id and the attributes
// (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/).
func TestIdentity(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		collector := otlptest.Start(t)
		vars := over(protocol, collector)
		vars["OTEL_METRIC_EXPORT_INTERVAL"] = "60000"
		outputs := [2]string{}
		var processes [2]*exec.Cmd
		for i := range processes {
			processes[i] = exec.Command(os.Args[0], "-test.run=^TestExportingProcess$", "-test.v")
			processes[i].Env = append(os.Environ(), "OTEL_TRACES_EXPORTER="+[]string{"otlp,console", "console,otlp"}[i], "POD_NAME=pod-"+fmt.Sprint(i))
			for k, v := range vars {
				processes[i].Env = append(processes[i].Env, k+"="+v)
			}
			out, err := processes[i].CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			outputs[i] = string(out)
		}
		instances := map[any]map[string]bool{} // by process
		add := func(r otlptest.Attributes) {
			pid := r["process.pid"]
			if instances[pid] == nil {
				instances[pid] = map[string]bool{}
			}
			instances[pid][fmt.Sprint(r["service.name"], "/", r["service.instance.id"])] = true
		}
		owner := map[string]any{} // the process of a series
		for _, m := range collector.Metrics() {
			add(m.Resource)
			for series := range points([]otlptest.Metric{m}) {
				identity := fmt.Sprint(m.Resource["service.name"], "/", m.Resource["service.instance.id"], "/", series)
				if other := owner[identity]; other != nil && other != m.Resource["process.pid"] {
					t.Errorf("%s: two processes export %s", protocol, identity)
				}
				owner[identity] = m.Resource["process.pid"]
			}
		}
		for _, s := range collector.Spans() {
			add(s.Resource)
		}
		for _, r := range collector.Records() {
			add(r.Resource)
		}
		if len(collector.Spans()) != 2 || len(instances) != 2 || len(owner) < 20 {
			t.Errorf("%s: %d spans, %d series, instances %v", protocol, len(collector.Spans()), len(owner), instances)
		}
		for pid, ids := range instances {
			if len(ids) != 1 {
				t.Errorf("%s: process %v has the identities %v", protocol, pid, ids)
			}
		}
		for _, out := range outputs {
			if !strings.Contains(out, `"Name":"GET /get"`) {
				t.Errorf("%s: the console has no span: %s", protocol, out)
			}
		}
	}
}

// TestExportingProcess is what the processes of TestIdentity run.
func TestExportingProcess(t *testing.T) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
		t.Skip("not started by TestIdentity")
	}
	vars := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, _ := strings.Cut(kv, "="); strings.HasPrefix(k, "OTEL_") || k == "POD_NAME" {
			vars[k] = v
		}
	}
	s := serve(t, nil, vars, new(metrics.Module), new(app))
	registrytest.Send(t, "GET", s.URL+"/get")
	stop(t, s)
}

func TestResource(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		vars string
		want otlptest.Attributes // the attributes that differ from those without variables
	}{
		{"", nil},
		{"POD_NAME=a-podinfo-5c8f7-x2x4z POD_TEMPLATE_HASH=5c8f7 POD_UID=u POD_NAMESPACE=ns NODE_NAME=n", otlptest.Attributes{
			"k8s.pod.name": "a-podinfo-5c8f7-x2x4z", "k8s.deployment.name": "a-podinfo", "k8s.pod.uid": "u", "k8s.namespace.name": "ns", "k8s.node.name": "n",
		}},
		{"POD_NAME=podinfo-0 POD_TEMPLATE_HASH=", otlptest.Attributes{"k8s.pod.name": "podinfo-0"}},
		{"POD_NAME=p-1 OTEL_RESOURCE_ATTRIBUTES=k8s.pod.name=other,service.version=9,team=a,service.name=b", otlptest.Attributes{
			"k8s.pod.name": "other", "service.version": "9", "team": "a",
		}},
		{"OTEL_RESOURCE_ATTRIBUTES=service.instance.id=mine,host.name=h,process.pid=7", otlptest.Attributes{"service.instance.id": "mine", "host.name": "h", "process.pid": "7"}},
		{"OTEL_RESOURCE_ATTRIBUTES=password=s3cret", otlptest.Attributes{"password": registry.Redacted}},
	} {
		collector := otlptest.Start(t)
		s := serve(t, collector, registrytest.Vars(c.vars), new(app))
		registrytest.Send(t, "GET", s.URL+"/get")
		stop(t, s)
		want := otlptest.Attributes{
			"service.name": "svc", "service.version": "1.2.3", "host.name": hostname,
			"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "go", "telemetry.sdk.version": "1.47.0",
			"process.pid": int64(os.Getpid()), "process.executable.name": "tracing.test", "process.runtime.name": "go",
			"process.runtime.version": runtime.Version(), "process.runtime.description": "go version " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		}
		maps.Copy(want, c.want)
		spans := collector.Spans()
		if len(spans) != 1 {
			t.Fatalf("%d spans", len(spans))
		}
		got := spans[0].Resource
		if id, _ := got["service.instance.id"].(string); c.want["service.instance.id"] == nil {
			if len(id) != 36 {
				t.Errorf("%s: instance %q", c.vars, id)
			}
			delete(got, "service.instance.id")
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", c.vars, diff)
		}
	}
}

// TestMetricSettings checks the variables that say how metrics are exported, by
// five requests, an export, and three more requests.
func TestMetricSettings(t *testing.T) {
	const requests = "http.server.request.duration{http.request.method=GET,http.response.status_code=200,http.route=/get,network.protocol.version=1.1,url.scheme=http}"
	const faults = "podinfo_faults_injected_total{fault=delay}"
	for _, c := range []struct {
		vars         string
		bounds       int  // -1 for an exponential histogram
		delta        bool // of the histogram
		deltaCounter bool
		exemplars    bool
	}{
		{"", 14, false, false, true},
		{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta", 14, true, true, true},
		{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=lowmemory", 14, true, false, true},
		{"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=base2_exponential_bucket_histogram", -1, false, false, true},
		{"OTEL_METRICS_EXEMPLAR_FILTER=always_off", 14, false, false, false},
		{"OTEL_METRICS_EXEMPLAR_FILTER=always_on OTEL_TRACES_SAMPLER=always_off", 14, false, false, true},
		{"OTEL_TRACES_SAMPLER=always_off", 14, false, false, false},
	} {
		collector := otlptest.Start(t)
		exports := make(chan struct{}, 1000)
		collector.Refuse = func(context.Context) error { exports <- struct{}{}; return nil }
		vars := over("grpc", collector)
		maps.Copy(vars, registrytest.Vars(c.vars))
		vars["OTEL_METRIC_EXPORT_INTERVAL"], vars["OTEL_TRACES_EXPORTER"], vars["OTEL_LOGS_EXPORTER"] = "50", "none", "none"
		m := new(metrics.Module)
		s := serve(t, nil, vars, m, new(app))
		for range 5 {
			registrytest.Send(t, "GET", s.URL+"/get")
			m.FaultInjected(t.Context(), "delay")
		}
		for total(collector, requests).value < 5 || total(collector, faults).value < 5 {
			<-exports
		}
		for range 3 {
			registrytest.Send(t, "GET", s.URL+"/get")
			m.FaultInjected(t.Context(), "delay")
		}
		stop(t, s)
		got := total(collector, requests)
		got.sum = 0
		if want := (point{value: 8, bounds: c.bounds, delta: c.delta}); got != want {
			t.Errorf("%s: %+v, want %+v", c.vars, got, want)
		}
		if got, want := total(collector, faults), (point{value: 8, delta: c.deltaCounter}); got != want {
			t.Errorf("%s: %+v, want %+v", c.vars, got, want)
		}
		exemplars := slices.ContainsFunc(collector.Metrics(), func(m otlptest.Metric) bool {
			return m.Name == "http.server.request.duration" && (slices.ContainsFunc(m.GetHistogram().GetDataPoints(), func(p *metricpb.HistogramDataPoint) bool { return len(p.Exemplars) > 0 }) ||
				slices.ContainsFunc(m.GetExponentialHistogram().GetDataPoints(), func(p *metricpb.ExponentialHistogramDataPoint) bool { return len(p.Exemplars) > 0 }))
		})
		if exemplars != c.exemplars {
			t.Errorf("%s: exemplars %v", c.vars, exemplars)
		}
	}
}

// total returns the last point of a series, with the sum of all values if they
// are deltas.
func total(c *otlptest.Collector, series string) (out point) {
	for _, m := range c.Metrics() {
		p, ok := points([]otlptest.Metric{m})[series]
		if !ok {
			continue
		}
		if p.delta {
			p.value += out.value
		}
		out = p
	}
	return out
}

// TestMetricsOff checks that the export of metrics costs a request nothing unless
// it is on.
func TestMetricsOff(t *testing.T) {
	for _, exporter := range []string{"", "none", "prometheus"} {
		s := serve(t, nil, map[string]string{"OTEL_METRICS_EXPORTER": exporter, "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", "OTEL_TRACES_SAMPLER": "always_off"}, new(app))
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/get", nil)
		const without = 3 // of the trace context and the copy of the request
		if n := testing.AllocsPerRun(200, func() { s.App.ServeHTTP(w, r) }); n != without {
			t.Errorf("%q: %v allocations a request, want %v", exporter, n, without)
		}
	}
}
