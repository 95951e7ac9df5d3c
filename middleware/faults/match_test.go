package faults_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/token"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/jwt"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// mirror responds with the body of the request.
type mirror struct{ host *registry.Host }

func (m *mirror) Provision(h *registry.Host) error { m.host = h; return nil }

func (*mirror) Info() registry.Info { return registry.Info{Name: "mirror"} }
func (*mirror) Routes() []registry.Route {
	return []registry.Route{{Path: "/{rest...}", Handler: func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprint(r.ContentLength, r.TransferEncoding, err, r.Trailer.Get("X-T")))
		w.Write(b)
	}}}
}

// A rule looks into a body, and the handler gets every byte of it.
func TestBodies(t *testing.T) {
	const rule = "rules: [{name: seven, match: {path: /orders, json: {$.user.id: '7'}}, fault: {status: 503}}]"
	m := new(mirror)
	s := registrytest.Serve(t, rules(rule), new(faults.Module), m)
	json := func(id, size int) string {
		return fmt.Sprintf(`{"user":{"id":%d},"pad":"%s"}`, id, strings.Repeat("x", size))
	}
	for _, c := range []struct {
		path, body string
		chunked    bool
		status     int
		seen       string
	}{
		{"/orders", json(7, 0), false, 503, ""},
		{"/orders", json(7, 0), true, 503, ""},
		{"/orders", json(7, 60000), false, 503, ""},
		{"/orders", json(8, 0), false, 200, "26 [] <nil>"},
		{"/orders", json(8, 0), true, 200, "-1 [chunked] <nil>t"},
		{"/orders", json(8, 60000), true, 200, "-1 [chunked] <nil>t"},
		{"/orders", json(7, 100000), false, 200, "100026 [] <nil>"}, // longer than rules look into
		{"/orders", json(7, 1000000), true, 200, "-1 [chunked] <nil>t"},
		{"/orders", "", false, 200, "0 [] <nil>"},
		{"/orders", "no JSON", false, 200, "7 [] <nil>"},
		{"/orders", json(7, 0)[:25], false, 200, "25 [] <nil>"}, // valid up to the value
		{"/orders", json(7, 0) + "}", false, 200, "27 [] <nil>"},
		{"/orders", json(7, 0) + " {}", false, 200, "29 [] <nil>"},
		{"/orders", json(7, 0) + "\n", false, 503, ""},
		{"/other", json(7, 0), false, 200, "26 [] <nil>"},
	} {
		var body io.Reader = strings.NewReader(c.body)
		if c.chunked {
			body = struct{ io.Reader }{body}
		}
		req, err := http.NewRequest("POST", s.URL+c.path, body)
		if err != nil {
			t.Fatal(err)
		}
		if c.chunked {
			req.Trailer = http.Header{"X-T": {"t"}}
		}
		res, got := registrytest.Do(t, req)
		if res.StatusCode != c.status || res.Header.Get("X-Seen") != c.seen || c.status == 200 && got != c.body {
			t.Errorf("%s %.40s: %d %q %.40q", c.path, c.body, res.StatusCode, res.Header.Get("X-Seen"), got)
		}
	}
	s.Close() // waits for the handlers
	if used := m.host.Budget().Used(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
	env := rules(rule)
	env["PODINFO_MEMORY_BUDGET"] = "4000"
	tight := registrytest.Serve(t, env, new(faults.Module), new(mirror))
	if res, body := tight.Call(t, "POST", "/orders", json(8, 60000)); res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || !strings.Contains(body, "memory") {
		t.Errorf("above the budget: %d %s", res.StatusCode, body)
	}
	if res, body := tight.Call(t, "POST", "/orders", json(8, 0)); res.StatusCode != 200 || body != json(8, 0) {
		t.Errorf("within the budget: %d %s", res.StatusCode, body)
	}
}

// A rule that looks into a body hits no request whose body it cannot read, whether
// it asks for a value, for its absence or for anything else. The handler gets every
// byte, and the metrics and the log tell.
func TestBodiesThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		match string
		hits  [3]bool // of a short body, a long one, and one of unknown length that is long
	}{
		{"json: {$.a: '1'}", [3]bool{true, false, false}},
		{"json: {$.b: ''}", [3]bool{true, false, false}},
		{"not: {json: {$.a: '2'}}", [3]bool{true, false, false}},
		{"not: {json: {$.a: '2'}, headers: {x: y}}", [3]bool{true, true, true}}, // the header decides
		{"json: {$.a: '1'}, not: {json: {$.a: '2'}}", [3]bool{true, false, false}},
		{"per: 'json:$.a'", [3]bool{true, false, false}},
	} {
		m, set := new(faults.Module), metrics.NewSet()
		s := registrytest.Serve(t, rules("rules: [{name: r, match: {"+c.match+"}, fault: {status: 503}}]"), m, new(mirror))
		m.ContributeMetrics(set)
		long := `{"a":1,"pad":"` + strings.Repeat("x", 70000) + `"}`
		for i, body := range []string{`{"a":1}`, long, long} {
			req, err := http.NewRequest("POST", s.URL+"/orders", strings.NewReader(body))
			must(t, err)
			if i == 2 {
				req.Body = io.NopCloser(struct{ io.Reader }{strings.NewReader(body)})
				req.ContentLength = -1
			}
			res, got := registrytest.Do(t, req)
			if hit := res.StatusCode == 503; hit != c.hits[i] || !hit && got != body {
				t.Errorf("%s, body %d: %s, %d bytes", c.match, i, res.Status, len(got))
			}
		}
		want := 0
		if !c.hits[1] {
			want = 2
		}
		if got := page(set); !strings.Contains(got, fmt.Sprintf("podinfo_fault_unread_bodies_total %d\n", want)) {
			t.Errorf("%s: want %d\n%s", c.match, want, got)
		}
		if logged := strings.Contains(s.Log.String(), "longer than 65536 bytes"); logged != (want > 0) {
			t.Errorf("%s: %s", c.match, s.Log)
		}
	}
}

// forge returns a token with claims, signed with a secret.
func forge(claims, secret string) string {
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + enc(mac.Sum(nil))
}

// The claims of a token count if module jwt accepts the token, or where a rule says
// that another server verified it.
func TestClaims(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	valid := fmt.Sprintf(`{"name":"ann","iss":"podinfo","exp":%d,"roles":["admin"]}`, time.Now().Add(time.Hour).Unix())
	good, bad := forge(valid, secret), forge(valid, "another")
	for _, c := range []struct {
		name, match, token string
		jwt                bool
		want               int
	}{
		{"verified", "claim: {name: ann, '$.roles[*]': admin}", good, true, 503},
		{"another name", "claim: {name: bob}", good, true, 200},
		{"forged", "claim: {name: ann}", bad, true, 200},
		{"forged, and trusted", "claim: {name: ann}, unverified: true", bad, true, 503},
		{"without jwt", "claim: {name: ann}", good, false, 200},
		{"without jwt, and trusted", "claim: {name: ann}, unverified: true", good, false, 503},
		{"no token", "claim: {name: ann}, unverified: true", "", false, 200},
		{"absent", "claim: {name: ''}", "", false, 503},
		{"no JSON", "claim: {name: ann}, unverified: true", "a.b.c", false, 200},
		{"key", "per: 'claim:name'", good, true, 503},
		{"key of a forged token", "per: 'claim:name'", bad, true, 200},
	} {
		env := rules("rules: [{name: r, match: {" + c.match + "}, fault: {status: 503, grpc: UNAVAILABLE}}]")
		mods := []registry.Module{new(faults.Module), new(grpctest.Service), new(endpoint)}
		if c.jwt { // it guards another route, so that forged tokens get here
			env["PODINFO_JWT_PATHS"], env["PODINFO_JWT_SECRET"] = "/empty", secret
			mods = append(mods, new(jwt.Module), new(token.Module))
		}
		s := grpctest.Serve(t, env, mods...)
		rec := httptest.NewRecorder()
		req := httptest.NewRequest("GET", "/a", nil)
		ctx := t.Context()
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
		}
		s.App.ServeHTTP(rec, req)
		wantCode := codes.OK
		if c.want == 503 {
			wantCode = codes.Unavailable
		}
		if code := status.Code(s.Call(ctx, "UnaryCall")); rec.Code != c.want || code != wantCode {
			t.Errorf("%s: %d %v", c.name, rec.Code, code)
		}
		warned := strings.Contains(s.Log.String(), "module jwt is off")
		if want := !c.jwt && !strings.Contains(c.match, "unverified"); warned != want {
			t.Errorf("%s: warned %v: %s", c.name, warned, s.Log)
		}
	}
}

// Labels, zone and version come from the settings and the build.
func TestInstance(t *testing.T) {
	for _, c := range []struct {
		match string
		want  int
	}{
		{"labels: {track: canary}", 503},
		{"labels: {track: stable}", 200},
		{"zone: eu-*", 503},
		{"labels: {topology.kubernetes.io/zone: eu-1}", 503},
		{"zone: us-*", 200},
		{"version: '~.*'", 503},
		{"name: '?'", 200},
	} {
		env := rules("rules: [{name: r, match: {instance: {" + c.match + "}}, fault: {status: 503}}]")
		env["PODINFO_FAULTS_LABELS"] = "track=canary, topology.kubernetes.io/zone=eu-1"
		s := registrytest.Serve(t, env, new(faults.Module), new(mirror))
		if res, _ := s.Call(t, "GET", "/a", ""); res.StatusCode != c.want {
			t.Errorf("%s: %d", c.match, res.StatusCode)
		}
	}
	if _, err := newApp(rules("true", "LABELS", "canary")); err == nil || !strings.Contains(err.Error(), "PODINFO_FAULTS_LABELS") {
		t.Error(err)
	}
	env := rules("rules: [{name: r, match: {instance: {zone: us-1}}, fault: {status: 503}}]", "ZONE", "us-1")
	if res, _ := registrytest.Serve(t, env, new(faults.Module), new(mirror)).Call(t, "GET", "/a", ""); res.StatusCode != 503 {
		t.Error(res.Status)
	}
}

// sleeper takes a second for each request.
type sleeper struct{}

func (sleeper) Info() registry.Info { return registry.Info{Name: "sleeper"} }
func (sleeper) Routes() []registry.Route {
	return []registry.Route{{Path: "/{rest...}", Handler: func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }}}
}

// Latency grows with the number of requests at the same time, until they are
// refused.
func TestLatencyGrowsWithLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rule = "rules: [{name: r, match: {path: '/{p}'}, limit: {concurrency: 2, queue: 6, wait: 2500ms}}]"
		app, _ := registrytest.New(t, rules(rule, "MAX_DELAY", "1m"), new(faults.Module), sleeper{})
		load := func(n int) (took []string) {
			var mu sync.Mutex
			var all sync.WaitGroup
			began := time.Now()
			for range n {
				all.Go(func() {
					rec := httptest.NewRecorder()
					app.ServeHTTP(rec, httptest.NewRequest("GET", "/a", nil))
					mu.Lock()
					defer mu.Unlock()
					took = append(took, fmt.Sprint(rec.Code, " ", rec.Header().Get("Retry-After"), " ", time.Since(began)))
				})
			}
			all.Wait()
			slices.Sort(took)
			return took
		}
		for n, want := range map[int][]string{
			1: {"200  1s"},
			2: {"200  1s", "200  1s"},
			4: {"200  1s", "200  1s", "200  2s", "200  2s"},
			9: {"200  1s", "200  1s", "200  2s", "200  2s", "200  3s", "200  3s", "503 3 0s", "503 3 2.5s", "503 3 2.5s"},
		} {
			if diff := cmp.Diff(want, load(n)); diff != "" {
				t.Errorf("%d requests: %s", n, diff)
			}
		}
	})
}

// A client that leaves the queue frees its place, and the rule does not respond.
func TestLeavingTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(faults.Module)
		app, _ := registrytest.New(t, rules("rules: [{name: r, limit: {concurrency: 1, queue: 1}}]"), m, sleeper{})
		var all sync.WaitGroup
		get := func(ctx context.Context) (code int) {
			rec := httptest.NewRecorder()
			rec.Code = 0
			app.ServeHTTP(rec, httptest.NewRequest("POST", "/a", strings.NewReader("x")).WithContext(ctx))
			return rec.Code
		}
		all.Go(func() { get(t.Context()) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		all.Go(func() {
			if code := get(ctx); code != 0 {
				t.Errorf("the client that left: %d", code)
			}
		})
		time.Sleep(500 * time.Millisecond)
		all.Go(func() {
			if code := get(t.Context()); code != 0 { // the handler writes nothing
				t.Errorf("its place: %d", code)
			}
		})
		all.Wait()
	})
}

// Places in a queue are places of held requests.
func TestQueueCountsAsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, rules("rules: [{name: r, limit: {concurrency: 1, queue: 10}}]", "MAX_HELD", "2"), new(faults.Module), sleeper{})
		var mu sync.Mutex
		count := map[int]int{}
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				rec := httptest.NewRecorder()
				app.ServeHTTP(rec, httptest.NewRequest("GET", "/a", nil))
				mu.Lock()
				defer mu.Unlock()
				count[rec.Code]++
			})
		}
		all.Wait()
		if diff := cmp.Diff(map[int]int{200: 3, 503: 3}, count); diff != "" {
			t.Error(diff)
		}
	})
}

// Over a connection: a queue full of calls and requests, a date, and conditions.
func TestRetryAfterAndConditions(t *testing.T) {
	s := registrytest.Serve(t, rules(`
rules:
- { name: date, match: { path: /date }, fault: { status: 503, retry-after: { after: 1h, as: date } } }
- { name: seconds, match: { path: /seconds }, fault: { status: 503, retry-after: 90s } }
- { name: expr, match: { path: "~/v[0-9]+/.*", headers: { x-user: "~b.*" }, cookie: { track: canary }, not: { query: { debug: "1" } } }, fault: { status: 418 } }
`), new(faults.Module), new(mirror))
	res, _ := s.Call(t, "GET", "/date", "")
	at, err := http.ParseTime(res.Header.Get("Retry-After"))
	if left := time.Until(at); err != nil || left < 59*time.Minute || left > 61*time.Minute {
		t.Errorf("%v %v", res.Header, err)
	}
	if res, _ := s.Call(t, "GET", "/seconds", ""); res.Header.Get("Retry-After") != "90" {
		t.Error(res.Header)
	}
	headers := []string{"X-User", "beta", "Cookie", "a=b; track=canary"}
	for path, want := range map[string]int{"/v1/x": 418, "/v1/x?debug=1": 200, "/vx/x": 200} {
		if res, _ := s.Call(t, "GET", path, "", headers...); res.StatusCode != want {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if res, _ := s.Call(t, "GET", "/v1/x", "", "X-User", "beta"); res.StatusCode != 200 {
		t.Error(res.Status)
	}
}

// gate holds requests in the handler until it is opened.
type gate struct{ arrived, open chan struct{} }

func (*gate) Info() registry.Info { return registry.Info{Name: "gate"} }
func (g *gate) Routes() []registry.Route {
	return []registry.Route{{Path: "/{rest...}", Handler: func(http.ResponseWriter, *http.Request) {
		g.arrived <- struct{}{}
		<-g.open
	}}}
}

// Over connections: one request runs, one waits for its turn and gets it, and a
// third is refused, because the queue is full or as many requests are held as may be.
// The metric, the log and the access log tell the latter.
func TestQueueOverConnections(t *testing.T) {
	for queue, hurried := range map[string]bool{"1": false, "9": true} {
		g := &gate{make(chan struct{}, 2), make(chan struct{})}
		m, set := new(faults.Module), metrics.NewSet()
		rule := "rules: [{name: r, limit: {concurrency: 1, queue: " + queue + ", wait: 30s}, fault: {status: 503, retry-after: {as: date}}}]"
		s := registrytest.Serve(t, rules(rule, "MAX_HELD", "1"), m, new(accesslog.Module), g)
		m.ContributeMetrics(set)
		status := make(chan int)
		get := func() {
			res, _ := s.Call(t, "POST", "/a", "body")
			status <- res.StatusCode
		}
		go get()
		<-g.arrived
		go get()
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && !strings.Contains(page(set), "podinfo_fault_held_requests 1\n"); {
			time.Sleep(time.Millisecond)
		}
		refused, _ := s.Call(t, "GET", "/a", "")
		if refused.StatusCode != 503 {
			t.Error(refused.Status)
		}
		if at, err := http.ParseTime(refused.Header.Get("Retry-After")); err != nil || time.Until(at) < 10*time.Second {
			t.Errorf("%v %v", refused.Header, err)
		}
		close(g.open)
		if a, b := <-status, <-status; a != 200 || b != 200 {
			t.Errorf("%d %d", a, b)
		}
		s.Close()
		must(t, s.App.Stop(context.Background())) // flushes the access log
		counted := strings.Contains(page(set), `podinfo_fault_hits_total{rule="r",kind="skipped"} 1`)
		marked, logged := strings.Contains(s.Log.String(), "faults/r/skipped"), strings.Contains(s.Log.String(), "PODINFO_FAULTS_MAX_HELD")
		if counted != hurried || marked != hurried || logged != hurried {
			t.Errorf("a queue of %s: counted %v, marked %v, logged %v, want %v\n%s", queue, counted, marked, logged, hurried, s.Log)
		}
	}
}

// Calls wait in the queue of a limit too.
func TestCallsInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(faults.Module)
		registrytest.New(t, rules("rules: [{name: r, limit: {concurrency: 1, queue: 2, wait: 90s}}]", "MAX_DELAY", "1m"), m)
		var mu sync.Mutex
		var took []string
		var all sync.WaitGroup
		began := time.Now()
		for i := range 5 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), map[bool]time.Duration{true: 30 * time.Second, false: time.Hour}[i == 1])
				defer cancel()
				call := &rpc.Call{FullMethod: "/a.B/C", Client: client{}}
				err := m.ServeRPC(ctx, call, func(context.Context) error { time.Sleep(50 * time.Second); return nil })
				mu.Lock()
				defer mu.Unlock()
				took = append(took, fmt.Sprint(rpc.CodeOf(err), " ", time.Since(began)))
			})
			synctest.Wait()
		}
		all.Wait()
		slices.Sort(took)
		want := []string{"DeadlineExceeded 30s", "OK 1m40s", "OK 50s", "Unavailable 0s", "Unavailable 0s"}
		if diff := cmp.Diff(want, took); diff != "" {
			t.Error(diff)
		}
	})
}
