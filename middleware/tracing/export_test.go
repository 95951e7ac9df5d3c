package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
)

// dropped returns podinfo_otel_dropped_total by signal.
func dropped(s *registrytest.Server) map[string]int {
	set := vm.NewSet()
	s.App.Get("tracing").(*tracing.Module).ContributeMetrics(set)
	var page strings.Builder
	set.WritePrometheus(&page)
	out := map[string]int{}
	for _, signal := range []string{"traces", "logs", "metrics"} {
		_, rest, _ := strings.Cut(page.String(), `podinfo_otel_dropped_total{signal="`+signal+`"} `)
		var n int
		fmt.Sscan(rest, &n)
		out[signal] = n
	}
	return out
}

// stopIn stops the server within d.
func stopIn(t *testing.T, s *registrytest.Server, d time.Duration) {
	t.Helper()
	s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if err := s.App.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// TestNothingIsLost checks that Stop exports every span and record of the
// requests served before it.
func TestNothingIsLost(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		collector := otlptest.Start(t)
		address := "http://" + collector.GRPC
		if protocol != "grpc" {
			address = collector.HTTP
		}
		s := serve(t, nil, map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
			"OTEL_BSP_MAX_QUEUE_SIZE": "20000", "OTEL_BLRP_MAX_QUEUE_SIZE": "20000", "OTEL_BSP_SCHEDULE_DELAY": "20",
		}, new(app))
		const clients, each = 8, 150
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				for range each {
					registrytest.Send(t, "GET", s.URL+"/log/info")
				}
			})
		}
		all.Wait()
		stop(t, s)
		if spans, records := len(collector.Spans()), len(said(collector)); spans != clients*each || records != clients*each {
			t.Errorf("%s: %d spans and %d records of %d requests", protocol, spans, records, clients*each)
		}
		if d := dropped(s); d["traces"]+d["logs"] != 0 {
			t.Errorf("%s: dropped %v", protocol, d)
		}
	}
}

// TestStopUnderLoad is the same with a Stop while requests are in flight.
func TestStopUnderLoad(t *testing.T) {
	collector := otlptest.Start(t)
	s := serve(t, collector, map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "20000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "64"}, new(app))
	var all sync.WaitGroup
	for c := range 4 {
		all.Go(func() {
			for i := range 300 {
				registrytest.Send(t, "GET", fmt.Sprintf("%s/status/200?n=%d-%d", s.URL, c, i))
				if c == 0 && i == 150 {
					go s.Close() // waits for what is in flight
				}
			}
		})
	}
	all.Wait()
	stop(t, s)
	seen := map[any]bool{}
	for _, span := range collector.Spans() {
		if span.Attributes["http.response.status_code"] != int64(200) || seen[span.Attributes["url.query"]] {
			t.Errorf("%+v", span)
		}
		seen[span.Attributes["url.query"]] = true
	}
	if len(seen) < 150 || dropped(s)["traces"] != 0 {
		t.Errorf("%d spans, dropped %v", len(seen), dropped(s))
	}
}

// blackHole returns the address of a server that accepts connections and never
// responds.
func blackHole(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// A collector that is down, or swallows everything, costs no request anything
// and ends no later than the App. Every span is accounted for.
func TestBadCollectors(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for name, address := range map[string]string{"down": fmt.Sprintf("127.0.0.1:%d", registrytest.FreePort(t)), "black hole": blackHole(t)} {
			s := serve(t, nil, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + address, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_METRICS_EXPORTER": "otlp",
				"OTEL_BSP_MAX_QUEUE_SIZE": "50", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10", "OTEL_BLRP_MAX_QUEUE_SIZE": "20",
			}, new(app))
			const n = 500
			for range n {
				rec := httptest.NewRecorder()
				s.App.ServeHTTP(rec, httptest.NewRequest("GET", "/log/info", nil))
				if rec.Code != 200 {
					t.Errorf("%s: %d", name, rec.Code)
				}
			}
			if d := dropped(s); d["traces"] < n-50 || d["logs"] < n-50 {
				t.Errorf("%s over %s: dropped %v", name, protocol, d)
			}
			stopIn(t, s, time.Second)
			if d := dropped(s); d["traces"] != n || d["logs"] < n || d["metrics"] != 1 {
				t.Errorf("%s over %s: dropped %v of %d in the end", name, protocol, d, n)
			}
			if !strings.Contains(s.Log.String(), `"level":"warn"`) || !strings.Contains(s.Log.String(), `"signal":"traces"`) {
				t.Errorf("%s over %s: %s", name, protocol, s.Log)
			}
			if got := strings.Count(s.Log.String(), "telemetry"); got > 6 {
				t.Errorf("%s over %s: %d log lines", name, protocol, got)
			}
		}
	}
}

// TestCollectorReturns checks that a collector that was down gets the queued
// spans when it is back.
func TestCollectorReturns(t *testing.T) {
	c := &otlptest.Collector{}
	var mu sync.Mutex
	refused, up := make(chan struct{}), false
	c.Refuse = func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if up {
			return nil
		}
		select {
		case <-refused:
		default:
			close(refused)
		}
		return status.Error(codes.Unavailable, "later")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.ServeGRPC(t, l)
	s := serve(t, c, map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "1", "OTEL_LOGS_EXPORTER": "none"}, new(app))
	registrytest.Send(t, "GET", s.URL+"/get")
	<-refused
	mu.Lock()
	up = true
	mu.Unlock()
	stop(t, s)
	if got := len(c.Spans()); got != 1 || dropped(s)["traces"] != 0 {
		t.Errorf("%d spans, dropped %v", got, dropped(s))
	}
}

// TestPartialSuccess checks that the rejected items of a batch are counted as
// dropped, and only those.
func TestPartialSuccess(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		collector := otlptest.Start(t)
		collector.Rejected = 2
		s := serve(t, collector, map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": map[string]string{
			"grpc": "http://" + collector.GRPC, "http/protobuf": collector.HTTP,
		}[protocol]}, new(app))
		for range 5 {
			registrytest.Send(t, "GET", s.URL+"/log/info")
		}
		stop(t, s)
		if d := dropped(s); d["traces"] != 2 || d["logs"] != 2 || !strings.Contains(s.Log.String(), "not these") {
			t.Errorf("%s: %v %s", protocol, d, s.Log)
		}
	}
}

// TestRefusal checks that a refused batch is counted as dropped without a retry.
func TestRefusal(t *testing.T) {
	collector := otlptest.Start(t)
	collector.Refuse = func(context.Context) error { return errors.New("no") }
	s := serve(t, collector, nil, new(metrics.Module), new(app))
	for range 5 {
		registrytest.Send(t, "GET", s.URL+"/get")
	}
	stop(t, s)
	if d := dropped(s); d["traces"] != 5 {
		t.Errorf("%v", d)
	}
	page := httptest.NewRecorder()
	s.App.ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{"# TYPE podinfo_otel_dropped_total counter", `podinfo_otel_dropped_total{signal="traces"} 5`, "# HELP podinfo_otel_dropped_total Spans"} {
		if !strings.Contains(page.Body.String(), line) {
			t.Errorf("no %s", line)
		}
	}
}
