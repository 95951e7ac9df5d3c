package podinfotest_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// The steps of a script in order, and what a client gets for each.
func TestScript(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		body := strings.Repeat("x", 100)
		srv.Script("/api/pay",
			Fail(503, 2).Header("Retry-After", "7").Body("later"), Delay(20*time.Millisecond), Reset(), Empty(), Truncate(10).Body(body),
			BadChunk().Body(body), Garbage(), Stall(10, 20*time.Millisecond).Body(body), Bandwidth(2000).Body(body), GoAway(),
			Reply(201, "{}").Header("Location", "/api/pay/1"), Fail(429, 1).Delay(20*time.Millisecond), OK().Body("done"))
		client := srv.Client()
		for i, want := range []struct {
			code  int
			body  string
			fails error // nil for no error, errAny for any error
			least time.Duration
		}{
			{503, "later", nil, 0},
			{503, "later", nil, 0},
			{200, "{\n  \"status\": \"OK\"\n}", nil, 20 * time.Millisecond},
			{0, "", syscall.ECONNRESET, 0},
			{0, "", io.EOF, 0},
			{200, body[:10], io.ErrUnexpectedEOF, 0},
			{200, body[:50], errAny, 0},
			{0, "", errAny, 0},
			{200, body, nil, 20 * time.Millisecond},
			{200, body, nil, 50 * time.Millisecond},
			{200, "{\n  \"status\": \"OK\"\n}", nil, 0},
			{201, "{}", nil, 0},
			{429, "{\n  \"code\": 429,\n  \"message\": \"injected fault of the rule script1.12.429\"\n}", nil, 20 * time.Millisecond},
			{200, "done", nil, 0},
			{200, "done", nil, 0},
		} {
			began := time.Now()
			res, err := client.Post(srv.URL+"/api/pay", "text/plain", strings.NewReader("attempt"))
			code, text := 0, ""
			if err == nil {
				var b []byte
				b, err = io.ReadAll(res.Body)
				res.Body.Close()
				code, text = res.StatusCode, string(b)
			}
			failed := errors.Is(err, want.fails) || want.fails == errAny && err != nil
			if code != want.code || text != want.body || !failed || time.Since(began) < want.least {
				t.Errorf("attempt %d: %d %q %v after %v", i+1, code, text, err, time.Since(began))
			}
		}
		reqs := srv.WaitAnswered(t.Context(), "/api/pay", 15)
		reqs.WantAnswers(t, "503", "503", "200", "cut", "cut", "cut", "cut", "cut", "200", "200", "200", "201", "429", "200", "200")
		if got := reqs[0].Reply.Get("Retry-After"); got != "7" {
			t.Errorf("Retry-After %q", got)
		}
		rules := ""
		for _, r := range reqs {
			rules += strings.Join(r.Rules, ",") + " "
			if string(r.Body) != "attempt" {
				t.Errorf("body %q", r.Body)
			}
		}
		const want = "script1.1.503 script1.1.503 script1.2.delay script1.3.reset script1.4.empty script1.5.truncate script1.6.bad-chunk script1.7.garbage " +
			"script1.8.stall script1.9.bandwidth script1.10.goaway script1.11.201 script1.12.429 script1.13.ok script1.13.ok "
		if diff := cmp.Diff(want, rules); diff != "" {
			t.Error(diff)
		}
	})
}

// A wildcard of any kind stands for every method of a service.
func TestScriptOfAService(t *testing.T) {
	for _, path := range []string{"/echo.EchoService/*", "/echo.EchoService/{method}", "/echo.EchoService/{method...}"} {
		synctest.Test(t, func(t *testing.T) {
			srv := StartInMemory(t)
			srv.Script(path, FailGRPC(codes.Aborted, 1), OK())
			conn := srv.GRPC()
			for _, want := range []codes.Code{codes.Aborted, codes.OK} {
				if _, err := echo(t.Context(), conn, "x"); status.Code(err) != want {
					t.Errorf("%s: %v, want %v", path, err, want)
				}
			}
			srv.Requests(path).WantAnswers(t, "Aborted", "OK")
		})
	}
}

var errAny = errors.New("any")

func TestScriptOfACall(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script(echoMethod, FailGRPC(codes.Unavailable, 2).Message("warming up"), Delay(20*time.Millisecond), FailGRPC(codes.Aborted, 1).Delay(20*time.Millisecond),
			Reset(), Empty(), GoAway(), OK())
		conn := srv.GRPC()
		for i, want := range []struct {
			code  codes.Code
			text  string
			least time.Duration
		}{
			{codes.Unavailable, "warming up", 0}, {codes.Unavailable, "warming up", 0}, {codes.OK, "", 20 * time.Millisecond},
			{codes.Aborted, "fault script1.3.Aborted", 20 * time.Millisecond},
			{codes.Internal, "stream terminated by RST_STREAM with error code: PROTOCOL_ERROR", 0},
			{codes.Unavailable, "error reading from server: EOF", 0},
			{codes.OK, "", 0}, {codes.OK, "", 0},
		} {
			began := time.Now()
			_, err := echo(t.Context(), conn, "x")
			if s := status.Convert(err); s.Code() != want.code || s.Message() != want.text || time.Since(began) < want.least {
				t.Errorf("call %d: %v after %v", i+1, err, time.Since(began))
			}
		}
		rs := srv.WaitAnswered(t.Context(), echoMethod, 8)
		rs.WantAnswers(t, "Unavailable", "Unavailable", "OK", "Aborted", "Internal", "Unavailable", "OK", "OK")
		rs.WantConnections(t, 3)
		rules := ""
		for _, r := range rs {
			rules += strings.Join(r.Rules, ",") + " "
		}
		const want = "script1.1.Unavailable script1.1.Unavailable script1.2.delay script1.3.Aborted script1.4.reset script1.5.empty script1.6.goaway script1.7.ok "
		if diff := cmp.Diff(want, rules); diff != "" {
			t.Error(diff)
		}
		var trailer metadata.MD
		if _, err := echopb.NewEchoServiceClient(conn).Echo(t.Context(), new(echopb.Message), grpc.Trailer(&trailer)); err != nil || len(trailer) > 0 {
			t.Errorf("%v, %v: a step that lets the call pass must not be reported as a fault", trailer, err)
		}
	})
}

func TestRepeatAndPer(t *testing.T) {
	srv := StartInMemory(t)
	srv.Script("GET /version", Fail(503, 1), OK(), Fail(429, 2), Repeat())
	srv.Script("/orders/{id}", Per("header:X-Order"), Fail(503, 1), OK())
	codes := func(n int, path, order string) (out []int) {
		for range n {
			req, err := http.NewRequest("GET", srv.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Order", order)
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			out = append(out, res.StatusCode)
		}
		return out
	}
	for _, c := range []struct {
		path, order string
		want        []int
	}{
		{"/version", "", []int{503, 200, 429, 429, 503, 200, 429, 429, 503}},
		{"/orders/1", "a", []int{503, 200, 200}},
		{"/orders/2", "b", []int{503, 200, 200}},
	} {
		if diff := cmp.Diff(c.want, codes(len(c.want), c.path, c.order)); diff != "" {
			t.Error(c.path, diff)
		}
	}
	srv.Script("GET /version", Fail(500, 1)) // replaces the first script and starts again
	if diff := cmp.Diff([]int{500, 200, 200}, codes(3, "/version", "")); diff != "" {
		t.Error(diff)
	}
}

// A script without a method matches all methods: those of the route, those that
// the route lacks, and those that an earlier script with a method does not match.
func TestMethods(t *testing.T) {
	srv := StartInMemory(t)
	srv.Script("/version", Fail(503, 3), OK())
	srv.Script("POST  /api/pay", Fail(500, 1), OK())
	srv.Script("/api/pay", Fail(503, 1), OK())
	srv.Script("/a b", Fail(503, 1))
	srv.Script("/delay/0", Fail(503, 1))
	srv.Script("/delay/{seconds}", Fail(500, 1), OK())
	srv.Script("/status/4*", Fail(503, 1), OK())
	srv.Script("PUT /status/{rest...}", Fail(500, 1), OK())
	for _, c := range []struct {
		request string
		want    int
	}{
		{"GET /version", 503}, {"PUT /version", 503}, {"HEAD /version", 503}, {"GET /version", 200}, {"PUT /version", 200},
		{"GET /api/pay", 503}, {"GET /api/pay", 200}, {"POST /api/pay", 500}, {"POST /api/pay", 200}, {"PURGE /api/pay", 200},
		{"GET /a%20b", 503}, {"GET /delay/0", 503}, {"GET /delay/0", 500}, {"GET /delay/0", 200},
		{"GET /status/418", 503}, {"GET /status/418", 418}, {"PUT /status/204", 500}, {"PUT /status/204", 204},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		req, err := http.NewRequest(method, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.request, res.StatusCode, c.want)
		}
	}
	srv.Requests("POST /api/pay").WantCount(t, 2)
	srv.Requests("/a b").WantCount(t, 1)
}

func TestScenarioBehindScripts(t *testing.T) {
	srv := StartInMemory(t, "PODINFO_FAULTS=rules: [{name: inline, match: {path: /env}, fault: {status: 504}}]")
	code := func(path string) int { c, _, _ := get(srv.Client(), srv.URL+path); return c }
	if got := code("/env"); got != 504 {
		t.Errorf("inline: %d", got)
	}
	srv.Script("/version", Fail(503, 1))
	if got := code("/env"); got != 504 {
		t.Errorf("inline beside a script: %d", got)
	}
	srv.Scenario("rules: [{name: file, match: {path: /version}, fault: {status: 500}}]")
	if diff := cmp.Diff([]int{503, 500, 500, 200}, []int{code("/version"), code("/version"), code("/version"), code("/env")}); diff != "" {
		t.Error(diff)
	}
	srv.ScenarioFile("../examples/scenarios/broken-wire.yaml")
	if got := srv.Requests("/version"); len(got) != 3 || got[1].Rules[0] != "file" {
		t.Error(got)
	}
}

// A failed call carries the details of its step.
func TestDetails(t *testing.T) {
	srv := StartInMemory(t)
	srv.Script(echoMethod, FailGRPC(codes.ResourceExhausted, 1).Details(scenario.Details{RetryInfo: &scenario.RetryInfo{Delay: scenario.Duration(time.Second)}}))
	_, err := echo(t.Context(), srv.GRPC(), "x")
	details := status.Convert(err).Details()
	if len(details) != 1 {
		t.Fatal(err, details)
	}
	if info, ok := details[0].(*errdetails.RetryInfo); !ok || info.GetRetryDelay().AsDuration() != time.Second {
		t.Error(details)
	}
}

func TestScriptOfAWebSocket(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("/ws/echo", Fail(503, 1), CloseWebSocket(1011, 0), OK())
		dial := func() (net.Conn, error) {
			dialer := ws.Dialer{NetDial: srv.DialContext}
			conn, _, _, err := dialer.Dial(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http")+"/ws/echo")
			return conn, err
		}
		if _, err := dial(); err == nil || !strings.Contains(err.Error(), "503") {
			t.Error(err)
		}
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := wsutil.WriteClientText(conn, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		_, err = wsutil.ReadServerText(conn)
		if closed, ok := errors.AsType[wsutil.ClosedError](err); !ok || closed.Code != 1011 {
			t.Error(err)
		}
		srv.Requests("/ws/echo").WantAnswers(t, "503", "101")
	})
}

// Over HTTP/2 a step breaks one stream, and not the others of the connection.
func TestScriptOverHTTP2(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("POST /api/pay", Reset(), Truncate(3).Body("0123456789"), GoAway(), OK())
		h2 := &http.Transport{DialContext: srv.DialContext, Protocols: new(http.Protocols)}
		h2.Protocols.SetUnencryptedHTTP2(true)
		defer h2.CloseIdleConnections()
		var got []string
		for range 4 {
			res, err := (&http.Client{Transport: h2}).Post(srv.URL+"/api/pay", "", strings.NewReader("42"))
			if err == nil {
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			if err != nil {
				got = append(got, err.Error())
			} else {
				got = append(got, res.Proto+" "+res.Status)
			}
		}
		if !strings.Contains(got[0], "INTERNAL_ERROR") || !strings.Contains(got[1], "INTERNAL_ERROR") || got[2] != "HTTP/2.0 200 OK" || got[3] != "HTTP/2.0 200 OK" {
			t.Errorf("%q", got)
		}
		rs := srv.WaitAnswered(t.Context(), "/api/pay", 4)
		rs.WantAnswers(t, "cut", "cut", "200", "200")
		rs.WantConnections(t, 2)
	})
}

// The attempts of many concurrent clients together follow the script.
func TestScriptUnderManyClients(t *testing.T) {
	srv := StartInMemory(t)
	srv.Script("/api/pay", Fail(503, 100), Fail(500, 50), OK())
	srv.Script("/round", Fail(503, 2), OK(), Repeat())
	counts := map[int]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 15 {
				for _, path := range []string{"/api/pay", "/round"} {
					code, _, err := get(srv.Client(), srv.URL+path)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					if path == "/round" {
						code = -code
					}
					counts[code]++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[int]int{503: 100, 500: 50, 200: 150, -503: 200, -200: 100}, counts); diff != "" {
		t.Error(diff)
	}
}
