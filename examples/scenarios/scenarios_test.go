// Package scenarios_test runs the scenarios of this folder.
package scenarios_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

var update = flag.Bool("update", false, "write schema.json")

// site is a server with a scenario, inside a synctest bubble.
type site struct {
	t       *testing.T
	app     *registry.App
	faults  *faults.Module
	headers []string // of the requests
	goaways int      // calls that ended with GOAWAY
}

// anything serves every path.
type anything struct{}

func (anything) Info() registry.Info { return registry.Info{Name: "anything"} }
func (anything) Routes() []registry.Route {
	return []registry.Route{
		{Path: "/{rest...}", Handler: func(w http.ResponseWriter, _ *http.Request) {
			for range 4 {
				w.Write([]byte(strings.Repeat("x", 1024)))
			}
		}},
	}
}

// send returns the status of a response, or cut. A ResponseRecorder cannot be
// hijacked, so a broken connection is a panic with http.ErrAbortHandler.
func (s *site) send(method, path string) (out string, took time.Duration, h http.Header) {
	began, rec := time.Now(), httptest.NewRecorder()
	defer func() {
		took = time.Since(began)
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			out, h = "cut", rec.Header()
		}
	}()
	req := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(s.headers); i += 2 {
		req.Header.Set(s.headers[i], s.headers[i+1])
	}
	s.app.ServeHTTP(rec, req)
	return fmt.Sprint(rec.Code), 0, rec.Header()
}

// get returns the status of the response to a GET, or cut.
func (s *site) get(path string) string {
	out, _, _ := s.send("GET", path)
	return out
}

// many sends n requests. It counts the results and averages the time.
func (s *site) many(n int, method, path string) (map[string]int, time.Duration) {
	counts, sum := map[string]int{}, time.Duration(0)
	for range n {
		out, took, _ := s.send(method, path)
		counts[out]++
		sum += took
	}
	return counts, sum / time.Duration(n)
}

func (s *site) ready() bool { return s.app.Ready(s.t.Context()) == nil }

func (s *site) call(method string, headers ...string) rpc.Code {
	code, _ := s.detailed(method, headers...)
	return code
}

// detailed is like call, and also returns the error details.
func (s *site) detailed(method string, headers ...string) (rpc.Code, *rpc.Details) {
	c := &client{site: s, headers: headers}
	err := s.faults.ServeRPC(s.t.Context(), &rpc.Call{FullMethod: method, Client: c}, func(context.Context) error { return nil })
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		return e.Code, e.Details
	}
	return rpc.CodeOf(err), nil
}

// client is the client of a call. It counts GOAWAY.
type client struct {
	site    *site
	headers []string
}

func (*client) Peer() string { return "192.0.2.1:1" }
func (c *client) Metadata(key string) []string {
	for i := 0; i+1 < len(c.headers); i += 2 {
		if c.headers[i] == key {
			return c.headers[i+1 : i+2]
		}
	}
	return nil
}
func (*client) SetTrailer(_, _ string)  {}
func (c *client) GoAway(uint32, string) { c.site.goaways++ }
func (c *client) Reset(uint32)          {}
func (c *client) Close()                {}

func (s *site) between(what string, x, lo, hi int) {
	s.t.Helper()
	if x < lo || x > hi {
		s.t.Errorf("%s: %d, want %d to %d", what, x, lo, hi)
	}
}

func (s *site) is(what string, got, want any) {
	s.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s: %s", what, diff)
	}
}

// runs tests the effect of each scenario. The bounds of counts are those of the
// binomial distribution at 1 %, and the seeds are fixed.
var runs = map[string]func(*site){
	"brown-out": func(s *site) {
		early, quick := s.many(50, "GET", "/")
		time.Sleep(time.Hour)
		late, slow := s.many(500, "GET", "/")
		s.between("failed early", early["503"], 0, 7)
		s.between("failed late", late["503"], 13, 38)
		s.between("ms early", int(quick.Milliseconds()), 0, 100)
		s.between("ms late", int(slow.Milliseconds()), 250, 600)
	},
	"cold-start": func(s *site) {
		_, took, _ := s.send("GET", "/")
		s.is("ready at once", s.ready(), false)
		s.between("ms at once", int(took.Milliseconds()), 200, 800)
		time.Sleep(20 * time.Second)
		s.is("ready then", s.ready(), true)
		time.Sleep(2 * time.Minute)
		_, took, _ = s.send("GET", "/")
		s.is("warm", took, time.Duration(0))
	},
	"flaky-dependency": func(s *site) {
		on, _ := s.many(20, "GET", "/api/info") // with this seed none of them hangs
		time.Sleep(20 * time.Second)
		off, _ := s.many(100, "GET", "/api/info")
		s.between("in a burst", on["502"], 4, 16)
		s.between("of resets", off["cut"], 0, 6)
		s.is("elsewhere", s.get("/"), "200")
	},
	"slow-database": func(s *site) {
		_, read := s.many(400, "GET", "/cache/x")
		_, write := s.many(400, "PUT", "/cache/x")
		_, table := s.many(400, "GET", "/store/x")
		_, other := s.many(10, "GET", "/other")
		s.between("ms of a read", int(read.Milliseconds()), 10, 40)     // the mean is 29
		s.between("ms of a write", int(write.Milliseconds()), 40, 170)  // 100
		s.between("ms of the table", int(table.Milliseconds()), 40, 90) // 68
		s.is("elsewhere", other, time.Duration(0))
	},
	"thundering-herd": func(s *site) {
		var mu sync.Mutex
		counts, retry := map[string]int{}, ""
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				out, _, h := s.send("GET", "/")
				mu.Lock()
				defer mu.Unlock()
				counts[out]++
				if out == "503" {
					retry = h.Get("Retry-After")
				}
			})
		}
		all.Wait()
		s.is("the herd", counts, map[string]int{"200": 20, "503": 30})
		s.is("Retry-After", retry, "1")
		s.is("later", s.get("/"), "200")
	},
	"partial-outage": func(s *site) {
		here, _ := os.Hostname()
		counts, _ := s.many(200, "GET", "/")
		if here == "podinfo-0" {
			s.between("on the bad one", counts["500"], 82, 118)
			return
		}
		s.is("on the others", counts, map[string]int{"200": 200})
	},
	"rolling-restart": func(s *site) {
		for range 2 {
			_, _, h := s.send("GET", "/")
			s.is("leave", h.Get("Connection"), "close")
			s.is("ready", s.ready(), false)
			time.Sleep(25 * time.Second)
			s.is("on an old connection", s.get("/"), "cut")
			s.is("a call", s.call("/a.B/C"), rpc.Unavailable)
			time.Sleep(10 * time.Second)
			s.is("after", s.get("/"), "200")
			s.is("ready again", s.ready(), true)
			time.Sleep(5*time.Minute - 35*time.Second)
		}
	},
	"rate-limiting": func(s *site) {
		for _, key := range []string{"a", "b"} {
			s.headers = []string{"x-api-key", key}
			counts, _ := s.many(15, "GET", "/api/info")
			s.is("key "+key, counts["429"], 5)
		}
		_, _, h := s.send("GET", "/api/info")
		s.is("Retry-After", h.Get("Retry-After"), "1")
		time.Sleep(time.Second)
		counts, _ := s.many(10, "GET", "/api/info")
		s.is("a second later", counts["429"], 5)
		s.headers = nil
		counts, _ = s.many(15, "GET", "/api/info")
		s.is("without a key", counts["429"], 14)
		s.is("elsewhere", s.get("/"), "200")
	},
	"retries": func(s *site) {
		for _, id := range []string{"a", "b"} {
			s.headers = []string{"x-request-id", id}
			s.is("three attempts", s.get("/echo")+s.get("/echo")+s.get("/echo"), "503503200")
		}
	},
	"broken-wire": func(s *site) {
		counts, _ := s.many(2000, "GET", "/")
		s.between("broken", counts["cut"]+counts["200"], 2000, 2000)
		s.between("cut", counts["cut"], 90, 145) // 117 are expected
		calls := map[rpc.Code]int{}
		for range 2000 {
			calls[s.call("/a.B/C")]++
		}
		s.between("streams that are reset", calls[rpc.Internal], 8, 33)
		s.between("connections that end", calls[rpc.Unavailable], 8, 33)
		s.is("other calls", calls[rpc.OK], 2000-calls[rpc.Internal]-calls[rpc.Unavailable])
	},
	"slow-network": func(s *site) {
		_, stalled := s.many(200, "GET", "/")
		s.between("ms with stalls", int(stalled.Milliseconds()), 50, 480) // 250
		_, late := s.many(50, "GET", "/chunked/1")
		s.between("ms of chunks", int(late.Milliseconds()), 550, 1100) // three pauses
		s.headers = []string{"User-Agent", "Safari Mobile"}
		_, took, _ := s.send("GET", "/")
		s.is("4 KiB at 2 KiB a second", took.Round(100*time.Millisecond), 2*time.Second)
	},
	"grpc-errors": func(s *site) {
		for i := 1; i <= 20; i++ {
			want := rpc.OK
			if i%10 == 0 {
				want = rpc.Unavailable
			}
			s.is(fmt.Sprint("call ", i), s.call("/echo.EchoService/Echo"), want)
		}
		s.is("quota", s.call("/version.VersionService/Version", "x-user", "greedy"), rpc.ResourceExhausted)
		s.is("a stream", s.call("/a.B/WatchAll"), rpc.Code(10))
		s.is("others", s.call("/version.VersionService/Version"), rpc.OK)
	},
	"websockets": func(s *site) { // the messages are tested with the module
		s.headers = []string{"Upgrade", "websocket"}
		got := ""
		for range 3 {
			_, _, h := s.send("GET", "/ws/echo")
			got += h.Get("X-Podinfo-Fault") + " "
		}
		s.is("connections", got, "loses-and-delays loses-and-delays hangs-up ")
		s.headers = append(s.headers, "User-Agent", "Mobile Safari")
		_, _, h := s.send("GET", "/ws/echo")
		s.is("a phone", h.Get("X-Podinfo-Fault"), "phones")
	},
	"quota": func(s *site) {
		code, details := s.detailed("/echo.EchoService/Echo")
		s.is("without a key", code, rpc.Unauthenticated)
		s.is("the reason", details.Info.Reason, "API_KEY_MISSING")
		for _, key := range []string{"a", "b"} {
			for i := range 7 {
				code, details = s.detailed("/echo.EchoService/Echo", "x-api-key", key)
				s.is(fmt.Sprint("refused ", i), code == rpc.ResourceExhausted, i >= 5)
			}
		}
		s.is("RetryInfo", *details.RetryDelay, 500*time.Millisecond)
		s.is("the reason", details.Info.Reason, "RATE_LIMIT_EXCEEDED")
		time.Sleep(*details.RetryDelay)
		s.is("then", s.call("/echo.EchoService/Echo", "x-api-key", "b"), rpc.OK)
	},
	"rebalancing": func(s *site) {
		left := 0
		for range 250 {
			out, _, h := s.send("GET", "/")
			s.is("a request", out, "200")
			if h.Get("Connection") == "close" {
				left++
			}
			s.is("a call", s.call("/a.B/C"), rpc.OK)
		}
		s.is("connections told to close", left+s.goaways, 5)
	},
	"maintenance": func(s *site) { // a bubble begins at midnight UTC
		s.headers = []string{"x-user", "beta"}
		got := ""
		for range 8 {
			got += s.get("/api/info") + " "
		}
		s.is("the experiment", got, "500 200 200 500 500 200 200 500 ")
		time.Sleep(15 * time.Minute)
		s.is("its end", s.get("/api/info"), "200")
		post := func() string { out, _, _ := s.send("POST", "/"); return out }
		s.is("before", post(), "200")
		time.Sleep(2 * time.Hour)
		s.is("at night", post()+s.get("/"), "503200")
		time.Sleep(15 * time.Minute)
		s.is("after", post(), "200")
	},
}

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) != len(runs) {
		t.Errorf("%d files and %d runs: %v", len(files), len(runs), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			run := runs[strings.TrimSuffix(file, ".yaml")]
			if run == nil {
				t.Fatal("no entry in runs: add one")
			}
			if n := len(regexp.MustCompile(`(?m)^# `).FindAll(b, -1)); n < 3 {
				t.Errorf("%d lines of comment, want at least 3", n)
			}
			synctest.Test(t, func(t *testing.T) {
				m := new(faults.Module)
				app, _ := registrytest.New(t, map[string]string{"PODINFO_FAULTS": string(b), "PODINFO_SEED": "1"}, m, anything{})
				run(&site{t: t, app: app, faults: m})
			})
		})
	}
}

// schema.json is the schema that editors use to complete the files.
func TestSchema(t *testing.T) {
	if *update {
		if err := os.WriteFile("schema.json", scenario.Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("schema.json")
	if err != nil || string(b) != string(scenario.Schema()) {
		t.Errorf("schema.json is out of date: run `go test ./examples/scenarios -update`: %v", err)
	}
}
