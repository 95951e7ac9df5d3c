package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

const (
	jsonType = "application/json; charset=utf-8"
	rawType  = "application/octet-stream"
	textType = "text/plain; charset=utf-8"
)

// TestRoutes checks the HTTP contract: each route, its methods and its errors.
// The expected body is an anchored regular expression.
func TestRoutes(t *testing.T) {
	config := t.TempDir()
	if err := os.WriteFile(filepath.Join(config, "key"), []byte("value"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 10<<20)
	tooLarge := `\{\n  "code": 413,\n  "message": "request body too large"\n\}`
	const hash = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3" // SHA-1 of "test"
	for _, prefix := range []string{"/", "/foo/bar"} {
		p := serve(t, "--prefix="+prefix, "--config-path="+config)
		root := strings.TrimSuffix(prefix, "/")
		for _, c := range []struct {
			request  string // METHOD path
			send     string
			code     int
			kind     string
			body     string
			reply    string // Header=value of the response
			withName string // Header=value of the request
		}{
			{"GET /", "", 200, jsonType, `\{\n  "hostname": "[^"]+",\n  "version": "6\.15\.0",\n  "revision": "[^"]+",\n  "color": "#34577c",\n  "logo": "https://raw\.githubusercontent\.com/stefanprodan/podinfo/gh-pages/cuddle_clap\.gif",\n  "message": "greetings from podinfo v6\.15\.0",\n  "goos": "linux",\n  "goarch": "[a-z0-9]+",\n  "runtime": "go[^"]+",\n  "num_goroutine": "\d+",\n  "num_cpu": "\d+"\n\}`, "", ""},
			{"GET /", "", 200, "text/html; charset=utf-8", `(?s)<!DOCTYPE html>.*greetings from podinfo.*`, "", "User-Agent=Mozilla/5.0"},
			{"GET /", "", 200, jsonType, `(?s)\{.*`, "", "User-Agent=mozilla/5.0"},
			{"HEAD /", "", 200, jsonType, ``, "", ""},
			{"GET /api/info", "", 200, jsonType, `(?s)\{\n  "hostname.*\}`, "X-Content-Type-Options=nosniff", ""},
			{"GET /version", "", 200, jsonType, `\{\n  "commit": "[^"]+",\n  "version": "6\.15\.0"\n\}`, "X-Content-Type-Options=nosniff", ""},
			{"POST /version", "", 405, jsonType, `(?s).*"message": "method not allowed; use one of GET, HEAD, OPTIONS".*`, "Allow=GET, HEAD, OPTIONS", ""},
			{"OPTIONS /version", "", 204, "", ``, "Allow=GET, HEAD, OPTIONS", ""},
			{"GET /version/", "", 404, jsonType, `(?s).*"message": "page not found".*`, "X-Content-Type-Options=nosniff", ""},
			{"GET /a/../version", "", 301, "", ``, "Location=" + root + "/version", ""},
			{"GET /a/..%2fversion", "", 301, "", ``, "Location=" + root + "/version", ""},
			{"GET /healthz", "", 200, jsonType, `\{\n  "status": "OK"\n\}`, "", ""},
			{"GET /readyz", "", 200, jsonType, `\{\n  "status": "OK"\n\}`, "", ""},
			{"POST /readyz/disable", "", 202, "", ``, "", ""},
			{"GET /readyz", "", 503, "", ``, "", ""},
			{"GET /healthz", "", 200, jsonType, `(?s).*OK.*`, "", ""},
			{"POST /readyz/enable", "", 202, "", ``, "", ""},
			{"GET /readyz", "", 200, jsonType, `(?s).*OK.*`, "", ""},
			{"GET /readyz/enable", "", 405, jsonType, `(?s).*"message": "method not allowed; use one of OPTIONS, POST".*`, "Allow=OPTIONS, POST", ""},
			{"GET /fault_injection/status", "", 200, jsonType, `\{\n  "fault_injection": "disabled"\n\}`, "", ""},
			{"POST /fault_injection/enable", "", 202, jsonType, `\{\n  "fault_injection": "enabled"\n\}`, "", ""},
			{"GET /version", "", 500, jsonType, `(?s).*"message": "fault injection enabled".*`, "", ""},
			{"GET /panic", "", 500, "application/json", `(?s).*fault injection.*`, "", ""},
			{"GET /nowhere", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"GET /healthz", "", 200, jsonType, `(?s).*OK.*`, "", ""},
			{"POST /readyz/disable", "", 202, "", ``, "", ""},
			{"POST /readyz/enable", "", 202, "", ``, "", ""},
			{"GET /metrics", "", 200, "text/plain; version=0.0.4; charset=utf-8", `(?s).*podinfo_faults_injected_total\{fault="fault-injection"\} 2.*`, "", ""},
			{"GET /fault_injection/status", "", 200, jsonType, `(?s).*"enabled".*`, "", ""},
			{"POST /fault_injection/disable", "", 202, jsonType, `(?s).*"disabled".*`, "", ""},
			{"POST /echo", "hi <b>", 202, rawType, `hi <b>`, "X-Color=#34577c", ""},
			{"BREW /echo", "tea", 202, rawType, `tea`, "Content-Security-Policy=default-src 'none'", ""},
			{"PUT /echo/a/b", "deep", 202, rawType, `deep`, "X-Content-Type-Options=nosniff", ""},
			{"POST /api/echo", "api", 202, rawType, `api`, "", ""},
			{"POST /api/echo/x", "api", 202, rawType, `api`, "", ""},
			{"POST /echo", large + "x", 413, jsonType, tooLarge, "", ""},
			{"POST /token", large + "x", 413, jsonType, tooLarge, "", ""},
			{"POST /store", large + "x", 413, jsonType, tooLarge, "", ""},
			{"POST /cache/k", large + "x", 413, jsonType, tooLarge, "", ""},
			{"POST /env", "ignored", 200, jsonType, `(?s)\[.*\]`, "", ""},
			{"GET /env", "", 200, jsonType, `(?s)\[\n  "PATH=.*\]`, "", ""},
			{"POST /headers", "ignored", 200, jsonType, `(?s)\{.*"X-Api-Revision": \[\n    "[^"]+"\n  \],\n  "X-Api-Version": \[\n    "6\.15\.0"\n  \].*\}`, "", "X-Api-Version=forged"},
			{"GET /delay/0", "", 200, jsonType, `\{\n  "delay": 0\n\}`, "", ""},
			{"GET /delay/10ms", "", 200, jsonType, `\{\n  "delay": 0\.01\n\}`, "", ""},
			{"GET /delay/word", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"GET /delay/3601", "", 400, jsonType, `(?s).*"code": 400.*`, "", ""},
			{"GET /delay/99999999999999999999", "", 400, jsonType, `(?s).*"code": 400.*`, "", ""},
			{"GET /status/404", "", 404, jsonType, `\{\n  "status": 404\n\}`, "", ""},
			{"POST /status/599", "", 599, jsonType, `\{\n  "status": 599\n\}`, "", ""},
			{"PUT /status/999", "", 999, jsonType, `\{\n  "status": 999\n\}`, "", ""},
			{"DELETE /status/200", "", 405, jsonType, `(?s).*"message": "method not allowed; use one of GET, HEAD, OPTIONS, POST, PUT".*`, "Allow=GET, HEAD, OPTIONS, POST, PUT", ""},
			{"GET /status/204", "", 204, "", ``, "", ""},
			{"GET /status/304", "", 304, "", ``, "", ""},
			{"GET /status/199", "", 400, jsonType, `(?s).*"code": 400.*`, "", ""},
			{"GET /status/1000", "", 400, jsonType, `(?s).*"code": 400.*`, "", ""},
			{"GET /status/99999999999999999999", "", 400, jsonType, `(?s).*"code": 400.*`, "", ""},
			{"GET /status/word", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"POST /store", "test", 202, jsonType, `\{\n  "hash": "` + hash + `"\n\}`, "", ""},
			{"PUT /store", "test", 202, jsonType, `(?s).*` + hash + `.*`, "", ""},
			{"GET /store/" + hash, "", 200, rawType, `test`, "Content-Security-Policy=default-src 'none'", ""},
			{"GET /store/" + strings.Repeat("0", 40), "", 404, jsonType, `(?s).*"code": 404.*`, "", ""},
			{"GET /store/x", "", 400, jsonType, `\{\n  "code": 400,\n  "message": "invalid hash"\n\}`, "", ""},
			{"GET /cache/k", "", 404, "", ``, "", ""},
			{"POST /cache/k", "v\x00", 202, "", ``, "", ""},
			{"GET /cache/k", "", 200, rawType, "v\x00", "X-Content-Type-Options=nosniff", ""},
			{"PUT /cache/k", "w", 202, "", ``, "", ""},
			{"GET /cache/k", "", 200, rawType, `w`, "", ""},
			{"DELETE /cache/k", "", 202, "", ``, "", ""},
			{"DELETE /cache/k", "", 202, "", ``, "", ""},
			{"GET /cache/k", "", 404, "", ``, "", ""},
			{"GET /configs", "", 200, jsonType, `\{\n  "key": "value"\n\}`, "", ""},
			{"GET /token/validate", "", 401, jsonType, `\{\n  "code": 401,\n  "message": "authorization bearer header required"\n\}`, "", ""},
			{"GET /chunked/0", "", 200, jsonType, `\{\n  "delay": 0\n\}`, "", ""},
			{"BREW /chunked/0", "", 200, jsonType, `\{\n  "delay": 0\n\}`, "", ""},
			{"GET /chunked/", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"GET /chunked/abc", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"GET /ws/echo", "", 426, jsonType, `(?s).*"message": "this is a WebSocket endpoint; .*`, "Upgrade=websocket", ""},
			{"GET /swagger.json", "", 200, jsonType, `(?s)\{.*"swagger": "2\.0".*`, "", ""},
			{"GET /openapi.json", "", 200, jsonType, `(?s)\{.*"openapi": "3\.1.*`, "", ""},
			{"GET /swagger/", "", 301, "", `(?s).*`, "Location=index.html", ""},
			{"GET /swagger/index.html", "", 200, "text/html; charset=utf-8", `(?s).*`, "", ""},
			{"GET /swagger/doc.json", "", 200, jsonType, `(?s)\{.*`, "", ""},
			{"GET /swagger", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"GET /ui/model", "", 200, jsonType, `\{"about":\{.*\}`, "Cache-Control=no-store", ""},
			{"HEAD /ui/events", "", 200, "text/event-stream", ``, "Cache-Control=no-store", ""},
			{"GET /ui", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"PUT /ui/admin/readiness", `{"on":false}`, 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"GET /debug/pprof/", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"GET /livez", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"GET /api", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
			{"GET /VERSION", "", 404, jsonType, `(?s).*"message": "page not found".*`, "", ""},
		} {
			method, path, _ := strings.Cut(c.request, " ")
			name, value, _ := strings.Cut(c.withName, "=")
			var headers []string
			if name != "" {
				headers = []string{name, value}
			}
			res, body := p.call(t, method, root+path, c.send, headers...)
			matched := regexp.MustCompile(`^(` + c.body + `)$`).MatchString(body)
			kind := res.Header.Get("Content-Type")
			replyName, replyValue, _ := strings.Cut(c.reply, "=")
			if res.StatusCode != c.code || !matched || c.kind != "" && !strings.HasPrefix(kind, c.kind) || res.Header.Get(replyName) != replyValue {
				t.Errorf("%s %s: %d %s %v\n%.400q\nwant %d %s %s %q", prefix, c.request, res.StatusCode, kind, res.Header, body, c.code, c.kind, c.reply, c.body)
			}
		}
		if code := p.stop(t); code != 0 {
			t.Errorf("exit %d: %s", code, p.log)
		}
	}
}

func TestToken(t *testing.T) {
	p := serve(t, "PODINFO_JWT_SECRET="+strings.Repeat("s", 32))
	_, body := p.call(t, "POST", "/token", "")
	var got struct {
		Token   string `json:"token"`
		Expires string `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err, body)
	}
	res, body := p.call(t, "GET", "/token/validate", "", "Authorization", "bearer "+got.Token)
	if want := fmt.Sprintf("{\n  \"token_name\": \"anonymous\",\n  \"expires_at\": %q\n}", got.Expires); res.StatusCode != 200 || body != want {
		t.Error(res.StatusCode, cmp.Diff(want, body))
	}
	res, _ = p.call(t, "GET", "/token/validate", "", "Authorization", "Bearer "+got.Token+"x")
	if res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Error(res.StatusCode, res.Header)
	}
	if p := serve(t); !strings.Contains(p.log.String(), "warn") {
		p.stop(t)
		if !strings.Contains(p.log.String(), `"level":"warn"`) {
			t.Errorf("no warning about the well-known secret: %s", p.log)
		}
	}
}

func TestJWTGuard(t *testing.T) {
	p := serve(t, "PODINFO_JWT_SECRET="+strings.Repeat("s", 32), "PODINFO_JWT_ENABLED=true", "PODINFO_JWT_PATHS=/cache/*,/echo*")
	_, body := p.call(t, "POST", "/token", "me")
	var got struct{ Token string }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err, body)
	}
	for path, code := range map[string]int{"/cache/k": 401, "/echo": 401, "/echo/x": 401, "/version": 200, "/healthz": 200, "/CACHE/k": 404, "//cache/k": 301, "/x/..%2fcache/k": 301} {
		if res, _ := p.call(t, "GET", path, ""); res.StatusCode != code {
			t.Errorf("%s without a token: %d, want %d", path, res.StatusCode, code)
		}
	}
	if res, _ := p.call(t, "HEAD", "/cache/k", ""); res.StatusCode != 401 {
		t.Errorf("HEAD: %d", res.StatusCode)
	}
	if res, _ := p.call(t, "POST", "/cache/k", "v", "Authorization", "Bearer "+got.Token); res.StatusCode != 202 {
		t.Errorf("with a token: %d", res.StatusCode)
	}
}

// TestMetricLabels checks the labels that dashboards and Flagger query by.
func TestMetricLabels(t *testing.T) {
	p := serve(t)
	for _, r := range []string{
		"GET /", "GET /api/info", "GET /readyz", "POST /readyz/enable", "POST /echo/a/b", "POST /api/echo", "GET /delay/0", "GET /status/404", "POST /store", "POST /cache/k", "GET /cache/k",
		"GET /chunked/0", "GET /token/validate", "GET /swagger/index.html", "GET /swagger.json", "GET /nowhere", "DELETE /version", "HEAD /version", "BREW /echo", "GET /fault_injection/status",
	} {
		method, path, _ := strings.Cut(r, " ")
		p.call(t, method, path, "x")
	}
	_, page := p.call(t, "GET", "/metrics", "")
	for _, want := range []string{
		`{method="GET",path="root",status="200"}`, `{method="GET",path="api_info",status="200"}`, `{method="GET",path="readyz",status="200"}`, `{method="POST",path="readyz_enable",status="202"}`,
		`{method="POST",path="echo",status="202"}`, `{method="POST",path="api_echo",status="202"}`, `{method="GET",path="delay",status="200"}`, `{method="GET",path="status",status="404"}`,
		`{method="POST",path="store",status="202"}`, `{method="POST",path="cache_key",status="202"}`, `{method="GET",path="cache",status="200"}`, `{method="GET",path="chunked_wait_0_9",status="200"}`,
		`{method="GET",path="token_validate",status="401"}`, `{method="GET",path="swagger",status="200"}`, `{method="GET",path="swagger_json",status="200"}`, `{method="GET",path="unmatched",status="404"}`,
		`{method="DELETE",path="unmatched",status="405"}`, `{method="HEAD",path="version",status="200"}`, `{method="other",path="echo",status="202"}`, `{method="GET",path="fault_injection_status",status="200"}`,
	} {
		if !strings.Contains(page, "http_request_duration_seconds_count"+want) {
			t.Errorf("no http_request_duration_seconds_count%s", want)
		}
	}
	for _, want := range []string{
		"# TYPE http_request_duration_seconds histogram\n", "# TYPE http_requests_total counter\n", `http_requests_total{status="200"} `, `le="0.005"`, `le="+Inf"`,
		"\ngo_goroutines ", "\ngo_memstats_alloc_bytes ", "\nprocess_cpu_seconds_total ", "\nprocess_resident_memory_bytes ", "\nprocess_open_fds ", `podinfo_build_info{`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestMetricsPort(t *testing.T) {
	port := registrytest.FreePort(t)
	p := serve(t, "--prefix=/foo", fmt.Sprintf("--port-metrics=%d", port))
	m := &process{url: fmt.Sprintf("http://127.0.0.1:%d", port), log: p.log}
	p.call(t, "GET", "/foo/version", "")
	if _, page := m.call(t, "GET", "/metrics", ""); !strings.Contains(page, `path="foo_version"`) {
		t.Error("the page does not count the main port's requests")
	}
	for path, code := range map[string]int{"/healthz": 200, "/readyz": 200, "/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/nope": 404, "/version": 404} {
		if res, _ := m.call(t, "GET", path, ""); res.StatusCode != code {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, code)
		}
	}
	p.call(t, "POST", "/foo/readyz/disable", "")
	if res, _ := m.call(t, "GET", "/readyz", ""); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("disabled: %d", res.StatusCode)
	}
}

func TestFaultFlags(t *testing.T) {
	p := launch(t, "PODINFO_HOST=127.0.0.1", "--unhealthy", "--unready", "--random-error", "PODINFO_RANDOM_ERROR_RATE=1", "--stress-cpu=1", "--stress-memory=1", fmt.Sprintf("--port=%d", registrytest.FreePort(t)))
	p.url = "http://127.0.0.1:" + strings.TrimPrefix(p.cmd.Args[len(p.cmd.Args)-1], "--port=")
	p.await(t, p.url+"/healthz")
	for path, code := range map[string]int{"/healthz": 503, "/readyz": 503, "/metrics": 200, "/swagger.json": 200, "/nowhere": 404} {
		if res, _ := p.call(t, "GET", path, ""); res.StatusCode != code {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, code)
		}
	}
	for range 20 {
		if res, body := p.call(t, "GET", "/version", ""); res.StatusCode != 500 && res.StatusCode != 400 && res.StatusCode != 409 || !strings.Contains(body, `"message": "random error"`) {
			t.Errorf("random error: %d %q", res.StatusCode, body)
		}
	}
	p.call(t, "POST", "/readyz/enable", "")
	if res, _ := p.call(t, "GET", "/readyz", ""); res.StatusCode != 200 {
		t.Errorf("enabled: %d", res.StatusCode)
	}
}

// TestDelayOutlivesTheWriteTimeout checks that a delay longer than the write
// timeout still ends in a response. Upstream closes the connection without one.
func TestDelayOutlivesTheWriteTimeout(t *testing.T) {
	p := serve(t, "--http-server-timeout=1s")
	for _, path := range []string{"/delay/1500ms", "/chunked/1500ms", "/chunked"} {
		if res, body := p.call(t, "GET", path, ""); res.StatusCode != 200 || !strings.Contains(body, "delay") {
			t.Errorf("%s: %d %q", path, res.StatusCode, body)
		}
	}
}

// TestFanOut checks a frontend that calls two backends and an unreachable one.
func TestFanOut(t *testing.T) {
	a, b := serve(t), serve(t)
	front := serve(t, "--backend-url="+a.url+"/echo", "--backend-url="+b.url+"/status/503", "--backend-url="+b.url+"/headers,http://127.0.0.1:1/", "--ui-color=#123456")
	res, body := front.call(t, "PUT", "/api/echo", "ping", "X-Request-Id", "42", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Authorization", "secret", "B3", "0")
	var got []string
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got) != 4 || res.StatusCode != 200 || res.Header.Get("X-Color") != "#123456" {
		t.Fatal(err, res.StatusCode, body)
	}
	if got[0] != "ping" || !strings.Contains(got[1], "response status code 503") || !strings.Contains(got[3], "call failed") {
		t.Errorf("%q", got)
	}
	for _, want := range []string{`"X-Request-Id"`, `"Traceparent"`, `"B3"`, `"X-Api-Version"`} {
		if !strings.Contains(got[2], want) {
			t.Errorf("%s is not forwarded: %s", want, got[2])
		}
	}
	if strings.Contains(got[2], "Authorization") {
		t.Error("the frontend forwards credentials")
	}
}
