package ui_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/ui"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/wait/waittest"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// stream reads server-sent events as a page does.
type stream struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

func open(t *testing.T, client *http.Client, url string) *stream {
	t.Helper()
	res, err := client.Get(url + "/ui/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"} {
		if got := res.Header.Get(name); res.StatusCode != 200 || got != want {
			t.Fatalf("%d, %s: %q", res.StatusCode, name, got)
		}
	}
	s := &stream{res.Body, bufio.NewScanner(res.Body)}
	s.lines.Buffer(nil, 1<<20)
	return s
}

// next returns the next event. The name of a comment is ":", and at the end of
// the stream it is "".
func (s *stream) next() (name, data string) {
	for s.lines.Scan() {
		switch line := s.lines.Text(); {
		case line == ":":
			name = ":"
		case line == "":
			return name, data
		case strings.HasPrefix(line, "event: "):
			name = strings.TrimPrefix(line, "event: ")
		default:
			data = strings.TrimPrefix(line, "data: ")
		}
	}
	return "", ""
}

// until returns the data of the next event with the name and skips others.
func (s *stream) until(t *testing.T, name string) (data string) {
	t.Helper()
	for {
		switch got, data := s.next(); got {
		case name:
			return data
		case "":
			t.Fatalf("the stream ended before %s", name)
		}
	}
}

// wants returns the data of the next event, which must have the name.
func (s *stream) wants(t *testing.T, name string) (data string) {
	t.Helper()
	got, data := s.next()
	if got != name {
		t.Fatalf("%s %s, want %s", got, data, name)
	}
	return data
}

type rates struct {
	RPS, Errors, Faults float64
	P50, P95, P99       *float64
}

type figures struct {
	At int64 `json:"t"`
	rates
	Calls      *rates
	Goroutines int
	Memory     uint64
	Routes     []struct {
		Label string
		rates
	}
}

// near reports whether a percentile is within 1 % of what a client measured.
func near(got *float64, want time.Duration) bool {
	return got != nil && math.Abs(*got-want.Seconds()) <= 0.01*want.Seconds()
}

func decode[T any](t *testing.T, data string) (v T) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err, data)
	}
	return v
}

type instance struct{ Hostname, Version, ID string }

type history struct {
	From     instance
	Interval int64
	Accuracy float64
	Samples  []figures
}

type state struct {
	From           instance
	Ready          bool
	Why            string
	Draining       bool
	FaultInjection *bool
	Modules        map[string]string
	Faults         *struct {
		Paused bool
		More   int
		Rules  []struct {
			Name       string
			Rule       json.RawMessage
			Seen, Hits uint64
			Expires    *time.Time
		}
	}
}

// serveInMemory serves the modules over in-memory connections inside a
// testing/synctest bubble, with the timeouts of http-server.
func serveInMemory(t *testing.T, env map[string]string, mods ...registry.Module) *http.Client {
	app, _ := registrytest.New(t, env, mods...)
	return waittest.Serve(t, app, 30*time.Second)
}

const pipe = "http://localhost"

func get(t *testing.T, client *http.Client, path string) int {
	t.Helper()
	res, err := client.Get(pipe + path)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res.StatusCode
}

// TestEvents checks the events that a page receives and their times, for longer
// than the server's timeouts.
func TestEvents(t *testing.T) {
	t.Run("HTTP/1.1", func(t *testing.T) { testEvents(t, waittest.Serve) })
	t.Run("HTTP/2", func(t *testing.T) { testEvents(t, waittest.ServeHTTP2) })
}

func testEvents(t *testing.T, serve func(testing.TB, http.Handler, time.Duration) *http.Client) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, on(), everything()...)
		client := serve(t, app, 30*time.Second)
		get(t, client, "/status/200") // before the page is open
		s := open(t, client, pipe)
		if h := decode[history](t, s.wants(t, "history")); h.Interval != 2000 || h.Accuracy != 0.01 || len(h.Samples) != 0 || h.From.Version != "1.2.3" || h.From.Hostname == "" || h.From.ID == "" {
			t.Error(h)
		}
		first := decode[state](t, s.wants(t, "state"))
		if diff := cmp.Diff(map[string]string{"fault-injection": "on", "faults": "on", "random-delay": "standby", "health": "on", "status": "on", "delay": "on"}, first.Modules); diff != "" || !first.Ready || first.FaultInjection == nil || *first.FaultInjection || first.Faults == nil || first.Faults.Rules == nil {
			t.Errorf("%s %+v", diff, first)
		}
		began := time.Now()
		for range 3 {
			get(t, client, "/delay/200ms")
		}
		get(t, client, "/status/503")
		get(t, client, "/ui/model")
		get(t, client, "/ui/assets/x/app.js")
		got := decode[figures](t, s.wants(t, "sample"))
		if time.Since(began) != 2*time.Second || got.At != time.Now().UnixMilli() || got.RPS != 2 || got.Errors != 0.5 || got.Goroutines < 1 || got.Memory < 1<<20 || len(got.Routes) != 2 {
			t.Fatalf("%v %+v", time.Since(began), got)
		}
		if r := got.Routes[0]; r.Label != "delay" || r.RPS != 1.5 || r.Errors != 0 || !near(r.P50, 200*time.Millisecond) || !near(r.P99, 200*time.Millisecond) {
			t.Errorf("%+v %v %v", r, *r.P50, *r.P99)
		}
		if r := got.Routes[1]; r.Label != "status" || r.RPS != 0.5 || r.Errors != 0.5 {
			t.Errorf("%+v", r)
		}
		if got := decode[figures](t, s.wants(t, "sample")); got.RPS != 0 || got.P50 != nil || got.Routes == nil || len(got.Routes) > 0 {
			t.Errorf("%+v", got)
		}
		synctest.Wait()
		if err := app.Switch("random-delay", true); err != nil {
			t.Fatal(err)
		}
		s.wants(t, "sample")
		if got := decode[state](t, s.wants(t, "state")); got.Modules["random-delay"] != "on" {
			t.Error(got)
		}
		for range 45 { // 90 s, three times the timeout
			s.wants(t, "sample")
		}
	})
}

// TestHistory checks that nothing is sampled while no page is open and that
// samples are stored for 15 minutes.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serveInMemory(t, on("UI_SAMPLE_INTERVAL", "1m"), everything()...)
		watch := func(samples int) (h history) {
			s := open(t, client, pipe)
			h = decode[history](t, s.wants(t, "history"))
			s.wants(t, "state")
			for range samples {
				s.until(t, "sample")
			}
			s.body.Close()
			synctest.Wait()
			return h
		}
		count := func(want int) {
			t.Helper()
			if h := watch(0); len(h.Samples) != want || h.Interval != 60000 {
				t.Errorf("%d samples of %d ms, want %d", len(h.Samples), h.Interval, want)
			}
		}
		watch(3)
		count(3)
		time.Sleep(10 * time.Minute)
		count(3)
		watch(2)
		count(5)
		time.Sleep(4 * time.Minute) // the first three are at least 16 minutes old
		count(2)
		watch(20)
		count(16)
		time.Sleep(time.Hour)
		count(0)
	})
}

// countingMetrics counts how often it is watched, and by how many at the moment.
type countingMetrics struct {
	metrics.Module
	watches, watching atomic.Int32
}

func (m *countingMetrics) WatchRequests(f func(capability.MeasuredRequest)) (stop func()) {
	m.watches.Add(1)
	m.watching.Add(1)
	end := m.Module.WatchRequests(f)
	return func() { m.watching.Add(-1); end() }
}

// TestPercentiles compares the figures with those of a client that measures.
func TestPercentiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serveInMemory(t, on("UI_SAMPLE_INTERVAL", "1m"), everything()...)
		s := open(t, client, pipe)
		s.wants(t, "history")
		s.wants(t, "state")
		var measured []time.Duration
		for i := range 100 {
			began := time.Now()
			get(t, client, fmt.Sprintf("/delay/%dms", 20+i*i/20)) // 20 ms to 510 ms
			measured = append(measured, time.Since(began))
		}
		slices.Sort(measured)
		r := decode[figures](t, s.until(t, "sample")).Routes[0]
		if r.Label != "delay" || !near(r.P50, measured[49]) || !near(r.P95, measured[94]) || !near(r.P99, measured[98]) {
			t.Errorf("%s: %v %v %v, a client measured %v %v %v", r.Label, *r.P50, *r.P95, *r.P99, measured[49], measured[94], measured[98])
		}
	})
}

// TestOneSamplerForAll checks that all open pages share one watcher, and that
// nothing is measured while none is open.
func TestOneSamplerForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(countingMetrics)
		client := serveInMemory(t, nil, m, new(ui.Module))
		wants := func(watches, watching int32) {
			t.Helper()
			time.Sleep(9 * time.Second)
			synctest.Wait()
			if m.watches.Load() != watches || m.watching.Load() != watching {
				t.Errorf("watched %d times and by %d, want %d and %d", m.watches.Load(), m.watching.Load(), watches, watching)
			}
		}
		wants(0, 0)
		var streams []*stream
		for range 5 {
			s := open(t, client, pipe)
			go io.Copy(io.Discard, s.body)
			streams = append(streams, s)
		}
		wants(1, 1)
		for _, s := range streams[1:] {
			s.body.Close()
		}
		wants(1, 1)
		streams[0].body.Close()
		wants(1, 0)
		open(t, client, pipe)
		wants(2, 1)
	})
}

// TestSlowViewer checks that a viewer that does not read is disconnected and
// does not delay the others.
func TestSlowViewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serveInMemory(t, on("UI_MAX_VIEWERS", "2"), everything()...)
		slow, other := open(t, client, pipe), open(t, client, pipe)
		other.wants(t, "history")
		other.wants(t, "state")
		began := time.Now()
		if get(t, client, "/ui/events") != 503 {
			t.Error("a third viewer of two")
		}
		for i := range 60 {
			other.wants(t, "sample")
			if at := time.Duration(i+1) * 2 * time.Second; time.Since(began) != at {
				t.Fatalf("sample %d after %v", i, time.Since(began))
			}
		}
		open(t, client, pipe) // there is room again
		events := 0
		for name, _ := slow.next(); name != ""; name, _ = slow.next() {
			events++
		}
		if events > 25 {
			t.Errorf("the slow viewer got %d events", events)
		}
	})
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serveInMemory(t, on("UI_SAMPLE_INTERVAL", "40s"), everything()...)
		s := open(t, client, pipe)
		s.wants(t, "history")
		s.wants(t, "state")
		began := time.Now()
		for _, c := range []struct {
			name string
			at   time.Duration
		}{{":", 15 * time.Second}, {":", 30 * time.Second}, {"sample", 40 * time.Second}, {":", 55 * time.Second}, {":", 70 * time.Second}, {"sample", 80 * time.Second}} {
			s.wants(t, c.name)
			if time.Since(began) != c.at {
				t.Fatalf("%s after %v", c.name, time.Since(began))
			}
		}
	})
}

// served serves all modules on a real listener, over HTTP/1.1 or HTTP/2.
func served(t *testing.T, h2 bool, env map[string]string) (*http.Client, string, *registry.App) {
	app, _ := registrytest.New(t, env, everything()...)
	srv := httptest.NewUnstartedServer(app)
	srv.EnableHTTP2 = h2
	if h2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	transport := &http.Transport{ForceAttemptHTTP2: h2, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() { transport.CloseIdleConnections(); srv.Close() })
	return &http.Client{Transport: transport}, srv.URL, app
}

func TestStreamEndsWithTheServer(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprint("h2 ", h2), func(t *testing.T) {
			client, url, app := served(t, h2, on("UI_SAMPLE_INTERVAL", "500ms"))
			s := open(t, client, url)
			s.wants(t, "history")
			s.wants(t, "state")
			s.until(t, "sample")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := app.Drain(ctx); err != nil || ctx.Err() != nil {
				t.Error(err, ctx.Err())
			}
			s.until(t, "bye")
			if name, _ := s.next(); name != "" || s.lines.Err() != nil {
				t.Error(name, s.lines.Err())
			}
			res, err := client.Get(url + "/ui/events")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
				t.Error(res.StatusCode, res.Header)
			}
		})
	}
}

// TestChangesAreSent checks that every page sees a change immediately.
func TestChangesAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serveInMemory(t, on("UI_ADMIN", "true", "UI_SAMPLE_INTERVAL", "1m"), everything()...)
		a, b := open(t, client, pipe), open(t, client, pipe)
		for _, s := range []*stream{a, b} {
			s.wants(t, "history")
			s.wants(t, "state")
		}
		put := func(path, body string) {
			req, err := http.NewRequest("PUT", pipe+"/ui/admin/"+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err != nil || res.StatusCode != 200 {
				t.Fatal(res, err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		began := time.Now()
		put("faults/rules/slow", "delay: 1s")
		put("faults/rules/slow", "delay: 1s") // changes nothing
		put("readiness", `{"on": false}`)
		for _, s := range []*stream{a, b} {
			if got := decode[state](t, s.wants(t, "state")); len(got.Faults.Rules) != 1 || got.Faults.Rules[0].Name != "slow" || !strings.Contains(string(got.Faults.Rules[0].Rule), "1s") {
				t.Errorf("%+v", got)
			}
			if got := decode[state](t, s.wants(t, "state")); got.Ready || got.Why == "" {
				t.Errorf("%+v", got)
			}
		}
		if time.Since(began) != 0 {
			t.Errorf("after %v", time.Since(began))
		}
	})
}

// TestInstance checks that everything sent to a page names the instance.
func TestInstance(t *testing.T) {
	seen := map[instance]bool{}
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			client := serveInMemory(t, on("UI_ADMIN", "true", "SEED", "1"), everything()...)
			s := open(t, client, pipe)
			from := decode[history](t, s.wants(t, "history")).From
			seen[from] = true
			if got := decode[state](t, s.wants(t, "state")).From; got != from {
				t.Errorf("the state is from %v, the history from %v", got, from)
			}
			for _, c := range []struct{ method, path, body string }{{"PUT", "/ui/admin/faults", `{"paused": true}`}, {"GET", "/ui/model", ""}} {
				req, err := http.NewRequest(c.method, pipe+c.path, strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				var got struct{ From, About instance }
				err = json.NewDecoder(res.Body).Decode(&got)
				res.Body.Close()
				if got.From != from && got.About != from || err != nil {
					t.Errorf("%s is from %v, want %v, %v", c.path, got, from, err)
				}
			}
		})
	}
	if len(seen) != 2 {
		t.Errorf("two instances have the identities %v", seen)
	}
}

// TestEventsAreNotTimed checks that the metrics leave out how long a page was
// open.
func TestEventsAreNotTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serveInMemory(t, on(), everything()...)
		s := open(t, client, pipe)
		s.until(t, "sample")
		s.body.Close()
		get(t, client, "/status/200")
		res, err := client.Get(pipe + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || strings.Contains(string(text), "ui_events") || !strings.Contains(string(text), `path="status"`) {
			t.Errorf("%v %s", err, text)
		}
	})
}

func TestEventsHead(t *testing.T) {
	s := registrytest.Serve(t, on(), everything()...)
	if res, _ := s.Call(t, "HEAD", "/ui/events", ""); res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Error(res.StatusCode, res.Header)
	}
}
