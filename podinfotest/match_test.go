package podinfotest_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

// served runs a test against a server with a configuration, over TCP and in a bubble.
func served(t *testing.T, c Config, f func(t *testing.T, srv *Server)) {
	t.Helper()
	t.Run("tcp", func(t *testing.T) { f(t, c.Start(t)) })
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, c.StartInMemory(t)) })
	})
}

// request sends a request with a body and a header, and returns the status.
func request(t testing.TB, srv *Server, what, body string, header ...string) int {
	t.Helper()
	method, path, _ := strings.Cut(what, " ")
	r, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := srv.Client().Do(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// A script's path is compared with the decoded path.
func TestEncodedSlash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/a/{id}", Fail(503, 1))
		srv.Script("/b/*", Fail(503, 1))
		for what, want := range map[string]int{"GET /a/7%2Fa": 404, "GET /a/7": 503, "GET /b/7%2Fa": 503} {
			if got := request(t, srv, what, ""); got != want {
				t.Errorf("%s: %d, want %d", what, got, want)
			}
		}
	})
}

// A script, or a scenario, is for any path, whether podinfo has it or not.
func TestAnyPath(t *testing.T) {
	for path, requests := range map[string]string{
		"*":               "GET /version GET /orders/1 POST /a/b/c PUT /version DELETE /",
		"GET /orders/*":   "GET /orders/1 GET /orders/1/items",
		"/orders/*":       "PATCH /orders/1 GET /orders/ PURGE /orders/x",
		"/orders/{id}":    "GET /orders/1 POST /orders/2",
		"/a/{rest...}":    "GET /a/b/c GET /a/b",
		"POST /v*":        "POST /version POST /v2/x",
		"/delay/{x}/more": "GET /delay/1/more",
		"/version":        "GET /version POST /version",
	} {
		for what, script := range map[string]func(*Server, int){
			"script":   func(s *Server, n int) { s.Script(path, Fail(503, n), OK()) },
			"stub":     func(s *Server, n int) { s.Script(path, Fail(503, n), Reply(200, "x")) },
			"scenario": func(s *Server, n int) { s.Scenario(rule(path, n)) },
		} {
			synctest.Test(t, func(t *testing.T) {
				srv := StartInMemory(t)
				all := strings.Fields(requests)
				script(srv, len(all)/2)
				for _, want := range []int{503, 200} {
					for i := 0; i < len(all); i += 2 {
						got := request(t, srv, all[i]+" "+all[i+1], "")
						if what == "scenario" && want == 200 && (all[i+1] == "/version" || all[i+1] == "/") { // which has a route for some methods
							continue
						}
						if got != want {
							t.Errorf("%s of %s: %s %s: %d, want %d", what, path, all[i], all[i+1], got, want)
						}
					}
				}
				if got := request(t, srv, "GET /none/of/these", ""); path != "*" && got != 404 {
					t.Errorf("%s: a path that it does not name: %d", path, got)
				}
			})
		}
	}
}

// rule returns a scenario that fails the first n requests for a pattern.
func rule(pattern string, n int) string {
	match := "path: '" + pattern + "'"
	if method, path, ok := strings.Cut(pattern, " "); ok {
		match = "methods: " + method + ", path: '" + path + "'"
	}
	return "rules: [{name: x, match: {" + match + "}, when: {first: " + string(rune('0'+n)) + "}, fault: {status: 503}}]"
}

// The script of "*" is for the whole service: for every request, and for every call
// if its steps apply to calls.
func TestWholeService(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		conn := srv.GRPC()
		call := func() codes.Code { _, err := echo(t.Context(), conn, "x"); return status.Code(err) }
		srv.Script("*", Fail(503, 2), OK())
		got := []int{request(t, srv, "GET /version", ""), request(t, srv, "POST /orders", ""), request(t, srv, "GET /orders", "")}
		if diff := cmp.Diff([]int{503, 503, 200}, got); diff != "" || call() != codes.OK {
			t.Error(diff)
		}
		srv.Script("*", FailGRPC(codes.Unavailable, 1), OK())
		if got := []codes.Code{call(), call()}; got[0] != codes.Unavailable || got[1] != codes.OK {
			t.Error(got)
		}
		srv.Script("*", Reset(), Reset(), OK())
		if code := call(); code != codes.Internal {
			t.Error(code)
		}
		if _, err := srv.Client().Post(srv.URL+"/orders", "", nil); err == nil {
			t.Error("the second attempt is not reset")
		}
		if got := request(t, srv, "GET /healthz", ""); got != 200 {
			t.Errorf("probe: %d", got)
		}
	})
}

// Each condition limits a script to the requests that meet it.
func TestConditions(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("/h", MatchHeader("x-tenant", "acme*"), Fail(503, 9))
		srv.Script("/q", MatchQuery("page", "~[2-9]"), Fail(503, 9))
		srv.Script("/c", Fail(503, 9), MatchCookie("session", "s1"))
		srv.Script("/b", MatchBody("*<sku>7</sku>*"), Fail(503, 9))
		srv.Script("/j", MatchJSON("$.items[*].sku", "7"), MatchJSON("$.user", "a"), Fail(503, 9))
		srv.Script("/none", MatchHeader("Authorization", ""), Fail(401, 9))
		srv.Script("/both", MatchHeader("X-Tenant", "acme"), MatchQuery("page", "2"), Fail(503, 9))
		for _, c := range []struct {
			request, body string
			header        []string
			want          int
		}{
			{"GET /h", "", []string{"X-Tenant", "acme-eu"}, 503},
			{"GET /h", "", []string{"X-Tenant", "other"}, 200},
			{"GET /h", "", nil, 200},
			{"GET /q?page=3", "", nil, 503},
			{"GET /q?page=1", "", nil, 200},
			{"GET /c", "", []string{"Cookie", "a=b; session=s1"}, 503},
			{"GET /c", "", []string{"Cookie", "session=s2"}, 200},
			{"POST /b", "<order><sku>7</sku></order>", nil, 503},
			{"POST /b", "<order><sku>8</sku></order>", nil, 200},
			{"POST /j", `{"user":"a","items":[{"sku":1},{"sku":7}]}`, nil, 503},
			{"POST /j", `{"user":"b","items":[{"sku":7}]}`, nil, 200},
			{"GET /none", "", nil, 401},
			{"GET /none", "", []string{"Authorization", "Bearer x"}, 200},
			{"GET /both?page=2", "", []string{"X-Tenant", "acme"}, 503},
			{"GET /both?page=2", "", nil, 200},
			{"GET /both", "", []string{"X-Tenant", "acme"}, 200},
		} {
			if got := request(t, srv, c.request, c.body, c.header...); got != c.want {
				t.Errorf("%s %s %q: %d, want %d", c.request, c.body, c.header, got, c.want)
			}
		}
		srv.Script(echoMethod, MatchHeader("x-tenant", "acme"), FailGRPC(codes.Aborted, 9))
		conn := srv.GRPC()
		for tenant, want := range map[string]codes.Code{"acme": codes.Aborted, "other": codes.OK} {
			if _, err := echo(metadata.AppendToOutgoingContext(t.Context(), "x-tenant", tenant), conn, "x"); status.Code(err) != want {
				t.Errorf("call of %s: %v", tenant, err)
			}
		}
	})
}

// Scripts with different conditions are different scripts. Of two that match, the
// first applies as long as it has a step left, and the record says so.
func TestWhichScriptWins(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("GET /orders/{id}", MatchHeader("X-Tenant", "acme"), Fail(503, 1))
		srv.Script("/orders/*", Reply(201, "").Times(1))
		srv.Script("*", Reply(202, ""))
		srv.Script("*", Reply(203, "")) // replaces the one before
		var got []int
		for range 3 {
			got = append(got, request(t, srv, "GET /orders/1", "", "X-Tenant", "acme"))
		}
		if diff := cmp.Diff([]int{503, 201, 203}, got); diff != "" {
			t.Error(diff)
		}
		var over [][]string
		rs := srv.WaitAnswered(t.Context(), "/orders/1", 3)
		for _, r := range rs {
			over = append(over, r.Over)
		}
		if diff := cmp.Diff([][]string{{"script2 /orders/*", "script4 *"}, {"script4 *"}, nil}, over); diff != "" {
			t.Error(diff)
		}
		if table := rs.String(); !strings.Contains(table, "script1.1.503 over script2 /orders/*, script4 *\n") {
			t.Error(table)
		}
	})
}

// Probes, metrics and the RPCs for health and reflection can be scripted by name.
func TestScriptOfProbes(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			srv.Script("GET "+path, Fail(503, 1), OK())
			if got := []int{request(t, srv, "GET "+path, ""), request(t, srv, "GET "+path, "")}; got[0] != 503 || got[1] != 200 {
				t.Errorf("%s: %v", path, got)
			}
		}
		conn := srv.GRPC()
		srv.Script("/grpc.health.v1.Health/Check", FailGRPC(codes.Unavailable, 1), OK())
		for _, want := range []codes.Code{codes.Unavailable, codes.OK} {
			if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), new(grpc_health_v1.HealthCheckRequest)); status.Code(err) != want {
				t.Error(err)
			}
		}
		srv.Script("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", FailGRPC(codes.Unavailable, 1), OK())
		for _, want := range []codes.Code{codes.Unavailable, codes.OK} {
			stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
			if err == nil { // the error of Send is EOF if the call has ended
				_ = stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}})
				_, err = stream.Recv()
			}
			if status.Code(err) != want {
				t.Error(err)
			}
			stream.CloseSend()
		}
		srv.WaitRequests(t.Context(), "/grpc.health.v1.Health/Check", 2)
	})
}
