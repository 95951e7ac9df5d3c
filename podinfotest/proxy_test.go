package podinfotest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/proxy"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// shop is a service that serves orders, and everything else with its path.
func shop() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "booked %s", b)
	})
	mux.HandleFunc("/orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "order ", r.PathValue("id"), " ", r.Pattern)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "shop ", r.URL) })
	return mux
}

// said sends a request and returns the status and the body, or the error's kind.
func said(t *testing.T, s *Server, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(req)
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case err != nil:
		return err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err.Error()
	case res.StatusCode >= 500: // the body is podinfo's
		return fmt.Sprint(res.StatusCode)
	}
	return fmt.Sprint(res.StatusCode, " ", string(b))
}

// TestProxy checks scripts, the record and the assertions in front of each sort of
// target.
func TestProxy(t *testing.T) {
	plain, secure, fast := httptest.NewServer(shop()), httptest.NewTLSServer(shop()), httptest.NewUnstartedServer(shop())
	fast.EnableHTTP2 = true
	fast.StartTLS()
	for _, s := range []*httptest.Server{plain, secure, fast} {
		t.Cleanup(s.Close)
	}
	for name, start := range map[string]func(t testing.TB) *Server{
		"URL":               func(t testing.TB) *Server { return Proxy(t, plain.URL) },
		"server":            func(t testing.TB) *Server { return Proxy(t, plain) },
		"server with TLS":   func(t testing.TB) *Server { return Proxy(t, secure) },
		"HTTP/2":            func(t testing.TB) *Server { return Proxy(t, fast) },
		"handler":           func(t testing.TB) *Server { return Proxy(t, shop()) },
		"handler in memory": func(t testing.TB) *Server { return Config{Target: shop()}.StartInMemory(t) },
		"server in memory":  func(t testing.TB) *Server { return Config{Target: plain}.StartInMemory(t) },
		"with a prefix":     func(t testing.TB) *Server { return Proxy(t, shop(), "PODINFO_PREFIX=/base") },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.Script("POST /orders", Fail(503, 1), Reset(), Truncate(3), Reply(202, "later"), OK())
			s.Script("/orders/{id}", Fail(500, 1), OK())
			s.Script("/slow/*", Reply(200, "slow"))
			for _, c := range []struct{ method, path, body, want string }{
				{"POST", "/orders", "a", "503"},
				{"POST", "/orders", "b", "reset"},
				{"POST", "/orders", "c", "unexpected EOF"},
				{"POST", "/orders", "d", "202 later"},
				{"POST", "/orders", "e", "201 booked e"},
				{"GET", "/orders/1", "", "500"},
				{"GET", "/orders/2", "", "200 order 2 /orders/{id}"},
				{"GET", "/slow/a/b", "", "200 slow"},
				{"GET", "/version?a;b", "", "200 shop /version?a;b"},
			} {
				if got := said(t, s, c.method, c.path, c.body); got != c.want {
					t.Errorf("%s %s: %q, want %q", c.method, c.path, got, c.want)
				}
			}
			orders := s.Requests("POST /orders")
			orders.WantAnswers(t, "503", "cut", "cut", "202", "201")
			if string(orders[4].Body) != "e" || orders[0].Rules[0] != "script1.1.503" {
				t.Errorf("%+v", orders)
			}
			s.Requests("/orders/{id}").WantAnswers(t, "500", "200")
			s.Requests("*").WantCount(t, 9)
			s.Script("*", Fail(504, 1))
			if got := said(t, s, "GET", "/else", ""); got != "504" {
				t.Error(got)
			}
		})
	}
}

// TestProxyInABubble checks that the handler and the faults use the fake clock.
func TestProxyInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Proxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			io.WriteString(w, "done")
		}))
		s.Script("*", Delay(time.Hour))
		if got := said(t, s, "GET", "/x", ""); got != "200 done" {
			t.Error(got)
		}
		if took := s.Requests("/x")[0].Took; took != time.Hour+time.Minute {
			t.Error(took)
		}
	})
}

// TestProxyModules checks that the stock endpoints can stay beside the service.
func TestProxyModules(t *testing.T) {
	s := Config{Target: shop()}.StartInMemory(t, "PODINFO_PROXY_ALL=false")
	if got := said(t, s, "GET", "/version", ""); !strings.Contains(got, `"version"`) {
		t.Error(got)
	}
	if got := said(t, s, "GET", "/else", ""); got != "200 shop /else" {
		t.Error(got)
	}
}

// healthServer is a gRPC service with a unary and a bidirectional method.
type healthServer struct {
	healthpb.UnimplementedHealthServer
}

func (healthServer) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

func (healthServer) Watch(_ *healthpb.HealthCheckRequest, s grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	for range 3 {
		if err := s.Send(&healthpb.HealthCheckResponse{}); err != nil {
			return err
		}
	}
	return status.Error(codes.Aborted, "enough")
}

// TestProxyGRPC checks calls through the proxy to a gRPC server, which is called as a
// handler or over the network.
func TestProxyGRPC(t *testing.T) {
	srv := grpc.NewServer()
	healthpb.RegisterHealthServer(srv, healthServer{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	calls := func(t *testing.T, s *Server) {
		const method = "/grpc.health.v1.Health/Check"
		s.Script(method, Reset(), OK())
		c := healthpb.NewHealthClient(s.GRPC())
		var got []codes.Code
		for range 2 {
			_, err := c.Check(t.Context(), new(healthpb.HealthCheckRequest))
			got = append(got, status.Code(err))
		}
		if got[0] == codes.OK || got[1] != codes.OK {
			t.Error(got)
		}
		stream, err := c.Watch(t.Context(), new(healthpb.HealthCheckRequest))
		n := -1
		for ; err == nil; n++ {
			_, err = stream.Recv()
		}
		if n != 3 || status.Convert(err).Message() != "enough" {
			t.Errorf("%d messages: %v", n, err)
		}
		s.Requests(method).WantAnswers(t, "cut", "200")
	}
	t.Run("URL", func(t *testing.T) { calls(t, Proxy(t, "http://"+l.Addr().String())) })
	t.Run("handler", func(t *testing.T) { calls(t, Proxy(t, srv)) })
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := grpc.NewServer()
			healthpb.RegisterHealthServer(srv, healthServer{})
			calls(t, Proxy(t, srv))
		})
	})
}

// TestProxyTargets checks that a wrong target fails with what to pass.
func TestProxyTargets(t *testing.T) {
	for want, c := range map[string]struct {
		target any
		config Config
		env    []string
	}{
		"a target of type <nil>: want the URL of a service as a string, an *httptest.Server or an http.Handler": {},
		"target of type int: want the URL":                                      {target: 8080},
		`the target "localhost:8080" has no scheme: want a URL such as http://`: {target: "localhost:8080"},
		"PODINFO_PROXY_URL=":                                                    {target: "ftp://localhost"},
		"call its Start, or pass its Config.Handler":                            {target: httptest.NewUnstartedServer(nil)},
		"pass http.HandlerFunc(f)":                                              {target: func(http.ResponseWriter, *http.Request) {}},
		"pass its Handler":                                                      {target: &http.Server{}},
		"remove the variable":                                                   {target: shop(), env: []string{"PODINFO_PROXY_URL=http://a"}},
		"pass the *grpc.Server with the services as Target":                     {config: Config{Target: shop(), Services: func(grpc.ServiceRegistrar) {}}},
		"module proxy cannot be replaced in podinfotest":                        {config: Config{Target: shop(), Modules: []registry.Module{&proxy.Module{Handler: shop()}}}},
	} {
		msg := listen(t, func(t testing.TB) {
			if c.config.Target != nil {
				c.config.Start(t)
			} else {
				Proxy(t, c.target, c.env...)
			}
		})
		if !strings.Contains(msg, want) {
			t.Errorf("%q, want %q", msg, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		if msg := listen(t, func(t testing.TB) { Proxy(t, "http://localhost:1") }); !strings.Contains(msg, "pass the http.Handler of the service") {
			t.Error(msg)
		}
	})
}
