package main_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// proxied runs podinfo proxy in front of target with a scenario. The second process
// has the address of the metrics port.
func proxied(t *testing.T, target, scenario string, args ...string) (p, admin *process) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	port, metrics := registrytest.FreePort(t), registrytest.FreePort(t)
	environ := []string{"PODINFO_HOST=127.0.0.1", fmt.Sprint("PODINFO_PORT=", port), fmt.Sprint("PODINFO_PORT_METRICS=", metrics)}
	p = launchWith(t, environ, append([]string{"proxy", target, "--faults-file=" + file}, args...)...)
	p.port, p.url = port, fmt.Sprintf("http://127.0.0.1:%d", port)
	admin = &process{cmd: p.cmd, port: metrics, url: fmt.Sprintf("http://127.0.0.1:%d", metrics), log: p.log, done: p.done}
	p.await(t, admin.url+"/readyz")
	return p, admin
}

// redis starts a Redis server and returns its address.
func redis(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no redis-server: make deps installs it")
	}
	port := registrytest.FreePort(t)
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// TestProxyOfPodinfo puts the proxy in front of a podinfo with a Redis cache.
func TestProxyOfPodinfo(t *testing.T) {
	service := serve(t, "--cache-server=tcp://"+redis(t))
	p, admin := proxied(t, service.url, `
rules:
  - name: read-fails
    match: {methods: [GET], path: "/cache/{key}"}
    when: {first: 1}
    fault: {status: 503}
`)
	for began := time.Now(); ; time.Sleep(2 * time.Millisecond) { // until Redis accepts connections
		if res, _ := p.call(t, "POST", "/cache/tea", "green"); res.StatusCode == http.StatusAccepted {
			break
		} else if time.Since(began) > 20*time.Second {
			t.Fatal(res.Status, service.log)
		}
	}
	for _, c := range []struct {
		from         *process
		method, path string
		code         int
		body         string
	}{
		{p, "GET", "/cache/tea", 503, "read-fails"},
		{p, "GET", "/cache/tea", 200, "green"},
		{service, "GET", "/cache/tea", 200, "green"},
		{p, "GET", "/version", 200, "6.15.0"}, // the service's
		{p, "GET", "/status/418", 418, ""},
		{p, "GET", "/metrics", 200, `path="cache",status="200"`}, // the service's own route
		{admin, "GET", "/metrics", 200, `{method="GET",path="proxied",status="200"}`},
		{admin, "GET", "/metrics", 200, `podinfo_proxy_failures_total{reason="refused"} 0`},
		{admin, "GET", "/healthz", 200, ""},
		{admin, "GET", "/faults", 200, "read-fails"},
		{admin, "PUT", "/faults", 200, ""},
		{p, "GET", "/cache/tea", 500, "all-fail"},
		{admin, "DELETE", "/faults", 200, ""},
		{p, "DELETE", "/cache/tea", 202, ""},
		{service, "GET", "/cache/tea", 404, ""},
	} {
		body := ""
		if c.method == "PUT" {
			body = "rules: [{name: all-fail, fault: {status: 500}}]"
		}
		res, got := c.from.call(t, c.method, c.path, body)
		if res.StatusCode != c.code || !strings.Contains(got, c.body) {
			t.Errorf("%s %s%s: %d, want %d and %q in %s", c.method, c.from.url, c.path, res.StatusCode, c.code, c.body, got)
		}
	}
	service.cmd.Process.Kill()
	<-service.done
	if res, body := p.call(t, "GET", "/version", ""); res.StatusCode != 502 || !strings.Contains(body, "refuses connections") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if _, body := admin.call(t, "GET", "/metrics", ""); !strings.Contains(body, `podinfo_proxy_failures_total{reason="refused"} 1`) {
		t.Error(body)
	}
	if res, _ := admin.call(t, "GET", "/readyz", ""); res.StatusCode != 200 {
		t.Errorf("readiness with the service down: %d", res.StatusCode)
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("exit %d: %s", code, p.log)
	}
}

// calls is the service of gRPC's interoperability tests, as far as the test calls it.
type calls struct {
	testpb.UnimplementedTestServiceServer
}

func (calls) UnaryCall(ctx context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	if s := r.GetResponseStatus(); s != nil {
		return nil, status.Error(codes.Code(s.Code), s.Message)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	grpc.SetHeader(ctx, metadata.Pairs("x-echo", strings.Join(md.Get("x-echo"), ",")))
	grpc.SetTrailer(ctx, metadata.Pairs("x-bin-bin", "\x00\xff"))
	return &testpb.SimpleResponse{Payload: r.Payload}, nil
}

func (calls) FullDuplexCall(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	for {
		r, err := s.Recv()
		if err == io.EOF {
			return status.Error(codes.DataLoss, "the end")
		}
		if err != nil {
			return err
		}
		if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: r.Payload}); err != nil {
			return err
		}
	}
}

// TestProxyOfGRPC puts the proxy in front of a grpc-go server, named by both schemes.
func TestProxyOfGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	testpb.RegisterTestServiceServer(srv, calls{})
	go srv.Serve(l)
	defer srv.Stop()
	for _, scheme := range []string{"http://", "h2c://"} {
		p, _ := proxied(t, scheme+l.Addr().String(), "rules: [{name: first, match: {grpc: grpc.testing.TestService/UnaryCall}, when: {first: 1}, fault: {reset: true}}]")
		conn, err := grpc.NewClient("passthrough:"+strings.TrimPrefix(p.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := testpb.NewTestServiceClient(conn)
		payload := &testpb.Payload{Body: []byte(strings.Repeat("x", 100_000))}
		if _, err := c.UnaryCall(t.Context(), &testpb.SimpleRequest{}); err == nil {
			t.Error("the rule does not hit")
		}
		var header, trailer metadata.MD
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-echo", "a")
		res, err := c.UnaryCall(ctx, &testpb.SimpleRequest{Payload: payload}, grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil || string(res.Payload.Body) != string(payload.Body) || header.Get("x-echo")[0] != "a" || trailer.Get("x-bin-bin")[0] != "\x00\xff" {
			t.Errorf("%s: %v %v %v", scheme, err, header, trailer)
		}
		_, err = c.UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: &testpb.EchoStatus{Code: int32(codes.Internal), Message: "a\nb ü"}})
		if status.Code(err) != codes.Internal || status.Convert(err).Message() != "a\nb ü" {
			t.Errorf("%s: %v", scheme, err)
		}
		stream, err := c.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 { // each message is sent after the response to the previous one
			if err := stream.Send(&testpb.StreamingOutputCallRequest{Payload: payload}); err != nil {
				t.Fatal(err)
			}
			if res, err := stream.Recv(); err != nil || len(res.Payload.Body) != len(payload.Body) {
				t.Fatalf("%s: message %d: %v", scheme, i, err)
			}
		}
		stream.CloseSend()
		if _, err := stream.Recv(); status.Code(err) != codes.DataLoss {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

// TestProxyOfWebSocket puts the proxy in front of a WebSocket server.
func TestProxyOfWebSocket(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			b, op, err := wsutil.ReadClientData(conn)
			if err != nil || wsutil.WriteServerMessage(conn, op, b) != nil {
				return
			}
		}
	}))
	defer service.Close()
	p, _ := proxied(t, service.URL, "rules: [{name: close, match: {path: /closed}, fault: {websocket: {close: 1011, after: 2}}}]")
	for path, want := range map[string]int{"/open": 20, "/closed": 2} {
		conn, _, _, err := ws.Dial(t.Context(), "ws"+strings.TrimPrefix(p.url, "http")+path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		n := 0
		for ; n < 20; n++ {
			message := strings.Repeat(strconv.Itoa(n), 1<<n/16+1)
			wsutil.WriteClientText(conn, []byte(message))
			if b, _, err := wsutil.ReadServerData(conn); err != nil || string(b) != message {
				if closed, ok := err.(wsutil.ClosedError); !ok || closed.Code != 1011 || path == "/open" {
					t.Errorf("%s: message %d: %v", path, n, err)
				}
				break
			}
		}
		if n != want {
			t.Errorf("%s: %d messages, want %d", path, n, want)
		}
	}
}

// TestProxyOverHTTP2 checks many streams, trailers and a stream that breaks on one
// connection of HTTP/2.
func TestProxyOverHTTP2(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		w.Write(b)
		w.Header().Set("X-Sum", strconv.Itoa(len(b)))
		if r.URL.Path == "/break" {
			panic(http.ErrAbortHandler)
		}
	}))
	defer service.Close()
	p, _ := proxied(t, service.URL, "rules: []")
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	defer h2.CloseIdleConnections()
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			path := "/echo"
			if i%10 == 0 {
				path = "/break"
			}
			res, err := (&http.Client{Transport: h2}).Post(p.url+path, "text/plain", strings.NewReader(strings.Repeat("x", 100_000)))
			if err == nil {
				defer res.Body.Close()
				_, err = io.Copy(io.Discard, res.Body)
			}
			if broken := path == "/break"; (err != nil) != broken || !broken && (res.ProtoMajor != 2 || res.Trailer.Get("X-Sum") != "100000") {
				t.Errorf("%s: %v %v", path, err, res)
			}
		})
	}
	all.Wait()
}

// TestProxyDrains checks that SIGTERM lets a slow response end.
func TestProxyDrains(t *testing.T) {
	arrived, respond := make(chan bool), make(chan bool)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-respond
		io.WriteString(w, "slow")
	}))
	defer service.Close()
	p, _ := proxied(t, service.URL, "rules: []")
	body := make(chan string)
	go func() {
		res, err := client.Get(p.url + "/slow")
		if err != nil {
			body <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		body <- string(b)
	}()
	<-arrived
	p.cmd.Process.Signal(syscall.SIGTERM)
	for began := time.Now(); time.Since(began) < 20*time.Second; { // until it accepts no connections
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			break
		}
		conn.Close()
	}
	close(respond)
	if got := <-body; got != "slow" {
		t.Error(got)
	}
	if code := p.wait(t); code != 0 {
		t.Errorf("exit %d: %s", code, p.log)
	}
}

// TestProxyArguments checks the exit code and the message for wrong arguments.
func TestProxyArguments(t *testing.T) {
	for words, want := range map[string]string{
		"proxy":                                         "proxy takes the URL of a service, or NAME=ADDRESS; see podinfo help proxy",
		"proxy localhost:8080":                          `"localhost:8080": want a URL such as http://localhost:8080, or a name for TCP such as app=localhost:8080`,
		"proxy service":                                 `"service": want a URL such as http://localhost:8080, or NAME=ADDRESS such as redis=localhost:6379`,
		"proxy http://a http://b":                       "more than one URL: run a proxy for each",
		"proxy ftp://a":                                 "PODINFO_PROXY_URL",
		"proxy http://localhost:99999":                  "with a port from 1 to 65535",
		"proxy http://localhost:0":                      "with a port from 1 to 65535",
		"proxy =localhost:1":                            `"=localhost:1": want a URL such as http://localhost:1, or a name for TCP such as app=localhost:1`,
		"proxy a/b=localhost:1":                         `"a/b=localhost:1": want a URL such as http://localhost:1, or a name for TCP such as app=localhost:1`,
		"proxy http://localhost:9898":                   `PODINFO_PROXY_URL="http://localhost:9898" (`,
		"proxy http://[::1]:9898/x":                     "the target is podinfo itself",
		"proxy h2c://127.0.0.1 --port=80":               "the target is podinfo itself",
		"proxy https://localhost --secure-port=443":     "the target is podinfo itself",
		"proxy http://localhost:81 a=81:127.0.0.1:9898": "the target is podinfo itself",
		"proxy redis=26379:localhost:26379":             `want another port in "redis=26379:localhost:26379": the target is podinfo itself`,
		"proxy http://a --proxy-routes=/a,/a":           "want each pattern once, and /a is there twice",
		"proxy http://a --proxy-routes=/a/{x},/a/{y}":   "each pattern once, and /a/{y} is there twice",
		"proxy http://a --proxy-routes=/a?x=1":          "without a query",
		"proxy http://a/?x":                             "without a query",
		"proxy http://a --proxy-host-header=x":          "want client or service",
		"proxy http://a --proxy-connect-timeout=0":      "want a duration above zero",
		"proxy http://a --proxy-idle-timeout=-1s":       "want 0, or a duration",
		"proxy http://a --proxy-hop-headers=Te,Upgrade": "which belong to the connection",
		"proxy ftp://u:pw@a":                            `PODINFO_PROXY_URL="ftp://u:REDACTED@a" (`,
		"proxy http://a --jwt-paths=/x --jwt-secret=0123456789abcdef0123456789abcdef": "PODINFO_TOKEN_ENABLED=true, which accepts",
		"proxy http://a --prox-url=x": "unknown flag: --prox-url",
		"proxi http://a":              `unknown command "proxi" (did you mean "proxy"?)`,
	} {
		p := launchWith(t, nil, strings.Fields(words)...)
		if code := p.wait(t); code != 2 || !strings.Contains(p.log.String(), want) {
			t.Errorf("podinfo %s: exit %d %s", words, code, p.log)
		}
	}
}

// readmeProxy returns the scenario of a command of README.md.
func readmeProxy(t *testing.T, target string) (scenario string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "\npodinfo proxy "+target+" ")
	if !ok {
		t.Fatalf("README.md has no podinfo proxy %s", target)
	}
	line, _, _ := strings.Cut(after, "\n")
	file, ok := strings.CutPrefix(line, "--faults-file=")
	if !ok {
		t.Fatal(line)
	}
	b, err := os.ReadFile("../../" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTCPProxyReadme runs the command of README.md in front of a Redis.
func TestTCPProxyReadme(t *testing.T) {
	scenario := readmeProxy(t, "redis=26379:localhost:6379")
	port := registrytest.FreePort(t)
	_, admin := proxied(t, fmt.Sprintf("redis=%d:%s", port, redis(t)), scenario)
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	for range 200 {
		c, err := dialer.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "PING\r\n")
		answer := make([]byte, 7)
		_, err = io.ReadFull(c, answer)
		c.Close()
		if err == nil && string(answer) != "+PONG\r\n" {
			t.Fatalf("%q", answer)
		}
		_, page := admin.call(t, "GET", "/metrics", "")
		if err == nil && strings.Contains(page, `podinfo_fault_hits_total{rule="slow",kind="latency"}`) && strings.Contains(page, `podinfo_fault_hits_total{rule="dropped",kind="close"}`) {
			return
		}
	}
	_, rules := admin.call(t, "GET", "/faults", "")
	t.Errorf("a rule hit nothing: %s", rules)
}

// TestProxyReadme runs the command of README.md in front of a service.
func TestProxyReadme(t *testing.T) {
	scenario := readmeProxy(t, "http://localhost:8080")
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "service") }))
	defer service.Close()
	p, admin := proxied(t, service.URL, scenario)
	for range 300 { // a rule fails 5 % of the requests
		res, body := p.call(t, "GET", "/", "")
		if res.StatusCode == 503 && res.Header.Get("X-Podinfo-Fault") != "" {
			return
		}
		if res.StatusCode != 200 || body != "service" {
			t.Fatal(res.Status, body)
		}
	}
	_, rules := admin.call(t, "GET", "/faults", "")
	t.Errorf("no rule hit: %s", rules)
}
