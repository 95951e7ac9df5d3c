package podinfotest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// both runs a test over TCP, and over in-memory connections inside a bubble.
func both(t *testing.T, f func(t *testing.T, start func(testing.TB, ...string) *Server)) {
	t.Run("tcp", func(t *testing.T) { f(t, Start) })
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, StartInMemory) })
	})
}

// get returns the status and the body of the response to a GET.
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
		if n := srv.Connections(); n != 4 {
			t.Errorf("%d connections", n)
		}
	})
}

// Two servers run at the same time, each with its own settings and script.
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

// A client of one server can connect to another one only after Reach.
func TestSeveralServers(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		a, b, c := start(t), start(t), start(t)
		if a.URL == b.URL || a.GRPCAddr == b.GRPCAddr {
			t.Fatal(a.URL, b.URL)
		}
		memory := strings.Contains(a.URL, ".test")
		_, _, err := get(a.Client(), b.URL+"/version")
		if refused := err != nil && strings.Contains(err.Error(), "is not the server "+a.URL+": call Server.Reach"); refused != memory {
			t.Error(err)
		}
		a.Requests("*").WantCount(t, 0)
		a.Reach(b, c)
		client := a.Client()
		b.Script("/pay", Fail(503, 1))
		for _, srv := range []*Server{b, c} {
			if _, _, err := get(client, srv.URL+"/pay"); err != nil {
				t.Error(err)
			}
		}
		b.Requests("/pay").WantAnswers(t, "503")
		c.Requests("/pay").WantAnswers(t, "404")
		a.Requests("*").WantCount(t, 0)
		if code, _, err := get(client, "http://shop.example/version"); code != 200 { // any other host name
			t.Error(err)
		}
		a.Requests("/version").WantCount(t, 1)
	})
}

// A gRPC client can balance its load over three servers.
func TestBalancing(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		all := []*Server{start(t), start(t), start(t)}
		all[0].Reach(all[1:]...)
		var addrs []resolver.Address
		for _, srv := range all {
			addrs = append(addrs, resolver.Address{Addr: srv.GRPCAddr})
		}
		names := manual.NewBuilderWithScheme("several")
		names.InitialState(resolver.State{Addresses: addrs})
		conn, err := grpc.NewClient("several:///", grpc.WithResolvers(names), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				return all[0].DialContext(ctx, "tcp", addr)
			}))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		waiting := func(srv *Server) bool { return len(srv.Requests(echoMethod)) == 0 }
		for slices.ContainsFunc(all, waiting) { // the first connection is used until the others are ready
			if _, err := echo(ctx, conn, "x"); err != nil {
				t.Fatal(err)
			}
		}
	})
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
		t.Errorf("two seeds give the same responses: %v", a)
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

// The timeouts of the server and of a client use the bubble's clock.
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
		synctest.Wait() // until the server has noticed that the client has left
		srv.Requests("/slow").WantAnswers(t, "client left", "200, client left")
		client.Timeout = 0
		conn, err := srv.DialContext(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		io.Copy(io.Discard, conn) // no request is sent, so the server's timeout closes it
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("closed after %v", d)
		}
		conn.Close()
	})
}

// Requests and calls in flight end with the test.
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

// A request ends when it is cut, even if its client keeps the connection open.
func TestCutEndsTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/a", Empty())
		conn, err := srv.DialContext(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
		if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
			t.Errorf("%q, %v", b, err)
		}
		time.Sleep(time.Minute)
		if r := srv.WaitAnswered(t.Context(), "/a", 1)[0]; r.Took != 0 {
			t.Errorf("took %v", r.Took)
		}
	})
}

// endless makes the test binary wait for a request that never arrives.
const endless = "PODINFOTEST_ENDLESS"

// An idle server does not advance a bubble's clock, so that the runtime reports a
// test that waits forever.
func TestDeadlockIsSeen(t *testing.T) {
	if os.Getenv(endless) != "" {
		synctest.Test(t, func(t *testing.T) { StartInMemory(t).WaitRequests(t.Context(), "/never", 1) })
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), endless+"=1")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "deadlock") {
		t.Errorf("%v: %s", err, out)
	}
}

// stuck is a module whose handler waits for a channel and ignores its context.
type stuck struct {
	good
	quit chan struct{}
}

func (m *stuck) Routes() []registry.Route {
	return []registry.Route{{Method: "GET", Path: "/stuck", Handler: func(http.ResponseWriter, *http.Request) { <-m.quit }}}
}

// A handler that does not return fails the test, which names the request.
func TestStuckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &stuck{quit: make(chan struct{})}
		got := listen(t, func(tb testing.TB) {
			srv := Config{Modules: []registry.Module{m}}.StartInMemory(tb)
			go get(srv.Client(), srv.URL+"/stuck")
			srv.WaitRequests(t.Context(), "/stuck", 1)
		})
		if !strings.Contains(got, "handlers have not returned 10s after the server was closed") || !strings.Contains(got, "GET /stuck") {
			t.Error(got)
		}
		close(m.quit)
	})
}

// A body that no handler reads is recorded, up to a limit.
func TestBodies(t *testing.T) {
	srv := StartInMemory(t)
	srv.Script("/refused", Fail(503, 5))
	stream := func(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b)) } // of unknown length
	long := bytes.Repeat([]byte("x"), 100<<10)
	for _, c := range []struct {
		path string
		body io.Reader
		want int
		cut  bool
	}{
		{"/refused", strings.NewReader("small"), 5, false},
		{"/refused", nil, 0, false},
		{"/refused", bytes.NewReader(long), 64 << 10, true},
		{"/refused", stream([]byte("small")), 5, false},
		{"/refused", stream(long), 64 << 10, true},
		{"/echo", stream(long[:64<<10]), 64 << 10, false},
		{"/echo", stream(long), 64 << 10, true},
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

// A client that is still sending a body of unknown length gets its response
// immediately.
func TestAnswersBeforeTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/upload", Fail(503, 1), Reset())
		h2c := &http.Transport{DialContext: srv.DialContext, Protocols: new(http.Protocols)} // over HTTP/1.1 net/http reads the rest first
		h2c.Protocols.SetUnencryptedHTTP2(true)
		defer h2c.CloseIdleConnections()
		began := time.Now()
		for _, want := range []string{"503", "cut"} {
			body, more := io.Pipe()
			go more.Write([]byte("a part"))
			res, err := (&http.Client{Transport: h2c}).Post(srv.URL+"/upload", "", body)
			if err == nil {
				res.Body.Close()
			}
			body.Close()
			if (err == nil) != (want == "503") || time.Since(began) > time.Second {
				t.Errorf("%s: %v after %v", want, err, time.Since(began))
			}
		}
		srv.WaitAnswered(t.Context(), "/upload", 2).WantAnswers(t, "503", "cut")
	})
}

// The host name localhost reaches each server by its port.
func TestLocalhost(t *testing.T) {
	a, b := Start(t), Start(t)
	for _, s := range []*Server{a, b} {
		res, err := a.Client().Get(strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + "/version")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	a.Requests("*").WantCount(t, 1)
	b.Requests("*").WantCount(t, 1)
}

// A client whose body does not arrive in time has not left.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/a", Fail(503, 2))
		for _, length := range []int64{5, -1} {
			body, end := io.Pipe()
			req, err := http.NewRequest("POST", srv.URL+"/a", body)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			go io.WriteString(end, "slow")
			time.AfterFunc(time.Hour, func() { end.Close() })
			if res, err := srv.Client().Do(req); err == nil { // the write timeout ends at the same time
				res.Body.Close()
			}
			end.Close()
		}
		srv.WaitAnswered(t.Context(), "/a", 2).WantAnswers(t, "503", "503")
	})
}

// The log goes to the test if PODINFO_LEVEL is set, and nowhere otherwise.
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

// BenchmarkServer starts a server, sends one request and ends the test.
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

// Every stock route that needs no other server works inside a bubble, and waits
// use the bubble's clock.
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
