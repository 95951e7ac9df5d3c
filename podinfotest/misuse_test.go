package podinfotest_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Misuse ends the test with one line that says what is wrong and what to do.
func TestMisuse(t *testing.T) {
	for _, c := range []struct {
		what string
		env  string
		f    func(*Server)
		want string
	}{
		{"entry", "PODINFO_SEED", nil, "PODINFO_SEED: want NAME=value"},
		{"value", "PODINFO_SEED=x", nil, `PODINFO_SEED="x": want a whole number`},
		{"port", "PODINFO_PORT=9898", nil, "PODINFO_PORT=9898: podinfotest chooses a free port: remove the variable and use Server.URL"},
		{"misspelt", "PODINFO_RANDOM_EROR=true", nil, `PODINFO_RANDOM_EROR=true: unknown variable (did you mean "PODINFO_RANDOM_ERROR"?)`},
		{"no prefix", "RANDOM_ERROR=true", nil, `RANDOM_ERROR=true: unknown variable (did you mean "PODINFO_RANDOM_ERROR"?)`},
		{"no HTTP", "PODINFO_HTTP_SERVER_ENABLED=false", nil, "module http-server is off by PODINFO_HTTP_SERVER_ENABLED, and podinfotest needs it: turn it on"},
		{"no record", "PODINFO_PODINFOTEST_ENABLED=false", nil, "set PODINFO_PODINFOTEST_ENABLED=true"},
		{"no gRPC", "PODINFO_GRPC_SERVER_ENABLED=false", func(s *Server) { s.GRPC() }, "module grpc-server is off by PODINFO_GRPC_SERVER_ENABLED"},
		{"file", "PODINFO_FAULTS_FILE=x", nil, "remove the variable and use Server.ScenarioFile"},
		{"no steps", "", func(s *Server) { s.Script("/a") }, "script of /a: no steps: add at least one attempt"},
		{"status", "", func(s *Server) { s.Script("/a", Fail(200, 1)) }, "step 1: Fail with status 200: want 400 to 599; Reply sends any other"},
		{"times", "", func(s *Server) { s.Script("/a", OK(), Fail(503, 0)) }, "step 2: 0 times: want at least 1"},
		{"repeat", "", func(s *Server) { s.Script("/a", Repeat(), OK()) }, "step 1: Repeat must be the last step"},
		{"only repeat", "", func(s *Server) { s.Script("/a", Repeat()) }, "no steps"},
		{"call", "", func(s *Server) { s.Script("/a", FailGRPC(codes.Aborted, 1)) }, "Aborted applies only to calls, and the server has no such RPC: check the path"},
		{"OK call", "", func(s *Server) { s.Script(echoMethod, FailGRPC(codes.OK, 1)) }, "OK is not an error"},
		{"status of a call", "", func(s *Server) { s.Script(echoMethod, Fail(503, 1)) }, "503 does not apply to calls: use FailGRPC"},
		{"details", "", func(s *Server) { s.Script("/a", Fail(503, 1).Message("x")) }, "step 1: Message applies only to FailGRPC"},
		{"body", "", func(s *Server) { s.Script("/a", Reset().Body("x")) }, "step 1: reset sends no response: remove Header and Body"},
		{"reply", "", func(s *Server) { s.Script("/a", OK(), Reply(101, "")) }, "step 2: Reply with status 101: want 200 to 599"},
		{"body of 204", "", func(s *Server) { s.Script("/a", Reply(204, "x")) }, "step 1: a response with status 204 cannot have a body"},
		{"header", "", func(s *Server) { s.Script("/a", OK().Header("X y", "a")) }, `step 1: header "X y": want a valid header name`},
		{"header's value", "", func(s *Server) { s.Script("/a", Reply(200, "").Header("X", "a\r\nb")) }, `step 1: header "X": want a valid header name and a value on one line`},
		{"bandwidth", "", func(s *Server) { s.Script("/a", Bandwidth(0)) }, "step 1: a bandwidth of 0 bytes per second: want at least 1"},
		{"per", "", func(s *Server) { s.Script("/a", OK(), Per("")) }, "step 2: Per without a key: want header:NAME"},
		{"Step{}", "", func(s *Server) { s.Script("/a", Fail(503, 1), Step{}) }, "step 2: Step{} says nothing: use OK() to let the handler respond, or a step such as Fail(503, 1)"},
		{"two Per", "", func(s *Server) { s.Script("/a", Per("client"), OK(), Per("header:X")) }, `step 3: two Per, "client" and "header:X": a script counts by one key; remove one`},
		{"lost status", "", func(s *Server) { s.Script("/a", Fail(0, 1)) }, "step 1: Fail with status 0: want 400 to 599"},
		{"lost code", "", func(s *Server) { s.Script(echoMethod, FailGRPC(0, 1)) }, "step 1: FailGRPC with OK: OK is not an error"},
		{"lost reply", "", func(s *Server) { s.Script("/a", Reply(0, "")) }, "step 1: Reply with status 0: want 200 to 599"},
		{"lost pause", "", func(s *Server) { s.Script("/a", Stall(10, 0)) }, "step 1: Stall(10, 0s): want the bytes before the pause, and a pause above 0"},
		{"lost close code", "", func(s *Server) { s.Script("/ws/echo", CloseWebSocket(0, 1)) }, "step 1: CloseWebSocket(0, 1): want a code from 1000 to 4999"},
		{"lost times", "", func(s *Server) { s.Script("/a", OK().Times(0)) }, "step 1: 0 times: want at least 1"},
		{"negative delay", "", func(s *Server) { s.Script("/a", Delay(-1)) }, "step 1: a delay of -1ns: want 0 or more"},
		{"negative truncate", "", func(s *Server) { s.Script("/a", Truncate(-1)) }, "step 1: Truncate(-1): want a number of bytes, 0 for none"},
		{"negative after", "", func(s *Server) { s.Script(echoMethod, FailGRPC(codes.Aborted, 1).After(-1)) }, "step 1: After(-1): want a number of messages"},
		{"after of HTTP", "", func(s *Server) { s.Script("/a", Fail(503, 1).After(1)) }, "step 1: After applies only to FailGRPC"},
		{"no WebSocket", "", func(s *Server) { s.Script("/api/pay", CloseWebSocket(1011, 0)) }, "CloseWebSocket breaks WebSockets, and /api/pay serves none: use /ws/echo, or a step such as Reset"},
		{"mistyped RPC", "", func(s *Server) { s.Script("/echo.EchoService/Ecoh", OK()) }, `the server has no such RPC (did you mean "/echo.EchoService/Echo"?); write "POST /echo.EchoService/Ecoh" for an HTTP route of this path`},
		{"all health RPCs", "", func(s *Server) { s.Script("/grpc.health.v1.Health/*", OK()) }, "health and reflection are hit only by a script that names the RPC in full: use /grpc.health.v1.Health/Check"},
		{"all probes", "", func(s *Server) { s.Script("/healthz*", OK()) }, "probes and metrics are hit only by a script that names the path in full: use /healthz"},
		{"body of a call", "", func(s *Server) { s.Script(echoMethod, MatchBody("x"), OK()) }, "step 1: MatchBody does not apply to calls: use MatchHeader, which matches their metadata"},
		{"no text", "", func(s *Server) { s.Script("/a", MatchBody(""), OK()) }, "step 1: MatchBody without a text: use a pattern"},
		{"two values", "", func(s *Server) { s.Script("/a", MatchQuery("a", "1"), MatchQuery("a", "2"), OK()) }, `step 2: two MatchQuery of a, "1" and "2", and both cannot hold`},
		{"JSON path", "", func(s *Server) { s.Script("/a", MatchJSON("user.id", "1"), OK()) }, `match.json: "user.id" is not a path; use one such as $.user.id`},
		{"expression", "", func(s *Server) { s.Script("/a", MatchHeader("X", "~("), OK()) }, "match.headers.X: invalid regular expression"},
		{"only conditions", "", func(s *Server) { s.Script("/a", MatchHeader("X", "1")) }, "no steps: add at least one attempt"},
		{"no JSON", "", func(s *Server) { s.Script("/a", ReplyJSON(200, func() {})) }, "step 1: ReplyJSON: json: unsupported type: func()"},
		{"no such file", "", func(s *Server) { s.Script("/a", ReplyFile(200, "missing.json")) }, "step 1: ReplyFile: open missing.json: no such file"},
		{"template", "", func(s *Server) { s.Script("/a", ReplyTemplate(200, "{{pth}}")) }, `step 1: ReplyTemplate: template: reply:1: function "pth" not defined`},
		{"wildcard", "", func(s *Server) { s.Script("/a/{id}", ReplyTemplate(200, `{{if .Query}}{{print (path "ID")}}{{end}}`)) }, "ReplyTemplate: the path /a/{id} has no {ID}"},
		{"after of a unary RPC", "", func(s *Server) { s.Script(echoMethod, FailGRPC(codes.Aborted, 1).After(2)) }, "After ends a stream, and /echo.EchoService/Echo is unary: remove After"},
		{"empty fault", "", func(s *Server) { s.Script("/a", Fault(scenario.Fault{})) }, "step 1: fault has no effect"},
		{"path", "", func(s *Server) { s.Script("pay", OK()) }, `path "pay" is not clean and absolute`},
		{"conflict", "", func(s *Server) { s.Script("POST /{id}/token", OK()) }, "conflict"},
		{"delay", "PODINFO_FAULTS_MAX_DELAY=1s", func(s *Server) { s.Script("/a", Delay(time.Minute)) }, "a delay of 1m0s is above PODINFO_FAULTS_MAX_DELAY=1s: raise the limit"},
		{"no header", "PODINFO_FAULTS_RESPONSE_HEADER=-", func(s *Server) { s.Script("/a", Reply(200, "")) }, "PODINFO_FAULTS_RESPONSE_HEADER"},
		{"off", "PODINFO_FAULTS_ENABLED=false", func(s *Server) { s.Script("/a", OK()) }, "off by PODINFO_FAULTS_ENABLED"},
		{"scenario", "", func(s *Server) { s.Scenario("rules: [{name: x, fault: {status: 200}}]") }, "scenario:1:"},
		{"no file", "", func(s *Server) { s.ScenarioFile("missing.yaml") }, "missing.yaml: no such file"},
	} {
		got := listen(t, func(tb testing.TB) {
			var env []string
			if c.env != "" {
				env = append(env, c.env)
			}
			srv := StartInMemory(tb, env...)
			if c.f != nil {
				c.f(srv)
			}
		})
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want it to contain %q", c.what, got, c.want)
		}
	}
}

// A path that no request can match is refused wherever a path is given, with a
// suggestion.
func TestPaths(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `no path: use "*" for all`,
		"POST":                   `is a method without a path: want "POST /path"`,
		"post /api/pay":          `the method is not in capital letters: want "POST /api/pay"`,
		"P@ST /api/pay":          `"P@ST" is not a method`,
		"PSOT /api/pay":          `"PSOT" is not a method of HTTP (did you mean "POST"?)`,
		"GTE /api/pay":           `(did you mean "GET"?)`,
		"DELET /api/pay":         `(did you mean "DELETE"?)`,
		"api/pay":                `path "api/pay" is not clean and absolute: want "/api/pay"`,
		"GET api/pay":            `want "GET /api/pay"`,
		"echo.EchoService/Echo":  `want "/echo.EchoService/Echo"`,
		"POST " + echoMethod:     `an RPC has no method: want "/echo.EchoService/Echo"`,
		"/api/pay?x=1":           `the query is not part of a path: want "/api/pay"`,
		"/api/p%C3%A4y":          `paths are written without escapes: want "/api/päy"`,
		"/a{id}":                 `"/a{id}": {name} must be a whole segment`,
		"http://shop.example/a":  `the host is not part of a path: want "/a"`,
		"GET http://127.0.0.1/a": `want "GET /a"`,
	} {
		for what, f := range map[string]func(*Server){
			"script":   func(s *Server) { s.Script(text, OK()) },
			"requests": func(s *Server) { s.Requests(text) },
			"wait":     func(s *Server) { s.WaitRequests(t.Context(), text, 0) },
		} {
			if got := listen(t, func(tb testing.TB) { f(StartInMemory(tb)) }); !strings.Contains(got, want) || strings.Contains(got, "\n") {
				t.Errorf("%s of %q: %q, want it to contain %q", what, text, got, want)
			}
		}
	}
}

// A Config cannot remove or replace the modules that the package needs.
func TestConfigMisuse(t *testing.T) {
	for want, c := range map[string]Config{
		"module http-server is off by PODINFO_MODULES":                            {Options: []registry.Option{registry.Env(map[string]string{"PODINFO_MODULES": "none,podinfotest,podinfotest-replies"})}},
		"module http-server cannot be replaced in podinfotest: set its variables": {Modules: []registry.Module{new(httpserver.Module)}},
		"of With is nil": {Modules: []registry.Module{nil}},
	} {
		if got := listen(t, func(tb testing.TB) { c.StartInMemory(tb) }); !strings.Contains(got, want) {
			t.Errorf("%q, want it to contain %q", got, want)
		}
	}
}

// Without the grpc-server module, connections to the gRPC port are refused.
func TestNoGRPC(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t, "PODINFO_GRPC_SERVER_ENABLED=false")
		if _, err := srv.DialContext(t.Context(), "tcp", srv.GRPCAddr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
	})
}

// Use of a server outside its bubble, which would hang or end the process, is an
// error that says what to do.
func TestBubbles(t *testing.T) {
	const want = "start the server inside the bubble that uses it"
	for _, start := range []func(testing.TB, ...string) *Server{Start, StartInMemory} {
		outside := start(t)
		synctest.Test(t, func(t *testing.T) {
			if _, _, err := get(outside.Client(), outside.URL+"/version"); err == nil || !strings.Contains(err.Error(), want) {
				t.Error(err)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			if got := listen(t, func(tb testing.TB) { StartInMemory(tb).Reach(outside) }); !strings.Contains(got, want) {
				t.Errorf("reach: %q", got)
			}
		})
		if code, _, err := get(outside.Client(), outside.URL+"/version"); code != 200 {
			t.Error(err)
		}
	}
	for _, start := range []func(testing.TB, ...string) *Server{Start, StartInMemory} {
		got := listen(t, func(tb testing.TB) {
			outside := start(tb)
			synctest.Test(t, func(t *testing.T) {
				if got := listen(t, func(testing.TB) { outside.GRPC() }); got != "" {
					t.Error(got)
				}
			})
		})
		if !strings.Contains(got, want) {
			t.Errorf("gRPC: %q", got)
		}
	}
	servers, errs := make(chan *Server), make(chan error)
	go func() {
		_, err := (<-servers).DialContext(t.Context(), "tcp", "")
		errs <- err
	}()
	synctest.Test(t, func(t *testing.T) {
		if got := listen(t, func(tb testing.TB) { Start(tb) }); !strings.Contains(got, "use StartInMemory") {
			t.Errorf("Start: %q", got)
		}
		servers <- StartInMemory(t)
		if err := <-errs; err == nil || !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	})
}

// An invalid script does not change the server.
func TestBadScriptChangesNothing(t *testing.T) {
	listen(t, func(tb testing.TB) {
		srv := StartInMemory(tb)
		srv.Script("/a", Fail(503, 2))
		done := make(chan struct{})
		go func() { defer close(done); srv.Script("/token/{id}", OK()) }()
		<-done
		srv.Script("/b", Fault(scenario.Fault{Status: 418}))
		for path, want := range map[string]int{"/a": 503, "/b": 418} {
			if code, _, err := get(srv.Client(), srv.URL+path); code != want {
				t.Errorf("%s: %d %v", path, code, err)
			}
		}
	})
}

// A script's path is below the prefix, and PODINFO_MODULES does not turn off the
// modules that the package needs.
func TestPrefixAndModules(t *testing.T) {
	srv := Config{Modules: []registry.Module{new(good)}}.StartInMemory(t, "PODINFO_PREFIX=/shop", "PODINFO_MODULES=none,version,good")
	srv.Script("/version", Fail(503, 1))
	srv.Script("/pay", Fail(500, 1))
	var got []int
	for _, path := range []string{"/shop/version", "/shop/version", "/shop/pay", "/shop/pay", "/shop/env", "/pay"} {
		code, _, err := get(srv.Client(), srv.URL+path)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, code)
	}
	for i, want := range []int{503, 200, 500, 200, 404, 404} {
		if got[i] != want {
			t.Errorf("%v", got)
		}
	}
	srv.Requests("/version").WantCount(t, 2)
	srv.Requests("/shop/version").WantCount(t, 0)
}
