package faults_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

func TestAdminOverTheMemoryBudget(t *testing.T) {
	m := new(faults.Module)
	env := rules("true", "ADMIN", "true")
	env["PODINFO_MEMORY_BUDGET"] = "10KiB"
	registrytest.New(t, env, m, new(endpoint))
	h := admin(m)
	for range 20 { // more than the budget in total
		if rec := ask(h, "PUT", "/faults", fail(500)); rec.Code != 200 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
	rec := ask(h, "PUT", "/faults", fail(500)+strings.Repeat("#", 10<<10))
	if rec.Code != 503 || rec.Header().Get("Retry-After") == "" || !strings.Contains(rec.Body.String(), `"code": 503`) {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}

// admin serves the module's API like the metrics port.
func admin(m *faults.Module) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range m.AdminRoutes() {
		mux.HandleFunc(rt.Method+" "+rt.Path, rt.Handler)
	}
	return mux
}

func ask(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	rec, req := httptest.NewRecorder(), httptest.NewRequest(method, path, strings.NewReader(body))
	req.Host = "localhost:9797"
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	h.ServeHTTP(rec, req)
	return rec
}

func TestAdmin(t *testing.T) {
	m := new(faults.Module)
	app, log := registrytest.New(t, rules("true", "ADMIN", "true"), m, new(endpoint))
	h := admin(m)
	var tag string
	for i, c := range []struct {
		method, path, body string
		code               int
		has                string
		after              int // status of /a
	}{
		{"GET", "/faults", "", 200, `"rules": []`, 200},
		{"PUT", "/faults", fail(500), 200, `"name": "r"`, 500},
		{"GET", "/faults", "", 200, `"hits": 1`, 500},
		{"GET", "/faults/rules/r", "", 200, `"hits": 2`, 500},
		{"GET", "/faults/rules/x", "", 404, "no such rule", 500},
		{"PUT", "/faults", "rules: [{name: r, fualt: {}}]", 400, `unknown key`, 500},
		{"PUT", "/faults", strings.Repeat("#", 1<<20+1), 413, "too large", 500},
		{"PUT", "/faults/rules/r", "fault: {status: 501}", 200, `501`, 501},
		{"PUT", "/faults/rules/r", "name: q\nfault: {status: 501}", 400, `names the rule \"q\"`, 501},
		{"PUT", "/faults/rules/r", "fault: {status: 200}", 400, `out of range`, 501},
		{"PUT", "/faults/rules/s", "fault: {status: 502}", 200, `"s"`, 501},
		{"DELETE", "/faults/rules/r", "", 200, `"s"`, 502},
		{"DELETE", "/faults/rules/r", "", 404, `no such rule`, 502},
		{"POST", "/faults/pause", "", 200, `"paused": true`, 200},
		{"POST", "/faults/resume", "", 200, `"paused": false`, 502},
		{"GET", "/faults/schema.json", "", 200, `"patternProperties"`, 502},
		{"DELETE", "/faults", "", 200, `"rules": []`, 200},
	} {
		rec := ask(h, c.method, c.path, c.body)
		if rec.Code != c.code || !strings.Contains(rec.Body.String(), c.has) || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%d: %s %s: %d %s", i, c.method, c.path, rec.Code, rec.Body)
		}
		if got := statusOf(app, "/a"); got != c.after {
			t.Errorf("%d: after %s %s: %d, want %d", i, c.method, c.path, got, c.after)
		}
		changed := c.method != "GET" && c.code == 200 && !strings.HasPrefix(c.path, "/faults/pause") && !strings.HasPrefix(c.path, "/faults/resume")
		now := ask(h, "GET", "/faults", "").Header().Get("ETag")
		if (now != tag) != (changed || i == 0) {
			t.Errorf("%d: ETag %s after %s", i, now, tag)
		}
		tag = now
	}
	if !strings.Contains(log.String(), "fault scenario changed through the API") {
		t.Error(log)
	}
	if got := statusOf(app, "/faults"); got != 404 {
		t.Errorf("the API is on the main port: %d", got)
	}
}

func TestIfMatch(t *testing.T) {
	m := new(faults.Module)
	registrytest.New(t, rules("true", "ADMIN", "true"), m)
	h := admin(m)
	old := ask(h, "GET", "/faults", "").Header().Get("ETag")
	for _, c := range []struct {
		match string
		code  int
	}{{old, 200}, {old, 412}, {`"x", ` + old, 412}, {"*", 200}, {"", 200}} {
		if rec := ask(h, "PUT", "/faults/rules/r", "delay: 1ms", "If-Match", c.match); rec.Code != c.code {
			t.Errorf("%s: %d", c.match, rec.Code)
		}
	}
	now := ask(h, "GET", "/faults", "").Header().Get("ETag")
	if rec := ask(h, "DELETE", "/faults", "", "If-Match", `"x", `+now); rec.Code != 200 {
		t.Error(rec.Code)
	}
}

// TestIfNoneMatch checks that a client can add a rule without replacing one.
func TestIfNoneMatch(t *testing.T) {
	m := new(faults.Module)
	registrytest.New(t, rules("true", "ADMIN", "true"), m)
	h := admin(m)
	for i, c := range []struct {
		path, body string
		code       int
	}{
		{"/faults/rules/r", "delay: 1ms", 200},
		{"/faults/rules/r", "delay: 2ms", 412},
		{"/faults/rules/s", "delay: 1ms", 200},
		{"/faults", fail(500), 412},
	} {
		if rec := ask(h, "PUT", c.path, c.body, "If-None-Match", "*"); rec.Code != c.code {
			t.Errorf("%d: %d %s", i, rec.Code, rec.Body)
		}
	}
}

// TestAdminWarns checks that a change that will not do what it says is taken, and
// answered and logged with a warning.
func TestAdminWarns(t *testing.T) {
	m := new(faults.Module)
	_, log := registrytest.New(t, rules("true", "ADMIN", "true"), m, new(endpoint))
	rec := ask(admin(m), "PUT", "/faults/rules/r", "{match: {path: /b}, delay: 1h}")
	for _, want := range []string{`no route of the server has the path`, `above the server's longest, 1m0s`} {
		if rec.Code != 200 || !strings.Contains(rec.Body.String(), want) || !strings.Contains(log.String(), want) {
			t.Errorf("want %q in %d %s and %s", want, rec.Code, rec.Body, log)
		}
	}
}

// TestWarnsOfPeers checks that each way to change the rules warns of those that need what
// the server does not have.
func TestWarnsOfPeers(t *testing.T) {
	for text, want := range map[string]string{
		"{when: {first: 1}, shared: true, delay: 1s}": "set PODINFO_CACHE_SERVER",
		"{match: {claim: {sub: a}}, delay: 1s}":       "module jwt is off",
		"{fault: {tls: {stall: true}}}":               "set PODINFO_SECURE_PORT",
		"{match: {tcp: db}, delay: 1s}":               "set PODINFO_TCP_PROXY",
	} {
		rule, err := scenario.ParseRule("test", "r", []byte(text))
		must(t, err)
		for way, change := range map[string]func(m *faults.Module) string{
			"PUT": func(m *faults.Module) string { return ask(admin(m), "PUT", "/faults/rules/r", text).Body.String() },
			"Apply": func(m *faults.Module) string {
				must(t, m.Apply(&scenario.Scenario{Rules: []*scenario.Rule{rule}}))
				return want
			},
			"PutRule": func(m *faults.Module) string { must(t, m.PutRule(rule)); return want },
		} {
			m := new(faults.Module)
			_, log := registrytest.New(t, rules("true", "ADMIN", "true"), m, new(endpoint))
			if body := change(m); !strings.Contains(body, want) || !strings.Contains(log.String(), want) {
				t.Errorf("%s of %s: want %q in %s and %s", way, text, want, body, log)
			}
		}
	}
}

// TestAdminHosts checks that a page whose own name resolves to the server can
// neither read nor change the rules.
func TestAdminHosts(t *testing.T) {
	for _, c := range []struct {
		token, host string
		refused     bool
	}{
		{"", "127.0.0.1:9797", false},
		{"", "localhost", false},
		{"", "podinfo:9797", false},
		{"", "rebind.evil.example:9797", true},
		{"", "podinfo.default.svc:9797", true},
		{"s3cret", "rebind.evil.example:9797", false},
	} {
		m := new(faults.Module)
		registrytest.New(t, rules("true", "ADMIN", "true", "ADMIN_HOSTS", "podinfo", "ADMIN_TOKEN", c.token), m)
		h := admin(m)
		for _, rt := range m.AdminRoutes() {
			path := strings.Replace(rt.Path, "{name}", "r", 1)
			rec := ask(h, rt.Method, path, "delay: 1s", "Host", c.host, "Origin", "http://"+c.host, "Authorization", "Bearer "+c.token)
			if (rec.Code == 421) != c.refused || c.refused != strings.Contains(rec.Body.String(), "add the name to PODINFO_FAULTS_ADMIN_HOSTS, or set PODINFO_FAULTS_ADMIN_TOKEN") {
				t.Errorf("%+v: %s %s: %d %s", c, rt.Method, path, rec.Code, rec.Body)
			}
		}
	}
	if _, err := newApp(rules("true", "ADMIN_HOSTS", "*")); err == nil || !strings.HasPrefix(err.Error(), "PODINFO_FAULTS_ADMIN_HOSTS=") {
		t.Error(err)
	}
}

func TestAdminToken(t *testing.T) {
	m := new(faults.Module)
	registrytest.New(t, rules("true", "ADMIN", "true", "ADMIN_TOKEN", "s3cret"), m)
	h := admin(m)
	for token, want := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer s3cret": 200, "Basic s3cret": 401} {
		for _, rt := range m.AdminRoutes() {
			path := strings.Replace(rt.Path, "{name}", "r", 1)
			rec := ask(h, rt.Method, path, "delay: 1s", "Authorization", token)
			if refused := rec.Code == 401; refused != (want == 401) || refused && rec.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s with %q: %d", rt.Method, path, token, rec.Code)
			}
		}
	}
	off := new(faults.Module)
	app, _ := registrytest.New(t, rules("true"), off)
	if len(off.AdminRoutes()) > 0 {
		t.Error("the API is on by default")
	}
	for _, s := range append(app.Settings(), registry.Settings([]registry.Module{m})...) {
		if s.Key == "PODINFO_FAULTS_ADMIN_TOKEN" && !s.Secret {
			t.Error("the token is not marked as a secret")
		}
	}
}

// A rule that has ended stays in the API with its counters until it is removed, and
// starts over when it is put again.
func TestAdminAfterTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(faults.Module)
		app, log := registrytest.New(t, rules("true", "ADMIN", "true"), m, new(endpoint))
		h := admin(m)
		const all = "rules: [{name: r, ttl: 1m, fault: {status: 500}}]"
		for i, put := range []struct{ path, body string }{{"/faults", all}, {"/faults", all}, {"/faults/rules/r", "ttl: 1m\nfault: {status: 500}"}} {
			if rec := ask(h, "PUT", put.path, put.body); rec.Code != 200 {
				t.Fatal(rec.Body)
			}
			tag := ask(h, "GET", "/faults", "").Header().Get("ETag")
			if got := statusOf(app, "/a"); got != 500 {
				t.Errorf("%d after PUT %s", got, put.path)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if rec := ask(h, "GET", "/faults/rules/r", ""); rec.Code != 200 || !strings.Contains(rec.Body.String(), `"hits": 1`) || !strings.Contains(rec.Body.String(), `"ended": true`) {
				t.Errorf("%d %s after the TTL", rec.Code, rec.Body)
			}
			if got := statusOf(app, "/a"); got != 200 || ask(h, "GET", "/faults", "").Header().Get("ETag") != tag {
				t.Errorf("%d after the TTL, with another ETag than %s", got, tag)
			}
			if n := strings.Count(log.String(), "fault rule has ended"); n != i+1 {
				t.Errorf("%d lines about the end:\n%s", n, log)
			}
		}
	})
}

// stuck is a client that reads nothing until proceed is closed or receives.
type stuck struct {
	httptest.ResponseRecorder
	proceed chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) { <-s.proceed; return len(b), nil }

// A client that is slow to read its response does not block others.
func TestAdminSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(faults.Module)
		registrytest.New(t, rules(fail(500), "ADMIN", "true"), m)
		h := admin(m)
		proceed, done := make(chan struct{}), make(chan struct{})
		go func() {
			for _, path := range []string{"/faults", "/faults/rules/r", "/faults/rules/x"} {
				h.ServeHTTP(&stuck{*httptest.NewRecorder(), proceed}, httptest.NewRequest("GET", path, nil))
			}
			close(done)
		}()
		for range 3 {
			synctest.Wait()
			if rec := ask(h, "PUT", "/faults", fail(501)); rec.Code != 200 {
				t.Error(rec.Body)
			}
			proceed <- struct{}{}
		}
		<-done
	})
}

func TestAdminRejectsCrossOriginRequests(t *testing.T) {
	m := new(faults.Module)
	registrytest.New(t, rules("true", "ADMIN", "true"), m)
	for _, c := range []struct {
		method  string
		headers []string
		want    int
	}{
		{"POST", []string{"Origin", "http://evil.example"}, 403},
		{"POST", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"POST", []string{"Origin", "http://localhost:9797"}, 200}, // the server's own
		{"POST", nil, 200},
	} {
		rec := ask(admin(m), c.method, "/faults/pause", "", c.headers...)
		if rec.Code != c.want || !strings.Contains(rec.Header().Get("Content-Type"), "json") {
			t.Errorf("%v: %d %s", c.headers, rec.Code, rec.Body)
		}
	}
}

func TestAdminEmptyBody(t *testing.T) {
	m := new(faults.Module)
	registrytest.New(t, rules(fail(500), "ADMIN", "true"), m)
	if rec := ask(admin(m), "PUT", "/faults", " \n"); rec.Code != 400 || len(m.Rules()) != 1 {
		t.Errorf("%d, %d rules left", rec.Code, len(m.Rules()))
	}
}
