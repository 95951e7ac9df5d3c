package podinfotest_test

import (
	"bytes"
	"context"
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
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// both runs a test over TCP, and in memory in a bubble.
func both(t *testing.T, f func(t *testing.T, start func(testing.TB, ...string) *Server)) {
	t.Run("tcp", func(t *testing.T) { f(t, Start) })
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, StartInMemory) })
	})
}

// get is the status and body of a reply, or the error.
func get(c *http.Client, url string) (int, string, error) {
	res, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

const echoMethod = "/echo.EchoService/Echo"

func echo(ctx context.Context, conn *grpc.ClientConn, text string) (string, error) {
	out, err := echopb.NewEchoServiceClient(conn).Echo(ctx, &echopb.Message{Body: text}, grpc.WaitForReady(true))
	return out.GetBody(), err
}

func TestServesEachProtocol(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t, "PODINFO_UI_MESSAGE=hello")
		if code, body, err := get(srv.Client(), srv.URL+"/api/info"); code != 200 || !strings.Contains(body, `"message": "hello"`) {
			t.Error(code, body, err)
		}
		if text, err := echo(t.Context(), srv.GRPC(), "over gRPC"); text != "over gRPC" {
			t.Error(text, err)
		}
		h2c := &http.Transport{DialContext: srv.DialContext, Protocols: new(http.Protocols)}
		h2c.Protocols.SetUnencryptedHTTP2(true)
		res, err := (&http.Client{Transport: h2c}).Get(srv.URL + "/version")
		if err != nil || res.Proto != "HTTP/2.0" || res.StatusCode != 200 {
			t.Error(res, err)
		} else {
			res.Body.Close()
		}

		dialer := ws.Dialer{NetDial: srv.DialContext}
		conn, _, _, err := dialer.Dial(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http")+"/ws/echo")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := wsutil.WriteClientText(conn, []byte("over a WebSocket")); err != nil {
			t.Fatal(err)
		}
		for {
			b, err := wsutil.ReadServerText(conn)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), "over a WebSocket") {
				break
			}
		}
		var got []string
		for _, r := range srv.Requests("*") {
			got = append(got, strings.Join(strings.Fields(r.Proto+" "+r.Method+" "+r.Path), " "))
		}
		want := []string{"HTTP/1.1 GET /api/info", "gRPC /echo.EchoService/Echo", "HTTP/2.0 GET /version", "HTTP/1.1 GET /ws/echo"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		srv.WaitAnswered(t.Context(), "*", 4).WantAnswers(t, "200", "OK", "200", "101")
		srv.Requests("*").WantConnections(t, 4)
	})
}

// The steps of a script, in order, and what a client makes of each.
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
			fails error // nil for none, errAny for one of no matter which kind
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
			{429, "", nil, 20 * time.Millisecond},
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
	srv.Script("GET /version", Fail(500, 1)) // from the beginning, in place of the one before
	if diff := cmp.Diff([]int{500, 200, 200}, codes(3, "/version", "")); diff != "" {
		t.Error(diff)
	}
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

// What a call is told beside its code.
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

// Two servers, side by side, each as it was told.
func TestIsolated(t *testing.T) {
	for _, color := range []string{"#111111", "#222222"} {
		t.Run(color, func(t *testing.T) {
			t.Parallel()
			srv := Start(t, "PODINFO_UI_COLOR="+color)
			srv.Script("/version", Fail(503, 1))
			if code, _, err := get(srv.Client(), srv.URL+"/version"); code != 503 {
				t.Error(code, err)
			}
			if _, body, err := get(srv.Client(), srv.URL+"/api/info"); !strings.Contains(body, color) {
				t.Error(body, err)
			}
			srv.Requests("*").WantCount(t, 2)
		})
	}
}

func TestRandomFaultsRepeat(t *testing.T) {
	run := func(env ...string) (out []int) {
		srv := StartInMemory(t, env...)
		for range 20 {
			code, _, err := get(srv.Client(), srv.URL+"/version")
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, code)
		}
		return out
	}
	if a, b := run("PODINFO_RANDOM_ERROR=true"), run("PODINFO_RANDOM_ERROR=true"); !cmp.Equal(a, b) {
		t.Errorf("%v, then %v", a, b)
	}
	if a, b := run("PODINFO_RANDOM_ERROR=true"), run("PODINFO_RANDOM_ERROR=true", "PODINFO_SEED=7"); cmp.Equal(a, b) {
		t.Errorf("another seed gave the same: %v", a)
	}
}

func TestExitsAreRecorded(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t, "PODINFO_STRESS_CPU=64", "PODINFO_STRESS_MEMORY=1000000")
		if code, _, err := get(srv.Client(), srv.URL+"/panic"); code != 500 {
			t.Error(code, err)
		}
		if got := srv.Exits(); len(got) != 1 || got[0].Code != 255 {
			t.Error(got)
		}
		if cpu, mb := srv.Stress(); cpu != 64 || mb != 1000000 {
			t.Error(cpu, mb)
		}
	})
}

// A server's timeouts, and those of a client, on the bubble's clock.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/slow", Delay(2*time.Hour), Stall(5, time.Hour).Body("0123456789"), OK())
		client := srv.Client()
		client.Timeout = 30 * time.Second
		for range 2 {
			began := time.Now()
			_, _, err := get(client, srv.URL+"/slow")
			if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() || time.Since(began) != 30*time.Second {
				t.Error(err, time.Since(began))
			}
		}
		synctest.Wait() // until the server has seen it leave
		srv.Requests("/slow").WantAnswers(t, "client left", "200, client left")
		client.Timeout = 0
		conn, err := srv.DialContext(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		io.Copy(io.Discard, conn) // without a request: the server's own timeout
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("closed after %v", d)
		}
		conn.Close()
	})
}

// What is under way when a test ends does not outlive it.
func TestNothingIsLeft(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("/held", Delay(time.Hour))
		srv.Script(echoMethod, Delay(time.Hour))
		for range 3 {
			go get(&http.Client{Transport: &http.Transport{DialContext: srv.DialContext}}, srv.URL+"/held")
			go echo(context.Background(), srv.GRPC(), "x")
		}
		srv.WaitRequests(t.Context(), "/held", 3)
		srv.WaitRequests(t.Context(), echoMethod, 3)
	})
}

// A body that nobody reads is recorded, one that is too long in part.
func TestBodies(t *testing.T) {
	srv := StartInMemory(t)
	srv.Script("/refused", Fail(503, 2))
	long := bytes.Repeat([]byte("x"), 100<<10)
	for _, c := range []struct {
		path string
		body io.Reader
		want int
		cut  bool
	}{
		{"/refused", strings.NewReader("small"), 5, false},
		{"/refused", bytes.NewReader(long), 0, false}, // it was not read
		{"/echo", bytes.NewReader(long), 64 << 10, true},
		{"/echo", io.MultiReader(strings.NewReader("of unknown length")), 17, false},
	} {
		res, err := srv.Client().Post(srv.URL+c.path, "", c.body)
		if err != nil {
			t.Fatal(err)
		}
		back, err := io.ReadAll(res.Body)
		res.Body.Close()
		all := srv.Requests("*")
		if r := all[len(all)-1]; err != nil || len(r.Body) != c.want || r.BodyCut != c.cut || c.path == "/echo" && len(back) < c.want {
			t.Errorf("%s: %d bytes, cut %v, %v", c.path, len(r.Body), r.BodyCut, err)
		}
	}
}

// The log goes to the test when a level is asked for, and nowhere else.
func TestLog(t *testing.T) {
	for level, want := range map[string]bool{"PODINFO_LEVEL=info": true, "PODINFO_UI_MESSAGE=x": false} {
		var b bytes.Buffer
		h := &heard{TB: t, out: &b}
		StartInMemory(h, level)
		h.end()
		if got := strings.Contains(b.String(), "Starting HTTP Server."); got != want {
			t.Errorf("%s: %s", level, b.String())
		}
	}
}

// What a server costs a test, from its start to its end.
func BenchmarkServer(b *testing.B) {
	for name, start := range map[string]func(testing.TB, ...string) *Server{"tcp": Start, "memory": StartInMemory} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				listen(b, func(tb testing.TB) {
					srv := start(tb)
					if _, _, err := get(srv.Client(), srv.URL+"/version"); err != nil {
						b.Error(err)
					}
				})
			}
		})
	}
}

// Every stock route that needs no peer answers in a bubble, and what waits
// does so on its clock.
func TestStockRoutesInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t, "PODINFO_CACHE_TTL=1h", "PODINFO_ACCESS_LOG_LEVEL=info")
		send := func(method, path, body string) int {
			req, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(path, err)
			}
			defer res.Body.Close()
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				t.Error(path, err)
			}
			return res.StatusCode
		}
		for _, c := range []struct {
			method, path string
			code         int
			took         time.Duration
		}{
			{"GET", "/", 200, 0}, {"GET", "/metrics", 200, 0}, {"GET", "/healthz", 200, 0}, {"GET", "/readyz", 200, 0},
			{"GET", "/env", 200, 0}, {"GET", "/headers", 200, 0}, {"GET", "/swagger.json", 200, 0}, {"GET", "/swagger/index.html", 200, 0},
			{"POST", "/token", 200, 0}, {"POST", "/store", 202, 0}, {"GET", "/configs", 200, 0}, {"GET", "/status/418", 418, 0},
			{"POST", "/cache/k", 202, 0}, {"GET", "/cache/k", 200, 0}, {"GET", "/delay/3600", 200, time.Hour}, {"GET", "/cache/k", 404, 0},
			{"GET", "/chunked/60", 200, time.Minute}, {"GET", "/nothing", 404, 0},
		} {
			began := time.Now()
			if code := send(c.method, c.path, "x"); code != c.code || time.Since(began) != c.took {
				t.Errorf("%s %s: %d after %v, want %d after %v", c.method, c.path, code, time.Since(began), c.code, c.took)
			}
		}
	})
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

// Over HTTP/2 one stream is broken, and the others on the connection are not.
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

// The attempts of many clients at once are, together, those of the script.
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
