package faults_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
)

// exchange sends a request over a new TCP connection and returns all bytes that
// come back, and how the connection ended.
func exchange(t *testing.T, addr, request string) (string, error) {
	t.Helper()
	return exchangeWithin(t, 20*time.Second, addr, request)
}

// exchangeWithin is exchange by a client that leaves after some time.
func exchangeWithin(t *testing.T, patience time.Duration, addr, request string) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	return string(b), err
}

// The bytes that a client receives for each fault that breaks a connection.
func TestBrokenConnections(t *testing.T) {
	const get, post = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabcdef"
	for _, c := range []struct {
		fault, request string
		reset          bool
		body           string // after the header; "" for no response
		length         string
	}{
		{"reset: true", get, true, "", ""},
		{"reset: true", post, true, "", ""},
		{"empty: true", get, false, "", ""},
		{"empty: true", post, false, "", ""},
		{"truncate: 10", get, false, text[:10], "36"},
		{"truncate: 10", post, false, text[:10], "36"},
		{"truncate: 0", get, false, "", "36"},
		{"truncate: 100", get, false, text[:35], "36"},
		{"truncate: 10", "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", false, "", ""},
		{"truncate: 10", "GET /empty HTTP/1.1\r\nHost: x\r\n\r\n", false, "", ""},
		{"truncate: 10, reset: true", get, true, text[:10], "36"},
		{"bad-chunk: true", get, false, "12\r\n" + text[:18] + "\r\nno chunk\r\n", ""},
	} {
		e := new(endpoint)
		s := registrytest.Serve(t, rules("rules: [{name: r, fault: {"+c.fault+"}}]"), new(faults.Module), e)
		got, err := exchange(t, s.Listener.Addr().String(), c.request)
		if reset := errors.Is(err, syscall.ECONNRESET); reset != c.reset || err != nil && !reset {
			t.Errorf("%s: ended with %v, want a reset: %v", c.fault, err, c.reset)
		}
		// A reset may discard bytes that came before it.
		if head, body, ok := strings.Cut(got, "\r\n\r\n"); ok {
			length := ""
			if c.length != "" {
				length = "\r\nContent-Length: " + c.length + "\r\n"
			}
			if !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") || body != c.body || !strings.Contains(head+"\r\n", length) || !strings.Contains(head, "X-Podinfo-Fault: r") {
				t.Errorf("%s: %q", c.fault, got)
			}
		} else if got != "" || !c.reset && c.length != "" {
			t.Errorf("%s: %q", c.fault, got)
		}
		seen, outcomes := e.seen(1)
		if len(outcomes) != 1 || outcomes[0].Label() != 599 || len(seen) != 1 || seen[0] != "faults/r" {
			t.Errorf("%s: recorded as %v with %v", c.fault, outcomes, seen)
		}
		if strings.Contains(s.Log.String(), `"error"`) {
			t.Error(s.Log)
		}
	}
}

func TestGarbage(t *testing.T) {
	s := registrytest.Serve(t, rules("rules: [{name: r, fault: {garbage: true}}]"), new(faults.Module), new(endpoint))
	got, err := exchange(t, s.Listener.Addr().String(), "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	if err != nil || len(got) != 64 {
		t.Errorf("%q %v", got, err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil); err == nil {
		t.Error("the garbage is valid HTTP")
	}
	var client http.Client
	defer client.CloseIdleConnections()
	if res, err := client.Get(s.URL + "/a"); err == nil {
		t.Errorf("a client read it as %s", res.Status)
	}
}

// A reset below TLS, and resets of HTTP/2 streams that keep the connection open.
func TestTLSAndHTTP2(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, c := range []struct{ fault, want, body string }{
			{"reset: true", "INTERNAL_ERROR", ""},
			{"empty: true", "INTERNAL_ERROR", ""},
			{"garbage: true", "INTERNAL_ERROR", ""},
			{"truncate: 10", "INTERNAL_ERROR", text[:10]},
			{"bad-chunk: true", "INTERNAL_ERROR", text[:18]},
		} {
			e := new(endpoint)
			app, _ := registrytest.New(t, rules("rules: [{name: r, match: {path: /a}, fault: {"+c.fault+"}}]"), new(faults.Module), e)
			srv := httptest.NewUnstartedServer(app)
			srv.EnableHTTP2 = h2
			srv.StartTLS()
			client := srv.Client()
			body, status, err := "", 0, error(nil)
			res, err := client.Get(srv.URL + "/a")
			if err == nil {
				var b []byte
				b, err = io.ReadAll(res.Body)
				body, status = string(b), res.StatusCode
				res.Body.Close()
			}
			switch {
			case err == nil:
				t.Errorf("%s over HTTP/2 %v: %d %q", c.fault, h2, status, body)
			case h2 && !strings.Contains(err.Error(), c.want):
				t.Errorf("%s: %v", c.fault, err)
			case h2 && body != c.body:
				t.Errorf("%s: %q", c.fault, body)
			case !h2 && c.fault == "reset: true" && !errors.Is(err, syscall.ECONNRESET):
				t.Errorf("%s over TLS: %v", c.fault, err)
			}
			if h2 { // the connection remains usable
				if res, err := client.Get(srv.URL + "/three"); err != nil || res.ProtoMajor != 2 {
					t.Error(err)
				} else {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			}
			client.CloseIdleConnections()
			srv.Close()
			if _, outcomes := e.seen(1); outcomes[0].Label() != 599 {
				t.Errorf("%s recorded as %v", c.fault, outcomes)
			}
		}
	}
}

// After goaway the client uses a new connection.
func TestGoAway(t *testing.T) {
	const rule = "rules: [{name: r, match: {path: /a}, fault: {goaway: true}}]"
	app, _ := registrytest.New(t, rules(rule), new(faults.Module), new(endpoint))
	conns := 0
	srv := httptest.NewUnstartedServer(app)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns++ // only the accepting goroutine writes
		}
	}
	srv.Start()
	for _, path := range []string{"/api/x", "/api/x", "/a", "/a", "/api/x", "/api/x"} {
		res, err := srv.Client().Get(srv.URL + path)
		must(t, err)
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if string(b) != text || err != nil {
			t.Errorf("%s: %q %v", path, b, err)
		}
	}
	srv.Close()
	if conns != 3 {
		t.Errorf("%d connections", conns)
	}

	app, _ = registrytest.New(t, rules(rule), new(faults.Module), new(endpoint))
	srv = httptest.NewUnstartedServer(app)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	c := dialRaw(t, srv.Listener.Addr().String(), srv.Client().Transport.(*http.Transport).TLSClientConfig)
	defer c.conn.Close()
	want := []string{"DATA 1", "DATA 3", "GOAWAY 3 NO_ERROR ", "HEADERS 1", "HEADERS 3"}
	for i, path := range []string{"/api/x", "/a"} {
		c.headers(uint32(2*i+1), true, ":method", "GET", ":scheme", "https", ":path", path, ":authority", "example.com")
	}
	got := c.frames(len(want))
	slices.Sort(got) // streams interleave
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStatus(t *testing.T) {
	e := new(endpoint)
	s := registrytest.Serve(t, rules(`
rules:
- name: first-two-fail
  match: { path: /api/*, per: "header:x-request-id" }
  when: { first: 2 }
  fault: { status: 503, headers: { Retry-After: "1", Content-Type: application/json }, body: '{"error":"warming up"}' }
- name: literal
  match: { path: /internal, internal: true, percent: 100, methods: [POST] }
  fault: { status: 418 }
- name: all
  match: { path: /* }
  when: { after: 1000 }
  fault: { status: 500 }
`), new(faults.Module), e)
	for i, id := range []string{"a", "b", "a", "a", "b", "b", ""} {
		res, body := s.Call(t, "GET", "/api/x", "", "x-request-id", id)
		want, has := 503, `{"error":"warming up"}`
		if i == 3 || i == 5 || i == 6 {
			want, has = 200, text
		}
		if res.StatusCode != want || body != has || (res.Header.Get("Retry-After") == "1") != (want == 503) || (res.Header.Get("X-Podinfo-Fault") == "first-two-fail") != (want == 503) {
			t.Errorf("%d: %d %q %v", i, res.StatusCode, body, res.Header)
		}
	}
	for method, want := range map[string]int{"GET": 200, "POST": 418} {
		if res, _ := s.Call(t, method, "/internal", ""); res.StatusCode != want {
			t.Errorf("%s /internal: %d", method, res.StatusCode)
		}
	}
	if res, _ := s.Call(t, "GET", "/nowhere", ""); res.StatusCode != 404 {
		t.Error(res.StatusCode)
	}
}

// The conditions of match, on a real request.
func TestMatchOverHTTP(t *testing.T) {
	for match, want := range map[string]int{
		"path: '/api/{name}', methods: [POST]":         200,
		"path: '/api/{name}', methods: [PUT, GET]":     500,
		"query: { q: '1' }":                            500,
		"query: { q: '2*' }":                           500,
		"query: { q: '3' }":                            200,
		"query: { r: '' }":                             500,
		"headers: { x-user: b* }":                      500,
		"headers: { x-user: beta, user-agent: curl* }": 200,
		"host: 127.0.0.1":                              500,
		"host: example.com":                            200,
		"per: client":                                  500,
		"per: route":                                   500,
		"per: 'query:q'":                               500,
		"per: 'query:r'":                               200,
		"per: 'header:X-USER'":                         500,
		"server: '*'":                                  500,
		"server: nowhere":                              200,
		"grpc: '*'":                                    200,
	} {
		s := registrytest.Serve(t, rules("rules: [{name: r, match: {"+match+"}, fault: {status: 500, grpc: ABORTED}}]"), new(faults.Module), new(endpoint))
		if res, _ := s.Call(t, "GET", "/api/info?q=1&q=22&a=%26", "", "x-user", "beta"); res.StatusCode != want {
			t.Errorf("%s: %d", match, res.StatusCode)
		}
	}
}

func TestInternalRoutesAreNotHit(t *testing.T) {
	s := registrytest.Serve(t, rules("rules: [{name: r, fault: {status: 500}}]", "RESPONSE_HEADER", "-", "BY_HEADER", "true"), new(faults.Module), new(endpoint))
	for path, want := range map[string]int{"/internal": 200, "/a": 500, "/nowhere": 500} {
		if res, _ := s.Call(t, "GET", path, "", "x-envoy-fault-abort-request", "503"); res.StatusCode != want || res.Header.Get("X-Podinfo-Fault") != "" {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
	}
}

// TestPerClientBehindAProxy checks that rules count the clients of a trusted proxy
// separately, and the proxy as one client when it is not trusted.
func TestPerClientBehindAProxy(t *testing.T) {
	for trusted, want := range map[string]string{"127.0.0.0/8": "500 500 200 500", "": "500 200 200 200"} {
		env := rules("rules: [{name: r, match: {path: /a, per: client}, when: {first: 1}, fault: {status: 500}}]")
		env["PODINFO_TRUSTED_PROXIES"] = trusted
		s := registrytest.Serve(t, env, new(faults.Module), new(endpoint))
		var got []string
		for _, client := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1", "203.0.113.9, 192.0.2.3"} {
			res, _ := s.Call(t, "GET", "/a", "", "X-Forwarded-For", client)
			got = append(got, fmt.Sprint(res.StatusCode))
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("with %q trusted: %s, want %s", trusted, text, want)
		}
	}
}

// TestUnmatchedRequests checks that rules break the responses to requests that no
// route serves.
func TestUnmatchedRequests(t *testing.T) {
	s := registrytest.Serve(t, rules("rules: [{name: r, match: {path: /nowhere}, fault: {status: 503}}, {name: c, match: {path: /cut}, fault: {truncate: 5}}, {name: s, match: {path: /a, methods: BREW}, fault: {status: 418}}]"), new(faults.Module), new(endpoint))
	for target, want := range map[string]int{"GET /nowhere": 503, "GET /other": 404, "BREW /a": 418, "GET /a": 200} {
		method, path, _ := strings.Cut(target, " ")
		if res, _ := s.Call(t, method, path, ""); res.StatusCode != want {
			t.Errorf("%s: %d", target, res.StatusCode)
		}
	}
	if got, _ := exchange(t, s.Listener.Addr().String(), "GET /cut HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\n{\n  \"") {
		t.Errorf("%q", got)
	}
}

func TestPrefix(t *testing.T) {
	env := rules("rules: [{name: r, match: {path: /api/info}, fault: {status: 500}}]")
	env["PODINFO_PREFIX"] = "/foo"
	s := registrytest.Serve(t, env, new(faults.Module), new(endpoint))
	for path, want := range map[string]int{"/foo/api/info": 500, "/foo/api/x": 200} {
		if res, _ := s.Call(t, "GET", path, ""); res.StatusCode != want {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

func TestLimits(t *testing.T) {
	s := registrytest.Serve(t, rules("rules: [{name: r, match: {path: /a, per: client}, limit: {rate: 0.01, burst: 3}}]"), new(faults.Module), new(endpoint))
	for i := range 5 {
		res, _ := s.Call(t, "GET", "/a", "")
		want, retry := 200, ""
		if i >= 3 {
			want, retry = 429, "100"
		}
		if got := res.Header.Get("Retry-After"); res.StatusCode != want || got != retry {
			t.Errorf("%d: %d %q", i, res.StatusCode, got)
		}
	}
}

func TestByHeader(t *testing.T) {
	s := registrytest.Serve(t, rules("true", "BY_HEADER", "true"), new(faults.Module), new(endpoint))
	for i, c := range []struct {
		headers []string
		code    int
		body    string
	}{
		{nil, 200, text},
		{[]string{"x-envoy-fault-abort-request", "503"}, 503, ""},
		{[]string{"x-envoy-fault-abort-request", "503", "x-envoy-fault-abort-request-percentage", "0"}, 200, text},
		{[]string{"x-envoy-fault-abort-request", "200"}, 400, "use a status"},
		{[]string{"x-envoy-fault-abort-request", "503", "x-envoy-fault-abort-request-percentage", "x"}, 400, "percentage"},
		{[]string{"x-envoy-fault-delay-request", "1", "x-envoy-fault-abort-request", "504"}, 504, ""},
		{[]string{"x-envoy-fault-delay-request", "soon"}, 400, "milliseconds"},
		{[]string{"x-envoy-fault-throughput-response", "1"}, 200, text},
		{[]string{"x-envoy-fault-throughput-response", "0"}, 400, "use KiB per second"},
		{[]string{"x-envoy-fault-throughput-response", "1", "x-envoy-fault-abort-request", "503"}, 503, ""},
		{[]string{"x-envoy-fault-throughput-response", "1", "x-envoy-fault-abort-request", "503", "x-envoy-fault-abort-request-percentage", "0"}, 200, text},
		{[]string{"x-envoy-fault-throughput-response", "1", "upgrade", "websocket"}, 400, "only HTTP responses have a throughput"},
		{[]string{"x-envoy-fault-throughput-response", "1", "x-envoy-fault-throughput-response-percentage", "-1"}, 400, "percentage"},
		{[]string{"x-podinfo-fault", "{delay: 1ms, fault: {status: 502, body: no}}"}, 502, "no"},
		{[]string{"x-podinfo-fault", "{name: real, fault: {status: 502}}"}, 400, "only delay, match.percent, at and a fault of the request are allowed"},
		{[]string{"x-podinfo-fault", "{fault: {websocket: {close: 1001}}}"}, 400, "fault does nothing to this request: it breaks messages of a WebSocket; use status"},
		{[]string{"x-podinfo-fault", "{delay: 1ms, fault: {websocket: {close: 1001}}}"}, 400, "does nothing to this request"},
		{[]string{"x-podinfo-fault", "{fault: {truncate: 1}}", "upgrade", "websocket"}, 400, "fault does nothing to this request: a handshake has no body"},
		{[]string{"x-podinfo-fault", "{delay: {fixed: 1ms, at: chunks}}", "upgrade", "websocket"}, 400, "delay does nothing to this request: its response has no chunks"},
		{[]string{"x-podinfo-fault", "{at: after, fault: {status: 503}}", "upgrade", "websocket"}, 400, "at does nothing to this request: it is open until"},
		{[]string{"x-envoy-fault-abort-grpc-request", "14"}, 400, "only gRPC calls have such a code; use x-envoy-fault-abort-request"},
		{[]string{"x-envoy-fault-abort-grpc-request", "14", "x-envoy-fault-abort-request", "504"}, 504, ""},
		{[]string{"x-podinfo-fault", "{fault: {statsu: 502}}"}, 400, `unknown key \"statsu\" (did you mean \"status\"?)`},
		{[]string{"x-podinfo-fault", "{fault: {unready: true}}"}, 400, "a fault of the request"},
		{[]string{"x-podinfo-fault", "{fault: {status: 502}} #" + strings.Repeat("x", 1024)}, 400, "longer than 1024 bytes"},
		{[]string{"x-podinfo-fault", "{fault: {grpc: ABORTED}}"}, 400, "fault does nothing to this request: "},
	} {
		res, body := s.Call(t, "GET", "/a", "", c.headers...)
		if res.StatusCode != c.code || !strings.Contains(body, c.body) {
			t.Errorf("%d: %v: %d %s", i, c.headers, res.StatusCode, body)
		}
	}
	off := registrytest.Serve(t, rules("true"), new(faults.Module), new(endpoint))
	if res, _ := off.Call(t, "GET", "/a", "", "x-envoy-fault-abort-request", "503"); res.StatusCode != 200 {
		t.Error(res.StatusCode)
	}
	capped := registrytest.Serve(t, rules("true", "BY_HEADER", "true", "BY_HEADER_PERCENT", "50"), new(faults.Module), new(endpoint))
	hit := 0
	for range 200 {
		if res, _ := capped.Call(t, "GET", "/a", "", "x-envoy-fault-abort-request", "503"); res.StatusCode == 503 {
			hit++
		}
	}
	if hit < 70 || hit > 130 {
		t.Errorf("%d of 200 at 50 %%", hit)
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"", "rules: [{name: x, fault: {status: 200}}]", "use a number from 400 to 599"},
		{"", "ruls: []", `unknown key "ruls" (did you mean "rules"?)`},
		{"_MAX_DELAY", "0s", "want a duration above zero"},
		{"_MAX_HELD", "0", "want a whole number above zero"},
		{"_MAX_KEYS", "1", "at least 2"},
		{"_BY_HEADER_PERCENT", "NaN", "want a number from 0 to 100"},
		{"_RESPONSE_HEADER", "a b", "want the name of a header"},
	} {
		env := map[string]string{"PODINFO_FAULTS_ENABLED": "true", "PODINFO_FAULTS" + c.key: c.value}
		_, err := newApp(env)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "PODINFO_FAULTS"+c.key+"=") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s=%s: %v", c.key, c.value, err)
		}
	}
	if _, err := newApp(map[string]string{"PODINFO_FAULTS": "rules: []", "PODINFO_FAULTS_FILE": "x"}); err == nil {
		t.Error("an inline scenario and a file are accepted together")
	}
	for value, on := range map[string]bool{"": false, "false": false, "true": true, "rules: []": true} {
		app, err := newApp(map[string]string{"PODINFO_FAULTS": value})
		if err != nil || fmt.Sprint(app.Modules()[0].State) != map[bool]string{true: "on", false: "off"}[on] {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// TestErrorBodies checks that an injected error has the body of every other error
// unless the rule sets one.
func TestErrorBodies(t *testing.T) {
	problem := func(code int, message string) string {
		return fmt.Sprintf("{\n  \"code\": %d,\n  \"message\": %q\n}", code, message)
	}
	const json = "application/json; charset=utf-8"
	for _, c := range []struct {
		rule, header, method string
		headers              []string // of the request
		code                 int
		media, body          string
	}{
		{"fault: {status: 503}", "X-Fault", "GET", nil, 503, json, problem(503, "injected fault of the rule r")},
		{"fault: {status: 503}", "-", "GET", nil, 503, json, problem(503, "injected fault")},
		{"fault: {status: 503}", "X-Fault", "HEAD", nil, 503, json, ""},
		{"fault: {status: 404, headers: {X-A: b}}", "X-Fault", "GET", nil, 404, json, problem(404, "injected fault of the rule r")},
		{"fault: {status: 503, body: gone}", "X-Fault", "GET", nil, 503, "text/plain; charset=utf-8", "gone"},
		{"fault: {status: 503, headers: {Content-Type: text/html}}", "X-Fault", "GET", nil, 503, "text/html", ""},
		{"limit: {rate: 0.001}", "X-Fault", "GET", nil, 429, json, problem(429, "injected fault of the rule r")},
		{"fault: {status: 401}", "X-Fault", "GET", []string{"Connection", "Upgrade", "Upgrade", "websocket"}, 401, json, problem(401, "injected fault of the rule r")},
		{"match: {path: /none}, delay: 1ms", "X-Fault", "GET", []string{"x-envoy-fault-abort-request", "418"}, 418, json, problem(418, "injected fault of the rule x-envoy-fault-abort-request")},
	} {
		s := registrytest.Serve(t, rules("rules: [{name: r, "+c.rule+"}]", "RESPONSE_HEADER", c.header, "BY_HEADER", "true"), new(faults.Module), new(endpoint))
		if strings.HasPrefix(c.rule, "limit") {
			s.Call(t, "GET", "/a", "") // the one request that the limit lets through
		}
		res, body := s.Call(t, c.method, "/a", "", c.headers...)
		if res.StatusCode != c.code || body != c.body || res.Header.Get("Content-Type") != c.media {
			t.Errorf("%s %q: %d %q %q", c.rule, c.headers, res.StatusCode, res.Header.Get("Content-Type"), body)
		}
	}
}
