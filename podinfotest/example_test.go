package podinfotest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// printed is the testing.TB of an example. It prints failures.
type printed struct {
	testing.TB
	cleanups []func()
}

func (*printed) Helper()                           {}
func (*printed) Name() string                      { return "Example" }
func (*printed) Context() context.Context          { return context.Background() }
func (*printed) Output() io.Writer                 { return io.Discard }
func (*printed) Logf(string, ...any)               {}
func (*printed) Error(args ...any)                 { fmt.Println(args...) }
func (*printed) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (*printed) Fatal(args ...any)                 { fmt.Println(args...); runtime.Goexit() }
func (*printed) Fatalf(f string, args ...any)      { fmt.Printf(f+"\n", args...); runtime.Goexit() }
func (p *printed) Cleanup(f func())                { p.cleanups = append(p.cleanups, f) }
func (p *printed) TempDir() string {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// test runs f as go test runs a test.
func test(f func(t testing.TB)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := new(printed)
		defer func() {
			for i := len(t.cleanups) - 1; i >= 0; i-- {
				t.cleanups[i]()
			}
		}()
		f(t)
	}()
	<-done
}

func ExampleStart() {
	test(func(t testing.TB) { // your test is func TestX(t *testing.T)
		srv := podinfotest.Start(t, "PODINFO_RANDOM_ERROR=true", "PODINFO_SEED=7")
		for range 5 {
			res, err := srv.Client().Get(srv.URL + "/version")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			fmt.Println(res.Status)
		}
	})
	// Output:
	// 200 OK
	// 409 Conflict
	// 200 OK
	// 409 Conflict
	// 200 OK
}

// Any client with a configurable dial function works over in-memory connections.
func ExampleStartInMemory() {
	test(func(t testing.TB) {
		srv := podinfotest.StartInMemory(t)
		h2 := &http.Transport{DialContext: srv.DialContext, Protocols: new(http.Protocols)}
		h2.Protocols.SetUnencryptedHTTP2(true)
		res, err := (&http.Client{Transport: h2}).Post(srv.URL+"/echo", "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		fmt.Println(res.Proto, res.Status, string(body))
	})
	// Output: HTTP/2.0 202 Accepted hello
}

func ExampleServer_Script() {
	test(func(t testing.TB) {
		srv := podinfotest.Start(t)
		srv.Script("POST /api/pay",
			podinfotest.Fail(503, 1).Header("Retry-After", "7").Body("later"),
			podinfotest.Reset(),
			podinfotest.OK().Body("paid"))
		for range 3 {
			res, err := srv.Client().Post(srv.URL+"/api/pay", "text/plain", strings.NewReader("42"))
			if err != nil {
				fmt.Println("reset:", errors.Is(err, syscall.ECONNRESET))
				continue
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			fmt.Printf("%d %q %q\n", res.StatusCode, res.Header.Get("Retry-After"), body)
		}
	})
	// Output:
	// 503 "7" "later"
	// reset: true
	// 200 "" "paid"
}

func ExampleServer_Scenario() {
	test(func(t testing.TB) {
		srv := podinfotest.StartInMemory(t)
		srv.Scenario(`
rules:
- name: maintenance
  match: { path: /api/* }
  fault: { status: 503 }
`)
		res, err := srv.Client().Get(srv.URL + "/api/info")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		fmt.Println(res.StatusCode, srv.Requests("/api/*")[0].Rules)
	})
	// Output: 503 [maintenance]
}

func ExampleServer_GRPC() {
	test(func(t testing.TB) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("/echo.EchoService/Echo", podinfotest.FailGRPC(codes.Unavailable, 1).Message("warming up"), podinfotest.OK())
		client := echopb.NewEchoServiceClient(srv.GRPC())
		for range 2 {
			out, err := client.Echo(context.Background(), &echopb.Message{Body: "hello"})
			fmt.Printf("%v %q\n", status.Code(err), out.GetBody())
		}
	})
	// Output:
	// Unavailable ""
	// OK "hello"
}

// A test can register gRPC services and script their calls.
func ExampleConfig() {
	test(func(t testing.TB) {
		srv := podinfotest.Config{Services: func(r grpc.ServiceRegistrar) {
			pb.RegisterTestServiceServer(r, new(pb.UnimplementedTestServiceServer))
		}}.StartInMemory(t)
		srv.Script("/grpc.testing.TestService/EmptyCall", podinfotest.FailGRPC(codes.ResourceExhausted, 1))
		client := pb.NewTestServiceClient(srv.GRPC())
		for range 2 {
			_, err := client.EmptyCall(context.Background(), new(pb.Empty))
			fmt.Println(status.Code(err))
		}
	})
	// Output:
	// ResourceExhausted
	// Unimplemented
}

func ExampleServer_Requests() {
	test(func(t testing.TB) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("/api/pay", podinfotest.Fail(503, 1))
		for range 2 {
			req, err := http.NewRequest(http.MethodPost, srv.URL+"/api/pay", strings.NewReader("42"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Idempotency-Key", "order-1")
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body) // a connection is reused once its response is read
			res.Body.Close()
		}
		attempts := srv.Requests("/api/pay")
		for _, a := range attempts {
			fmt.Println(a.Method, a.Path, string(a.Body), a.Status, a.Conn)
		}
		attempts.WantCount(t, 2)
		attempts.WantGaps(t, 0, time.Minute)
		attempts.WantSame(t, "Idempotency-Key")
		attempts.WantConnections(t, 1)
	})
	// Output:
	// POST /api/pay 42 503 1
	// POST /api/pay 42 200 1
}

// send sends an order n times.
func send(t testing.TB, srv *podinfotest.Server, order string, n int) (statuses []int) {
	for range n {
		req, err := http.NewRequest(http.MethodPost, srv.URL+"/api/pay", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Order", order)
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		statuses = append(statuses, res.StatusCode)
	}
	return statuses
}

// Two failures and a success, repeated.
func ExampleRepeat() {
	test(func(t testing.TB) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("/api/pay", podinfotest.Fail(503, 2), podinfotest.OK(), podinfotest.Repeat())
		fmt.Println(send(t, srv, "1", 6))
	})
	// Output: [503 503 200 503 503 200]
}

// The first attempt of each order fails.
func ExamplePer() {
	test(func(t testing.TB) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("/api/pay", podinfotest.Per("header:X-Order"), podinfotest.Fail(503, 1), podinfotest.OK())
		fmt.Println(send(t, srv, "1", 2), send(t, srv, "2", 2), send(t, srv, "1", 1))
	})
	// Output: [503 200] [503 200] [200]
}

// pay tries again after one second and after two, or when Retry-After says.
func pay(srv *podinfotest.Server) {
	for wait := range 3 {
		res, err := srv.Client().Post(srv.URL+"/api/pay", "text/plain", strings.NewReader("42"))
		if err != nil {
			return
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return
		}
		if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
			time.Sleep(time.Duration(seconds) * time.Second)
		} else {
			time.Sleep(time.Duration(wait+1) * time.Second)
		}
	}
}

// Inside a bubble the waits are exact and take no time.
func ExampleRequests_WantBackoff() {
	var t *testing.T // from your test function
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("POST /api/pay", podinfotest.Fail(503, 2), podinfotest.OK())
		pay(srv)
		srv.Requests("POST /api/pay").WantBackoff(t, 0, time.Second, 2*time.Second)
	})
}

// The gap of a client with jitter is within two bounds.
func ExampleRequests_WantGaps() {
	var t *testing.T // from your test function
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("POST /api/pay", podinfotest.Fail(503, 2), podinfotest.OK())
		pay(srv)
		srv.Requests("POST /api/pay").WantGaps(t, 500*time.Millisecond, 2*time.Second)
	})
}

func ExampleRequests_WantRetryAfter() {
	var t *testing.T // from your test function
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("POST /api/pay", podinfotest.Fail(429, 1).Header("Retry-After", "90"), podinfotest.OK())
		pay(srv)
		srv.Requests("POST /api/pay").WantRetryAfter(t, 0)
	})
}

// The examples without output are tested here.
func TestExamplesInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("POST /api/pay", podinfotest.Fail(503, 2), podinfotest.OK())
		pay(srv)
		srv.Requests("POST /api/pay").WantBackoff(t, 0, time.Second, 2*time.Second)
		srv.Requests("POST /api/pay").WantGaps(t, 500*time.Millisecond, 2*time.Second)
		srv.Script("POST /api/pay", podinfotest.Fail(429, 1).Header("Retry-After", "90"), podinfotest.OK())
		pay(srv)
		srv.Requests("POST /api/pay")[3:].WantRetryAfter(t, 0)
	})
}

// A client of two servers uses the second one when the first fails.
func ExampleServer_Reach() {
	test(func(t testing.TB) {
		first, second := podinfotest.StartInMemory(t), podinfotest.StartInMemory(t)
		first.Reach(second)
		first.Script("/prices", podinfotest.Fail(503, 1))
		second.Script("/prices", podinfotest.OK())
		client := first.Client()
		for _, url := range []string{first.URL, second.URL} {
			res, err := client.Get(url + "/prices")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			fmt.Println(res.StatusCode)
		}
		first.Requests("*").WantCount(t, 1)
		second.Requests("*").WantCount(t, 1)
	})
	// Output:
	// 503
	// 200
}

// A test waits for the requests of another goroutine without sleeping.
func ExampleServer_WaitAnswered() {
	test(func(t testing.TB) {
		srv := podinfotest.StartInMemory(t)
		go func() {
			if res, err := srv.Client().Post(srv.URL+"/store", "text/plain", strings.NewReader("in the background")); err == nil {
				res.Body.Close()
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		got := srv.WaitAnswered(ctx, "POST /store", 1)
		fmt.Println(string(got[0].Body), got[0].Status)
	})
	// Output: in the background 202
}

func ExampleServer_Exits() {
	test(func(t testing.TB) {
		srv := podinfotest.StartInMemory(t)
		res, err := srv.Client().Get(srv.URL + "/panic")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		fmt.Println("still running after an exit with code", srv.Exits()[0].Code)
	})
	// Output: still running after an exit with code 255
}

// greeter is a module with two mistakes.
type greeter struct {
	Name string `env:"NAME" envDefault:"world"`
}

func (*greeter) Info() registry.Info {
	return registry.Info{Name: "greeter", Doc: "Greet by name."}
}

func (g *greeter) Routes() []registry.Route {
	return []registry.Route{{Method: http.MethodGet, Path: "/version", Handler: g.greet}}
}

func (g *greeter) greet(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello "+g.Name) }

func ExampleCheck() {
	test(func(t testing.TB) { podinfotest.Check(t, new(greeter)) })
	// Output:
	// module greeter: setting PODINFO_GREETER_NAME: want a doc tag that says what it means
	// module greeter: it cannot be assembled with the stock modules: modules version and greeter both serve GET /version
}
