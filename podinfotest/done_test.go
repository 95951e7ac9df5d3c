package podinfotest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

// What did not match is told: what was looked for, and what resembles it.
func TestNearMisses(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		if got, want := listen(t, func(tb testing.TB) { srv.Requests("/api/pay").WantCount(tb, 1) }), "0 requests to /api/pay, want 1"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		request(t, srv, "POST /api/pya", "")
		request(t, srv, "POST /api/pya", "")
		request(t, srv, "GET /api/info", "")
		request(t, srv, "GET /version", "")
		echo(t.Context(), srv.GRPC(), "x")
		srv.WaitAnswered(t.Context(), "*", 5)
		for what, c := range map[string]struct {
			f    func(testing.TB)
			want string
		}{
			"count":   {func(t testing.TB) { srv.Requests("POST /api/pay").WantCount(t, 1) }, "0 requests to POST /api/pay; near misses: POST /api/pya → 404, want 1"},
			"method":  {func(t testing.TB) { srv.Requests("PUT /api/info").WantSame(t, "X") }, "0 requests to PUT /api/info; near misses: GET /api/info → 200, want at least 1"},
			"fewer":   {func(t testing.TB) { srv.Requests("GET /version").WantCount(t, 2) }, "1 requests to GET /version, want 2\n"},
			"answers": {func(t testing.TB) { srv.Requests("/api/pay").WantAnswers(t, "200") }, "0 requests to /api/pay; near misses: POST /api/pya → 404, want 1"},
			"rpc":     {func(t testing.TB) { srv.Requests("/echo.EchoService/Ecoh").WantCount(t, 1) }, "0 requests to /echo.EchoService/Ecoh; near misses: /echo.EchoService/Echo → OK, want 1"},
			"backoff": {func(t testing.TB) { srv.Requests("POST /api/pay").WantBackoff(t, 0, time.Second) }, "0 requests to POST /api/pay; near misses: POST /api/pya → 404, want 2"},
			"told":    {func(t testing.TB) { srv.Requests("POST /api/pay").WantRetryAfter(t, 0) }, "0 requests to POST /api/pay; near misses: POST /api/pya → 404, want at least 2"},
			"conns":   {func(t testing.TB) { srv.Requests("POST /api/pay").WantConnections(t, 1) }, "0 requests to POST /api/pay; near misses: POST /api/pya → 404, want some on 1 connections"},
			"other":   {func(t testing.TB) { srv.Requests("/nothing/like/it").WantCount(t, 1) }, "0 requests to /nothing/like/it; 5 to other paths, none of which resembles it, want 1"},
		} {
			if got := listen(t, c.f); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s: %q, want %q", what, got, c.want)
			}
		}
	})
	// WaitRequests ends the test of its server.
	synctest.Test(t, func(t *testing.T) {
		got := listen(t, func(tb testing.TB) {
			srv := StartInMemory(tb)
			request(t, srv, "POST /api/pya", "")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			srv.WaitRequests(ctx, "/api/pay", 2)
		})
		if want := "/api/pay: 0 of 2 requests arrived: context deadline exceeded; near misses: POST /api/pya → 404"; !strings.Contains(got, want) {
			t.Error(got)
		}
	})
}

// WantDone names the steps that were not used, WantNoOthers the requests that no
// script matches. Strict checks both at the end of the test.
func TestDone(t *testing.T) {
	for what, c := range map[string]struct {
		f    func(*testing.T, *Server)
		want []string // nil for no failure
	}{
		"all used": {func(t *testing.T, s *Server) {
			s.Script("/a", Fail(503, 2), OK())
			for range 4 {
				request(t, s, "GET /a", "")
			}
		}, nil},
		"a probe is no other": {func(t *testing.T, s *Server) { request(t, s, "GET /healthz", "") }, nil},
		"steps left": {func(t *testing.T, s *Server) {
			s.Script("/a", Fail(503, 2), Fail(500, 1), OK())
			request(t, s, "GET /a", "")
		}, []string{"script of /a is not done: steps used: 1.503 1 of 2, 2.500 0 of 1, 3.ok 0 of 1\n"}},
		"repeated": {func(t *testing.T, s *Server) {
			s.Script("/a", Fail(503, 1), OK(), Repeat())
			request(t, s, "GET /a", "")
		}, []string{"script of /a is not done: steps used: 2.ok 0 of 1"}},
		"mistyped": {func(t *testing.T, s *Server) {
			s.Script("POST /api/pay", Fail(503, 1))
			request(t, s, "POST /api/pya", "")
		}, []string{
			"script of POST /api/pay is not done: steps used: 1.503 0 of 1; near misses: POST /api/pya → 404",
			"1 requests that no script matches; the scripts are of: POST /api/pay\n", "POST /api/pya",
		}},
		"conditions": {func(t *testing.T, s *Server) {
			s.Script("POST /api/pay", MatchHeader("X-Tenant", "acme"), MatchQuery("a", "1"), Fail(503, 1))
			request(t, s, "POST /api/pay?a=1", "", "X-Tenant", "other")
		}, []string{"script of POST /api/pay [header X-Tenant=acme, query a=1] is not done: steps used: 1.503 0 of 1; near misses: POST /api/pay → 200 (not header X-Tenant=acme)"}},
		"a call": {func(t *testing.T, s *Server) {
			s.Script("/echo.EchoService/Echo", FailGRPC(codes.Aborted, 2))
			echo(t.Context(), s.GRPC(), "x")
		}, []string{"script of /echo.EchoService/Echo is not done: steps used: 1.Aborted 1 of 2"}},
		"another call": {func(t *testing.T, s *Server) { echo(t.Context(), s.GRPC(), "x") }, []string{"1 requests that no script matches"}},
	} {
		for _, start := range []string{"tcp", "memory"} {
			run := func(t *testing.T) {
				got := listen(t, func(tb testing.TB) {
					conf, srv := Config{Strict: true}, (*Server)(nil)
					if start == "tcp" {
						srv = conf.Start(tb)
					} else {
						srv = conf.StartInMemory(tb)
					}
					c.f(t, srv)
				})
				for _, want := range c.want {
					if !strings.Contains(got, want) {
						t.Errorf("%q is not in %q", want, got)
					}
				}
				if c.want == nil && got != "" {
					t.Error(got)
				}
			}
			if t.Run(what+" "+start, func(t *testing.T) {
				if start == "tcp" {
					run(t)
				} else {
					synctest.Test(t, run)
				}
			}); t.Failed() {
				break
			}
		}
	}
}

// A call whose deadline ends is recorded with one word, whichever side noticed first.
func TestDeadlineIsOneWord(t *testing.T) {
	for _, method := range []string{"unary", "stream"} {
		synctest.Test(t, func(t *testing.T) {
			srv := StartInMemory(t)
			srv.Script("/echo.EchoService/*", Delay(time.Hour).Times(100))
			conn := srv.GRPC()
			for range 100 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				var err error
				if method == "unary" {
					_, err = echo(ctx, conn, "x")
				} else {
					err = stream(ctx, conn)
				}
				if status.Code(err) != codes.DeadlineExceeded {
					t.Error(err)
				}
				cancel()
			}
			words := map[string]int{}
			for _, r := range srv.WaitAnswered(t.Context(), "/echo.EchoService/*", 100) {
				words[r.Code.String()]++
			}
			if len(words) != 1 || words["DeadlineExceeded"] != 100 {
				t.Errorf("%s: %v", method, words)
			}
			srv.Requests("/echo.EchoService/*").WantAnswers(t, slices.Repeat([]string{"DeadlineExceeded"}, 100)...)
		})
	}
	// HTTP tells the server no deadline: the client has left.
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/version", Delay(time.Hour).Times(10))
		for range 10 {
			if err := fetch(t, srv.Client(), srv.URL+"/version", time.Second); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		srv.WaitAnswered(t.Context(), "/version", 10).WantAnswers(t, slices.Repeat([]string{"client left"}, 10)...)
	})
	// A client that leaves before its deadline has left.
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("/echo.EchoService/Echo", Delay(time.Hour).Times(100))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		go func() {
			srv.WaitRequests(t.Context(), "/echo.EchoService/Echo", 1)
			cancel()
		}()
		echo(ctx, srv.GRPC(), "x")
		srv.WaitAnswered(t.Context(), "/echo.EchoService/Echo", 1).WantAnswers(t, "Canceled, client left")
	})
}

// stream opens a stream and receives from it.
func stream(ctx context.Context, conn *grpc.ClientConn) error {
	s, err := echopb.NewEchoServiceClient(conn).Stream(ctx)
	if err == nil {
		_, err = s.Recv()
	}
	return err
}

// A word that is no response is refused, with the one that was probably meant.
func TestVocabulary(t *testing.T) {
	rs := Requests{}
	for _, word := range []string{"100", "101", "599", "OK", "Unavailable", "cut", "client left", "none yet", "200, client left", "Canceled, client left"} {
		if got := listen(t, func(tb testing.TB) { rs.WantAnswers(tb, word) }); strings.Contains(got, "not a response") {
			t.Errorf("%s: %s", word, got)
		}
	}
	for word, meant := range map[string]string{
		"200 OK": "200", "503 Service Unavailable": "503", "UNAVAILABLE": "Unavailable", "DEADLINE_EXCEEDED": "DeadlineExceeded", "unavailable": "Unavailable",
		"Cancelled": "Canceled", "Unavailabel": "Unavailable", "reset": "cut", "EOF": "cut", "timeout": "client left", "pending": "none yet", "": "none yet",
		"clientleft": "client left", "200,client left": "200, client left", "none yet,client left": "", "DeadlineExceeded, client left": "DeadlineExceeded", "42": "", "600": "", "teapot": "", "client left, client left": "", "none yet, client left": "",
	} {
		got := listen(t, func(tb testing.TB) { rs.WantAnswers(tb, word) })
		want := fmt.Sprintf("WantAnswers: response 1: %q is not a response", word)
		if meant != "" {
			want += fmt.Sprintf(" (did you mean %q?): want a status such as 503", meant)
		}
		if !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%q: %s", word, got)
		}
	}
}

// A request that net/http sent again by itself is explained.
func TestSecondTry(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("/a", OK(), Reset(), OK())
		for range 2 {
			if code, _, err := get(srv.Client(), srv.URL+"/a"); code != 200 {
				t.Fatal(code, err)
			}
		}
		rs := srv.WaitAnswered(t.Context(), "/a", 3)
		got := listen(t, func(tb testing.TB) { rs.WantCount(tb, 2) })
		if !strings.Contains(got, "request 3 is net/http's own second try, not the client's") {
			t.Error(got)
		}
		srv.Script("/b", OK(), Reset(), OK())
		for range 3 {
			res, err := srv.Client().Post(srv.URL+"/b", "", http.NoBody)
			if err == nil {
				res.Body.Close()
			}
		}
		rs = srv.WaitAnswered(t.Context(), "/b", 3)
		if got := listen(t, func(tb testing.TB) { rs.WantCount(tb, 2) }); strings.Contains(got, "second try") {
			t.Error(got)
		}
	})
}
