package podinfotest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// attempts sends requests with these gaps between them.
func attempts(t *testing.T, srv *Server, gaps []time.Duration, edit func(i int, r *http.Request)) Requests {
	t.Helper()
	for i, gap := range append([]time.Duration{0}, gaps...) {
		time.Sleep(gap)
		req, err := http.NewRequest("POST", srv.URL+"/api/pay", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if edit != nil {
			edit(i, req)
		}
		if res, err := srv.Client().Do(req); err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	synctest.Wait()
	return srv.Requests("/api/pay")
}

func TestTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/api/pay", Fail(503, 1), Delay(1500*time.Millisecond), Reset())
		got := attempts(t, srv, []time.Duration{time.Second, 2 * time.Second, 10 * time.Minute}, nil).String()
		want := strings.Join([]string{
			"  #  at       gap    request        conn  response  took  rules",
			"  1  0s              POST /api/pay  1     503       0s    script1.1.503",
			"  2  1s       1s     POST /api/pay  1     200       1.5s  script1.2.delay",
			"  3  4.5s     2s     POST /api/pay  1     cut       0s    script1.3.reset",
			"  4  10m4.5s  10m0s  POST /api/pay  2     200       0s",
		}, "\n")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// Each assertion accepts what it should, and says what is wrong otherwise.
func TestAssertions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/api/pay", Fail(429, 1).Header("Retry-After", "2"), Fail(503, 1))
		rs := attempts(t, srv, []time.Duration{2 * time.Second, 4 * time.Second}, func(i int, r *http.Request) {
			r.Header.Set("Idempotency-Key", "k1")
			r.Header.Set("X-Attempt", string(rune('1'+i)))
		})
		for what, c := range map[string]struct {
			f    func(testing.TB)
			want string // "" for no failure
		}{
			"count":          {func(t testing.TB) { rs.WantCount(t, 3) }, ""},
			"count off":      {func(t testing.TB) { rs.WantCount(t, 4) }, "3 requests to /api/pay, want 4"},
			"answers":        {func(t testing.TB) { rs.WantAnswers(t, "429", "503", "200") }, ""},
			"answers off":    {func(t testing.TB) { rs.WantAnswers(t, "200") }, "request 1: got 429, want 200"},
			"answers fewer":  {func(t testing.TB) { rs.WantAnswers(t, "429", "503", "200", "200") }, "3 requests to /api/pay, want 4"},
			"answers more":   {func(t testing.TB) { rs.WantAnswers(t, "429", "503") }, "3 requests to /api/pay, want 2"},
			"gaps":           {func(t testing.TB) { rs.WantGaps(t, 2*time.Second, 4*time.Second) }, ""},
			"gaps short":     {func(t testing.TB) { rs.WantGaps(t, 3*time.Second, time.Minute) }, "request 2 came 2s after the previous one, want 3s to 1m0s"},
			"gaps long":      {func(t testing.TB) { rs.WantGaps(t, 0, 3*time.Second) }, "request 3 came 4s after the previous one, want 0s to 3s"},
			"backoff":        {func(t testing.TB) { rs.WantBackoff(t, 0, 2*time.Second, 4*time.Second) }, ""},
			"backoff off":    {func(t testing.TB) { rs.WantBackoff(t, 0, 2*time.Second, 3*time.Second) }, "request 3 came 4s after the previous one, want 3s and at most 0s more"},
			"backoff number": {func(t testing.TB) { rs.WantBackoff(t, 0, 2*time.Second) }, "2 gaps between requests, want 1"},
			"retry after":    {func(t testing.TB) { rs.WantRetryAfter(t, 0) }, ""},
			"none":           {func(t testing.TB) { rs[1:].WantRetryAfter(t, 0) }, "no request follows a response with Retry-After"},
			"same":           {func(t testing.TB) { rs.WantSame(t, "Idempotency-Key") }, ""},
			"not the same":   {func(t testing.TB) { rs.WantSame(t, "X-Attempt") }, `request 2 has X-Attempt "2", the first has "1"`},
			"not there":      {func(t testing.TB) { rs.WantSame(t, "X-Other") }, "request 1 has no X-Other"},
			"header":         {func(t testing.TB) { rs.WantHeader(t, "idempotency-key", "k1") }, ""},
			"header off":     {func(t testing.TB) { rs.WantHeader(t, "X-Attempt", "1") }, `request 2 has X-Attempt ["2"], want "1"`},
			"peak":           {func(t testing.TB) { rs.WantPeak(t, 1) }, ""},
			"connections":    {func(t testing.TB) { rs.WantConnections(t, 1) }, ""},
			"more of them":   {func(t testing.TB) { rs.WantConnections(t, 2) }, "1 connections, want 2"},
			"no gaps":        {func(t testing.TB) { rs[:1].WantGaps(t, 0, time.Hour) }, "1 requests to /api/pay, want at least 2"},
			"same of none":   {func(t testing.TB) { rs[:0].WantSame(t, "X-Attempt") }, "0 requests to /api/pay, want at least 1"},
			"header of none": {func(t testing.TB) { rs[:0].WantHeader(t, "X-Attempt", "1") }, "0 requests to /api/pay, want at least 1"},
			"peak of none":   {func(t testing.TB) { rs[:0].WantPeak(t, 1) }, "0 requests to /api/pay, want at least 1"},
		} {
			got := listen(t, c.f)
			switch {
			case c.want == "" && got != "":
				t.Errorf("%s: %s", what, got)
			case c.want != "" && (!strings.Contains(got, c.want) || !strings.Contains(got, "/api/pay") && !strings.HasSuffix(what, "none")):
				t.Errorf("%s: %q, want it to contain %q and the table", what, got, c.want)
			}
		}
	})
}

// A Retry-After that is a date, and one that the client did not obey.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		at := time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
		srv.Script("/api/pay", Fail(503, 1).Header("Retry-After", at), Fail(503, 1).Header("Retry-After", "60"))
		rs := attempts(t, srv, []time.Duration{30 * time.Second, 59 * time.Second}, nil)
		rs[:2].WantRetryAfter(t, 0)
		if got := listen(t, func(tb testing.TB) { rs.WantRetryAfter(tb, 0) }); !strings.Contains(got, "request 3 came 59s after a response with Retry-After: 60, want 1m0s") {
			t.Error(got)
		}
	})
}

// told is a service whose error has RetryInfo.
type told struct {
	pb.UnimplementedTestServiceServer
}

func (told) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) {
	s, err := status.New(codes.Unavailable, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Minute)})
	if err != nil {
		return nil, err
	}
	return nil, s.Err()
}

// RetryInfo may come from a script or from the handler. grpc-go obeys that of the
// script, which is also sent as pushback.
func TestRetryInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := Config{Services: func(r grpc.ServiceRegistrar) { pb.RegisterTestServiceServer(r, told{}) }}.StartInMemory(t)
		srv.Script(echoMethod, FailGRPC(codes.Unavailable, 1).Details(scenario.Details{RetryInfo: &scenario.RetryInfo{Delay: scenario.Duration(90 * time.Second)}}), OK())
		conn := srv.GRPC(grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{"service": "echo.EchoService"}], "retryPolicy": {
			"maxAttempts": 2, "initialBackoff": "1s", "maxBackoff": "1s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`))
		if _, err := echo(t.Context(), conn, "x"); err != nil {
			t.Fatal(err)
		}
		srv.Requests(echoMethod).WantRetryAfter(t, 0)
		for range 2 {
			pb.NewTestServiceClient(conn).EmptyCall(t.Context(), new(pb.Empty))
		}
		got := listen(t, func(tb testing.TB) { srv.Requests("/grpc.testing.TestService/*").WantRetryAfter(tb, 0) })
		if !strings.Contains(got, "request 2 came 0s after a response with RetryInfo: 1m0s, want 1m0s") {
			t.Error(got)
		}
	})
}

func TestPeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/api/pay", Delay(time.Minute).Times(3), OK())
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { get(srv.Client(), srv.URL+"/api/pay") })
		}
		all.Wait()
		rs := attempts(t, srv, nil, nil)
		if rs.Peak() != 3 || rs.Connections() != 3 {
			t.Errorf("%d at once, %d connections\n%v", rs.Peak(), rs.Connections(), rs)
		}
		if got := listen(t, func(tb testing.TB) { rs.WantPeak(tb, 2) }); !strings.Contains(got, "3 requests at the same time, want at most 2") {
			t.Error(got)
		}
	})
}

func TestWaiting(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("/slow", Delay(20*time.Millisecond).Times(2), OK())
		for range 2 {
			go get(srv.Client(), srv.URL+"/slow")
		}
		srv.WaitRequests(t.Context(), "/slow", 2)
		srv.WaitAnswered(t.Context(), "GET /slow", 2).WantAnswers(t, "200", "200")
		got := listen(t, func(tb testing.TB) {
			srv := start(tb)
			get(srv.Client(), srv.URL+"/version")
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("too long"))
			defer cancel()
			srv.WaitRequests(ctx, "/version", 2)
		})
		if !strings.Contains(got, "/version: 1 of 2 requests arrived: too long") || !strings.Contains(got, "GET /version") {
			t.Error(got)
		}
	})
}

// A failure shows the requests around the one that it is about.
func TestLongTable(t *testing.T) {
	rs := make(Requests, 1000)
	for i := range rs {
		rs[i].Status, rs[i].Path, rs[i].Done = 200, "/a", true
	}
	rs[499].Status = 503
	for want, f := range map[string]func(testing.TB){
		"request 500: got 503, want 200\n": func(t testing.TB) { rs.WantAnswers(t, slices.Repeat([]string{"200"}, 1000)...) },
		"\n  … 489 more\n  490":            func(t testing.TB) { rs.WantAnswers(t, slices.Repeat([]string{"200"}, 1000)...) },
		"\n  … 491 more":                   func(t testing.TB) { rs.WantAnswers(t, slices.Repeat([]string{"200"}, 1000)...) },
		"1000 requests, want 999;":         func(t testing.TB) { rs.WantCount(t, 999) },
		"\n  … 980 more\n  981":            func(t testing.TB) { rs.WantCount(t, 2000) },
		"\n  20 ":                          func(t testing.TB) { rs.WantConnections(t, 7) },
	} {
		if got := listen(t, f); !strings.Contains(got, want) || strings.Count(got, "\n") > 25 {
			t.Errorf("%q, want it to contain %q", got, want)
		}
	}
	if n := strings.Count(rs.String(), "\n"); n != 1000 {
		t.Errorf("%d rows", n)
	}
}

func TestWaitForMoreThanIsKept(t *testing.T) {
	got := listen(t, func(tb testing.TB) { StartInMemory(tb).WaitAnswered(t.Context(), "/a", 10_001) })
	if !strings.Contains(got, "/a: cannot wait for 10001 requests, because only the latest 10000 are kept") {
		t.Error(got)
	}
}

func TestMetadata(t *testing.T) {
	srv := StartInMemory(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", "k1")
	for range 2 {
		if _, err := echo(ctx, srv.GRPC(grpc.WithUserAgent("tester")), "x"); err != nil {
			t.Fatal(err)
		}
	}
	rs := srv.Requests("/echo.EchoService/*")
	rs.WantCount(t, 2)
	rs.WantSame(t, "Idempotency-Key")
	rs.WantConnections(t, 2)
	if r := rs[0]; !r.RPC || r.Method != "" || !strings.HasPrefix(r.Header.Get("User-Agent"), "tester") {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(&echopb.Message{Body: "x"}, rs[0].Message, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}
