package overload_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/delay"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/health"
	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/version"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/overload"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waiting is a module with a route whose handler waits for the client to leave, and
// one that reads the body.
type waiting struct {
	arrived chan struct{}
	host    *registry.Host
}

func (*waiting) Info() registry.Info                { return registry.Info{Name: "waiting"} }
func (m *waiting) Provision(h *registry.Host) error { m.host = h; return nil }
func (m *waiting) Routes() []registry.Route {
	return []registry.Route{
		{Path: "/wait", Handler: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			http.NewResponseController(w).Flush()
			m.arrived <- struct{}{}
			<-r.Context().Done()
		}},
		{Path: "/read", Handler: func(w http.ResponseWriter, r *http.Request) {
			if b, ok := reply.ReadBytes(w, r, m.host.Budget().Buffer()); ok {
				w.Write(b)
			}
		}},
		{Path: "/write", Handler: func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 64<<20)) }},
	}
}

// client returns a client over HTTP/1 or HTTP/2 without TLS.
func client(t *testing.T, protocol int) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableKeepAlives: protocol == 1}
	tr.Protocols.SetHTTP1(protocol == 1)
	tr.Protocols.SetUnencryptedHTTP2(protocol == 2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// serve starts mods behind a real HTTP port.
func serve(t *testing.T, env map[string]string, mods ...registry.Module) (url string, log *registrytest.Log) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, log = registrytest.New(t, env, append(mods, &httpserver.Module{Listener: l, H2C: true})...)
	return "http://" + l.Addr().String(), log
}

// get returns the status, the body and the protocol of a response.
func get(t *testing.T, c *http.Client, url string) (code int, body string, h http.Header) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

// TestRefusesRequests has as many requests in flight as are allowed, or as many
// connections in use.
func TestRefusesRequests(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		for _, env := range []string{"PODINFO_OVERLOAD_MAX_REQUESTS=2", "PODINFO_HTTP_SERVER_MAX_CONNECTIONS=16"} {
			t.Run(fmt.Sprintf("HTTP/%d %s", protocol, env), func(t *testing.T) {
				m := &waiting{arrived: make(chan struct{})}
				url, log := serve(t, registrytest.Vars(env), new(metrics.Module), new(accesslog.Module), new(overload.Module), m, new(health.Module), new(version.Module))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				n := 2
				if strings.Contains(env, "CONNECTIONS") {
					n = 14 // the rest is reserved
				}
				for range n {
					c := client(t, 1)
					req, err := http.NewRequestWithContext(ctx, "GET", url+"/wait", nil)
					if err != nil {
						t.Fatal(err)
					}
					res, err := c.Do(req)
					if err != nil || res.StatusCode != 200 {
						t.Fatal(res, err)
					}
					t.Cleanup(func() { res.Body.Close() })
					<-m.arrived
				}
				c := client(t, protocol)
				if protocol == 2 && n == 14 {
					c = client(t, 1) // an HTTP/2 connection leaves the reserve alone
				}
				for range 20 {
					code, body, h := get(t, c, url+"/wait")
					if code != 503 || h.Get("Retry-After") != "1" || !strings.Contains(body, `"message": "too many requests are served now: try again later"`) {
						t.Errorf("%d %v %s", code, h, body)
					}
				}
				for _, probe := range []string{"/healthz", "/readyz", "/version"} {
					if code, body, _ := get(t, c, url+probe); code != 200 {
						t.Errorf("%s: %d %s", probe, code, body)
					}
				}
				if n := strings.Count(log.String(), `"refused":"connections"`); n != 20 {
					t.Errorf("%d lines of the access log, want 20: %s", n, log)
				}
				cancel()
				for code := 0; code != 200; { // until the server has noticed
					var body string
					if code, body, _ = get(t, c, url+"/metrics"); code == 200 && !strings.Contains(body, `podinfo_requests_refused_total{reason="connections"} 2`) {
						t.Error(body)
					}
				}
			})
		}
	}
}

// TestStalls checks that a request whose client stands still is recorded as refused.
func TestStalls(t *testing.T) {
	m := &waiting{}
	url, log := serve(t, registrytest.Vars("PODINFO_HTTP_SERVER_STALL_TIMEOUT=50ms"), new(metrics.Module), new(accesslog.Module), new(overload.Module), m)
	for i, protocol := range []int{1, 2} {
		body, w := io.Pipe()
		req, err := http.NewRequest("POST", url+"/read", io.MultiReader(strings.NewReader("hello"), body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client(t, protocol).Do(req)
		if err != nil || res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("HTTP/%d: %+v %v", protocol, res, err)
		}
		w.Close()
		if err == nil {
			res.Body.Close()
		}
		w.Close()
		res, err = client(t, protocol).Get(url + "/write")
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < 2*i+2; { // until both requests have ended
			n = strings.Count(log.String(), `"refused":"stall"`)
		}
		res.Body.Close()
	}
	if _, body, _ := get(t, client(t, 1), url+"/metrics"); !strings.Contains(body, `podinfo_requests_refused_total{reason="stall"} 4`) {
		t.Error(body)
	}
}

// TestWaitsAreNoStalls requests responses that take longer than the stall timeout
// although the client reads them.
func TestWaitsAreNoStalls(t *testing.T) {
	for _, c := range []struct{ path, fault string }{
		{"/version", "delay: 100ms"},
		{"/version", "fault: { stall: { after: 10, for: 100ms } }"},
		{"/version", "fault: { bandwidth: 500 }"},
		{"/delay/1", "delay: 1ms"},
	} {
		env := map[string]string{"PODINFO_HTTP_SERVER_STALL_TIMEOUT": "20ms", "PODINFO_FAULTS": "rules:\n- { name: a, " + c.fault + " }\n"}
		url, log := serve(t, env, new(accesslog.Module), new(overload.Module), new(faults.Module), new(version.Module), new(delay.Module))
		for _, protocol := range []int{1, 2} {
			if code, body, _ := get(t, client(t, protocol), url+c.path); code != 200 || !strings.HasSuffix(body, "}") {
				t.Errorf("%s %s, HTTP/%d: %d %s", c.path, c.fault, protocol, code, body)
			}
		}
		if strings.Contains(log.String(), "refused") {
			t.Errorf("%s %s: %s", c.path, c.fault, log)
		}
	}
}

func TestRefusesCalls(t *testing.T) {
	arrived := make(chan struct{})
	svc := &grpctest.Service{Do: func(ctx context.Context) error { arrived <- struct{}{}; <-ctx.Done(); return nil }}
	s := grpctest.Serve(t, registrytest.Vars("PODINFO_OVERLOAD_MAX_REQUESTS=1"), new(metrics.Module), new(accesslog.Module), new(overload.Module), svc)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Call(ctx, "UnaryCall") }()
	<-arrived
	for _, method := range grpctest.Methods {
		st := status.Convert(s.Call(t.Context(), method))
		details := st.Details()
		if st.Code() != codes.ResourceExhausted || len(details) != 1 || details[0].(*errdetails.RetryInfo).GetRetryDelay().AsDuration() != time.Second {
			t.Errorf("%s: %v %v", method, st, details)
		}
	}
	if n := strings.Count(s.Log.String(), `"refused":"connections"`); n != len(grpctest.Methods) {
		t.Errorf("%d lines of the access log: %s", n, s.Log)
	}
	cancel()
	<-done
}

func TestDefault(t *testing.T) {
	for _, c := range []struct {
		memory int64
		want   string
	}{
		{64 << 20, "256 1/8 of 64MiB at 32KiB each (a test)"},
		{512 << 20, "2048 1/8 of 512MiB at 32KiB each (a test)"},
		{1 << 20, "64 the smallest"},
		{1 << 40, "65536 the largest"},
	} {
		app, err := registry.New([]registry.Module{new(overload.Module)}, registry.MemoryLimit(c.memory, "a test"))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range app.Settings() {
			if s.Key == "PODINFO_OVERLOAD_MAX_REQUESTS" && !strings.HasPrefix(s.Value+" "+string(s.Source), c.want) {
				t.Errorf("%d: %s %s, want %s", c.memory, s.Value, s.Source, c.want)
			}
		}
	}
	if _, err := registry.New([]registry.Module{new(overload.Module)}, registry.Env(registrytest.Vars("PODINFO_OVERLOAD_MAX_REQUESTS=-1"))); err == nil || !strings.Contains(err.Error(), "above zero") {
		t.Error(err)
	}
}
