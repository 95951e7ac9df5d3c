package metrics_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// TestNegotiation checks which Accept headers get OpenMetrics. The first ones are
// those of programs.
func TestNegotiation(t *testing.T) {
	s := registrytest.Serve(t, nil, new(metrics.Module))
	for accept, open := range map[string]bool{
		"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1": true,  // Prometheus 2.42
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1":                        true,  // Prometheus 3
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8":                                                                       false, // a browser
		"application/openmetrics-text; version=1.0.0":                                                                                           true,
		"application/openmetrics-text":                              true,
		"application/openmetrics-text;version=0.0.1":                false,
		"application/openmetrics-text;version=1.0.0;q=0":            false,
		"application/openmetrics-text;version=1.0.0;q=x":            false,
		"application/openmetrics-text;q=0.1, text/plain":            false,
		"application/openmetrics-text;q=0.1, */*":                   false,
		"*/*, text/plain;q=0.1, application/openmetrics-text":       true,
		"text/plain;q=0.1, */*, application/openmetrics-text;q=0.5": true,
		"*/*": false,
		"":    false,
	} {
		res, body := s.Call(t, "GET", "/metrics", "", "Accept", accept, "Accept-Encoding", "identity")
		if got := res.Header.Get("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"; got != open || strings.HasSuffix(body, "\n# EOF\n") != open {
			t.Errorf("%q: %s", accept, res.Header.Get("Content-Type"))
		}
	}
}

// spans is a module that says which span a request has.
type spans struct{}

func (spans) Info() registry.Info { return registry.Info{Name: "spans"} }

func (spans) SampledSpan(ctx context.Context) (trace [16]byte, span [8]byte, sampled bool) {
	id, sampled := ctx.Value(spans{}).(byte)
	trace[15], span[7] = id, id
	return trace, span, sampled
}

// odd contributes samples that OpenMetrics writes in another way.
type odd struct{ app }

func (*odd) Info() registry.Info { return registry.Info{Name: "odd"} }

func (*odd) ContributeMetrics(set *vm.Set) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		io.WriteString(w, `odd_bytes 5
odd_bytes_total 7
odd_seconds_total{a="} x, \"y=\\\n", b=""} 1.5
odd_wait{quantile="0"} 1
odd_wait{quantile="0.5"} 2
odd_wait_sum 2
odd_wait_count 3
`)
	})
}

func (*odd) DescribeMetrics() map[string]string {
	return map[string]string{"odd_seconds_total": "An \"odd\"\ncounter."}
}

func TestOpenMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock starts at 946684800
		m := new(metrics.Module)
		registrytest.New(t, nil, m, spans{}, new(odd))
		request := func(id any, stream bool, took time.Duration) {
			r := httptest.NewRequest("GET", "/", nil)
			if id != nil {
				r = r.WithContext(context.WithValue(r.Context(), spans{}, id))
			}
			m.Bind(registry.Route{Label: "x", Stream: stream}).ServeHTTP(httptest.NewRecorder(), r, func(http.ResponseWriter, *http.Request) { time.Sleep(took) })
		}
		request(byte(1), false, time.Second)
		request(nil, false, time.Second) // not sampled
		request(byte(2), false, 0)
		request(byte(3), false, 0)
		request(byte(4), false, time.Minute)
		r := httptest.NewRequest("GET", "/metrics", nil)
		page := func() string {
			rec := httptest.NewRecorder()
			m.MetricsPageHandler().ServeHTTP(rec, r)
			var ours []string
			for line := range strings.Lines(rec.Body.String()) {
				if strings.Contains(line, "odd_") || strings.Contains(line, "http_request") && !strings.Contains(line, "promhttp") || strings.HasPrefix(line, "# EOF") {
					ours = append(ours, line)
				}
			}
			return strings.Join(ours, "")
		}
		if text := page(); strings.Contains(text, "# {") || strings.Contains(text, "EOF") {
			t.Errorf("the text format has a part of OpenMetrics:\n%s", text)
		}
		r.Header.Set("Accept", "application/openmetrics-text")
		id := func(n string) string {
			return ` # {trace_id="0000000000000000000000000000000` + n + `",span_id="000000000000000` + n + `"} `
		}
		const series = `http_request_duration_seconds_bucket{method="GET",path="x",status="200",le=`
		want := `# HELP http_request_duration_seconds Time from the arrival of a request to the end of its handling.
# TYPE http_request_duration_seconds histogram
# UNIT http_request_duration_seconds seconds
` + series + `"0.005"} 2` + id("3") + `0 946684802.000
` + series + `"0.01"} 2
` + series + `"0.025"} 2
` + series + `"0.05"} 2
` + series + `"0.1"} 2
` + series + `"0.25"} 2
` + series + `"0.5"} 2
` + series + `"1.0"} 4` + id("1") + `1 946684801.000
` + series + `"2.5"} 4
` + series + `"5.0"} 4
` + series + `"10.0"} 4
` + series + `"+Inf"} 5` + id("4") + `60 946684862.000
http_request_duration_seconds_sum{method="GET",path="x",status="200"} 62
http_request_duration_seconds_count{method="GET",path="x",status="200"} 5
# HELP http_requests Requests handled.
# TYPE http_requests counter
http_requests_total{status="200"} 5` + id("4") + `1 946684862.000
# TYPE odd_bytes gauge
# UNIT odd_bytes bytes
odd_bytes 5
# TYPE odd_bytes_total unknown
odd_bytes_total 7
# HELP odd_seconds An \"odd\"\ncounter.
# TYPE odd_seconds counter
# UNIT odd_seconds seconds
odd_seconds_total{a="} x, \"y=\\\n",b=""} 1.5
# TYPE odd_wait summary
odd_wait{quantile="0.0"} 1
odd_wait{quantile="0.5"} 2
odd_wait_sum 2
odd_wait_count 3
# EOF
`
		if diff := cmp.Diff(want, page()); diff != "" {
			t.Error(diff)
		}
		request(byte(5), true, time.Hour) // counts as a request, and has no duration
		if got := page(); !strings.Contains(got, `http_requests_total{status="200"} 6`+id("5")+`1 946688462.000`) || strings.Count(got, "# {") != 4 {
			t.Errorf("with a stream:\n%s", got)
		}
	})
}

// TestUpstreamNames checks that the page has the metrics that stefanprodan/podinfo has.
func TestUpstreamNames(t *testing.T) {
	list, err := os.ReadFile("testdata/upstream.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(list)) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[name] = kind
	}
	m := new(metrics.Module)
	s := registrytest.Serve(t, nil, m, new(app))
	s.Call(t, "GET", "/ok", "")
	got := map[string]string{}
	for name, f := range families(t, m) {
		got[name] = strings.ToLower(f.GetType().String())
		if _, known := want[name]; !known {
			delete(got, name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 40 {
		t.Errorf("-upstream +ours:\n%s", diff)
	}
	limits := values(t, families(t, m)["process_virtual_memory_max_bytes"])
	for sum := range maps.Values(limits) {
		if sum <= 0 {
			t.Errorf("limit of the virtual memory: %v", sum)
		}
	}
}

// TestExemplarsDoNotAllocate checks what each request pays when a tracer is there.
func TestExemplarsDoNotAllocate(t *testing.T) {
	m := new(metrics.Module)
	registrytest.New(t, nil, m, spans{})
	h, w := m.Bind(registry.Route{Label: "x"}), httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(context.WithValue(r.Context(), spans{}, byte(1)))
	serve := func() { h.ServeHTTP(w, r, func(http.ResponseWriter, *http.Request) {}) }
	one := testing.AllocsPerRun(1000, serve)
	plain := new(metrics.Module)
	registrytest.New(t, nil, plain)
	h = plain.Bind(registry.Route{Label: "x"})
	if without := testing.AllocsPerRun(1000, serve); one != without {
		t.Errorf("%v allocations with exemplars, %v without", one, without)
	}
}
