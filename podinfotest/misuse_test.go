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

// What cannot be done ends the test with a line that says why.
func TestMisuse(t *testing.T) {
	for _, c := range []struct {
		what string
		env  string
		f    func(*Server)
		want string
	}{
		{"entry", "PODINFO_SEED", nil, "PODINFO_SEED: want NAME=value"},
		{"value", "PODINFO_SEED=x", nil, `PODINFO_SEED="x": want a whole number`},
		{"port", "PODINFO_PORT=9898", nil, "PODINFO_PORT=9898: the port is a free one, see Server.URL"},
		{"misspelt", "PODINFO_RANDOM_EROR=true", nil, `PODINFO_RANDOM_EROR=true: there is no such variable (did you mean "PODINFO_RANDOM_ERROR"?)`},
		{"no prefix", "RANDOM_ERROR=true", nil, `RANDOM_ERROR=true: there is no such variable (did you mean "PODINFO_RANDOM_ERROR"?)`},
		{"no HTTP", "PODINFO_HTTP_SERVER_ENABLED=false", nil, "module http-server is needed, and it is off by PODINFO_HTTP_SERVER_ENABLED"},
		{"no record", "PODINFO_PODINFOTEST_ENABLED=false", nil, "set PODINFO_PODINFOTEST_ENABLED=true"},
		{"no gRPC", "PODINFO_GRPC_SERVER_ENABLED=false", func(s *Server) { s.GRPC() }, "module grpc-server is needed, and it is off by PODINFO_GRPC_SERVER_ENABLED"},
		{"file", "PODINFO_FAULTS_FILE=x", nil, "use Server.ScenarioFile"},
		{"no steps", "", func(s *Server) { s.Script("/a") }, "script of /a: no steps"},
		{"status", "", func(s *Server) { s.Script("/a", Fail(200, 1)) }, "fault.status"},
		{"times", "", func(s *Server) { s.Script("/a", OK(), Fail(503, 0)) }, "step 2: 0 times, want at least 1"},
		{"repeat", "", func(s *Server) { s.Script("/a", Repeat(), OK()) }, "step 1: Repeat has to be the last"},
		{"only repeat", "", func(s *Server) { s.Script("/a", Repeat()) }, "no steps"},
		{"call", "", func(s *Server) { s.Script("/a", FailGRPC(codes.Aborted, 1)) }, "Aborted is for calls, and the server has no such RPC"},
		{"OK call", "", func(s *Server) { s.Script(echoMethod, FailGRPC(codes.OK, 1)) }, "OK is not an error"},
		{"status of a call", "", func(s *Server) { s.Script(echoMethod, Fail(503, 1)) }, "503 is not for calls"},
		{"details", "", func(s *Server) { s.Script("/a", Fail(503, 1).Message("x")) }, "step 1: Message and Details are for FailGRPC"},
		{"body", "", func(s *Server) { s.Script("/a", Reset().Body("x")) }, "step 1: reset has no header and no body"},
		{"reply", "", func(s *Server) { s.Script("/a", OK(), Reply(101, "")) }, "step 2: a reply of status 101, want 200 to 599"},
		{"body of none", "", func(s *Server) { s.Script("/a", Reply(204, "x")) }, "step 1: a reply of status 204 has no body"},
		{"header", "", func(s *Server) { s.Script("/a", OK().Header("X y", "a")) }, `step 1: header "X y": want the name of a header`},
		{"header's value", "", func(s *Server) { s.Script("/a", Reply(200, "").Header("X", "a\r\nb")) }, `step 1: header "X": want the name of a header`},
		{"bandwidth", "", func(s *Server) { s.Script("/a", Bandwidth(0)) }, "step 1: a bandwidth of 0 bytes a second, want at least 1"},
		{"per", "", func(s *Server) { s.Script("/a", OK(), Per("")) }, "step 2: Per of no key, want header:NAME"},
		{"fault of nothing", "", func(s *Server) { s.Script("/a", Fault(scenario.Fault{})) }, "step 1: fault breaks nothing"},
		{"path", "", func(s *Server) { s.Script("pay", OK()) }, `path "pay" is not clean and absolute`},
		{"conflict", "", func(s *Server) { s.Script("POST /{id}/token", OK()) }, "conflict"},
		{"nothing there", "", func(s *Server) { s.Script("/nothing/*", OK()) }, "no route matches"},
		{"delay", "PODINFO_FAULTS_MAX_DELAY=1s", func(s *Server) { s.Script("/a", Delay(time.Minute)) }, "a delay of 1m0s is more than PODINFO_FAULTS_MAX_DELAY=1s"},
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
			t.Errorf("%s: %q without %q", c.what, got, c.want)
		}
	}
}

// What no request matches is refused alike wherever a path is written, with what
// was meant.
func TestPaths(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `no path: use "*" for all`,
		"POST":                   `is a method without a path: want "POST /path"`,
		"post /api/pay":          `the method is not in capital letters: want "POST /api/pay"`,
		"P@ST /api/pay":          `"P@ST" is not a method`,
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
				t.Errorf("%s of %q: %q without %q", what, text, got, want)
			}
		}
	}
}

// Code can take away what the package needs, as the environment can.
func TestConfigMisuse(t *testing.T) {
	for want, c := range map[string]Config{
		"module http-server is needed, and it is off by PODINFO_MODULES": {Options: []registry.Option{registry.Env(map[string]string{"PODINFO_MODULES": "none,podinfotest,podinfotest-replies"})}},
		"module http-server has to be the package's own":                 {Modules: []registry.Module{new(httpserver.Module)}},
		"of With is nil": {Modules: []registry.Module{nil}},
	} {
		if got := listen(t, func(tb testing.TB) { c.StartInMemory(tb) }); !strings.Contains(got, want) {
			t.Errorf("%q without %q", got, want)
		}
	}
}

// Without its module nobody answers on the gRPC port, and nobody waits there.
func TestNoGRPC(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t, "PODINFO_GRPC_SERVER_ENABLED=false")
		if _, err := srv.DialContext(t.Context(), "tcp", srv.GRPCAddr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
	})
}

// What would hang or end the process is an error that says what to do.
func TestBubbles(t *testing.T) {
	const want = "start it inside the bubble"
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
	asked, answers := make(chan *Server), make(chan error)
	go func() {
		_, err := (<-asked).DialContext(t.Context(), "tcp", "")
		answers <- err
	}()
	synctest.Test(t, func(t *testing.T) {
		if got := listen(t, func(tb testing.TB) { Start(tb) }); !strings.Contains(got, "use StartInMemory") {
			t.Errorf("Start: %q", got)
		}
		asked <- StartInMemory(t)
		if err := <-answers; err == nil || !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	})
}

// A script that could not be leaves the server as it was.
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

// A prefix is not part of a script's path, and a short list of modules does not
// take away what the package needs.
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
