package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed-4591fe7d/podinfo/endpoints/proxy"
	"github.com/seed-4591fe7d/podinfo/endpoints/token"
	"github.com/seed-4591fe7d/podinfo/endpoints/ui"
	"github.com/seed-4591fe7d/podinfo/endpoints/version"
	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/jwt"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// closed returns the address of a port that nothing listens on.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

// TestServiceDown checks the responses and the metric for a service that does not
// respond.
func TestServiceDown(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	garbage := serve(t, "SSH-2.0-x\r\n\r\n", false)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for _, c := range []struct {
		url, reason string
		status      int
	}{
		{"http://" + closed(t), "refused", 502},
		{"http://nowhere.invalid", "dns", 502},
		{secure.URL, "tls", 502},
		{"https://" + silent.Addr().String(), "connect_timeout", 504},
		{strings.Replace(plain.URL, "http", "https", 1), "tls", 502},
		{"unix:///nowhere/app.sock", "no_socket", 502},
		{"http://" + silent.Addr().String(), "response_timeout", 504},
		{"http://" + garbage.Addr().String(), "malformed", 502},
	} {
		env := []string{"PODINFO_PROXY_CONNECT_TIMEOUT", "20s"}
		if setting, late := strings.CutSuffix(c.reason, "_timeout"); late {
			env = []string{"PODINFO_PROXY_" + strings.ToUpper(setting) + "_TIMEOUT", "100ms"}
		}
		f := front(t, c.url, env...)
		res, body := f.Call(t, "GET", "/x", "")
		if res.StatusCode != c.status || !strings.Contains(body, "the service behind the proxy ") {
			t.Errorf("%s: %d %s", c.url, res.StatusCode, body)
		}
		if res, page := f.Call(t, "GET", "/metrics", ""); res.StatusCode != 200 || !strings.Contains(page, `podinfo_proxy_failures_total{reason="`+c.reason+`"} 1`) {
			t.Errorf("%s: no %s", c.url, c.reason)
		}
		if !strings.Contains(f.Log.String(), `"reason":"`+c.reason+`"`) {
			t.Errorf("%s: %s", c.url, f.Log)
		}
	}
}

// TestPathsOfPodinfo checks which requests podinfo serves itself.
func TestPathsOfPodinfo(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-From", "service") }))
	defer service.Close()
	for all, want := range map[string]map[string]int{
		"false": {
			"GET /version": 200, "POST /version": 405, "GET /version/": 1, "GET //version": 1, "GET /x": 1, "PUT /x": 1, "OPTIONS /x": 1, "GET /metrics": 200,
			"GET / Mozilla": 200, "HEAD / Mozilla": 200, "GET /": 1, "HEAD /": 1, "POST / Mozilla": 1, "PUT /": 1, "OPTIONS / Mozilla": 1, "BREW /": 1, // the page is for browsers that read
			"GET /ui/about": 200, "POST /ui/about": 405,
		},
		"true": {"GET /version": 1, "POST /version": 1, "GET /x": 1, "GET /metrics": 1, "GET / Mozilla": 1},
	} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_PROXY_URL": service.URL, "PODINFO_PROXY_ALL": all}, new(metrics.Module), new(version.Module), new(ui.Module), new(proxy.Module))
		for target, code := range want {
			words := strings.Fields(target + " test")
			res, body := s.Call(t, words[0], words[1], "", "User-Agent", words[2])
			if forwarded := res.Header.Get("X-From") == "service"; forwarded != (code == 1) || !forwarded && res.StatusCode != code {
				t.Errorf("all=%s: %s: %d %s", all, target, res.StatusCode, body)
			}
		}
	}
}

// TestRulesOfPaths checks that rules match paths however they and the requests are
// written.
func TestRulesOfPaths(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer service.Close()
	for rule, want := range map[string]string{
		"/a%2Fb":     "/a%2Fb /a%2fb /a/b",
		"/a/b":       "/a%2Fb /a%2fb /a/b",
		"/%C3%BC":    "/%C3%BC /ü",
		"/ü":         "/%C3%BC /ü",
		"/100%25":    "/100%25",
		"/a%7Cb":     "/a|b /a%7Cb",
		"/x%2Fy/*":   "/x%2Fy/z",
		"/a%2a":      "",
		"~/a%2Fb":    "",
		"/100%2525":  "/100%2525",
		"/a%2Fb%2A/": "",
	} {
		f := front(t, service.URL, "PODINFO_FAULTS", "rules: [{name: r, match: {path: '"+rule+"'}, fault: {status: 503}}]")
		var got []string
		for _, path := range []string{"/a%2Fb", "/a%2fb", "/a/b", "/%C3%BC", "/ü", "/100%25", "/100%2525", "/a|b", "/a%7Cb", "/x%2Fy/z"} {
			if statusOf(t, f.Listener.Addr().String(), path) == 503 {
				got = append(got, path)
			}
		}
		if diff := cmp.Diff(strings.Fields(want), got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", rule, diff)
		}
	}
}

// statusOf sends a request for a path as it is and returns the status.
func statusOf(t *testing.T, addr, path string) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

// TestHiddenModules checks that the log names modules that are on and not served.
func TestHiddenModules(t *testing.T) {
	for vars, want := range map[string]string{
		"PODINFO_VERSION_ENABLED=true PODINFO_PROXY_ALL=true":                  "version",
		"PODINFO_VERSION_ENABLED=true PODINFO_PROXY_ALL=false":                 "",
		"PODINFO_PROXY_ALL=true":                                               "", // not asked for
		"PODINFO_METRICS_ENABLED=true PODINFO_PROXY_ALL=true":                  "", // on the metrics port
		"PODINFO_FAULTS_ADMIN=true PODINFO_PROXY_ALL=true PODINFO_FAULTS=true": "",
		"PODINFO_TOKEN_ENABLED=true PODINFO_PROXY_ALL=true":                    "token",
		"PODINFO_TOKEN_ENABLED=true PODINFO_PROXY_ALL=true PODINFO_JWT_PATHS=/x PODINFO_JWT_SECRET=0123456789abcdef0123456789abcdef": "", // for jwt
	} {
		env := registrytest.Vars(vars)
		env["PODINFO_PROXY_URL"] = "http://localhost:1"
		_, log := registrytest.New(t, env, new(metrics.Module), new(version.Module), new(faults.Module), new(jwt.Module), new(token.Module), new(proxy.Module))
		if got := strings.Contains(log.String(), "PODINFO_PROXY_ALL=false serves them"); got != (want != "") || !strings.Contains(log.String(), `"hidden":"`+want) && got {
			t.Errorf("%s: want %q: %s", vars, want, log)
		}
	}
}

// TestClientLeft checks that a client that leaves is no failure of the server: it
// counts as on podinfo's own routes.
func TestClientLeft(t *testing.T) {
	for what, c := range map[string]struct {
		sent string
		want int
	}{
		"before the response": {"", 499},
		"within the body":     {"part", 200},
	} {
		arrived := make(chan struct{})
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.sent != "" {
				fmt.Fprint(w, c.sent)
				http.NewResponseController(w).Flush()
			}
			close(arrived)
			<-r.Context().Done()
		}))
		f := front(t, service.URL, "PODINFO_ACCESS_LOG_LEVEL", "info")
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
		<-arrived
		if c.sent != "" {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(res.Body, make([]byte, len(c.sent))); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
		service.Close() // waits for its handler
		f.Close()
		if line := f.Log.String(); !strings.Contains(line, fmt.Sprintf(`"status":%d,`, c.want)) || strings.Contains(line, "error_type") {
			t.Errorf("%s: %s", what, line)
		}
	}
}

// TestLabels checks that the metrics have one label for each pattern and one for the
// rest.
func TestLabels(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer service.Close()
	f := front(t, service.URL, "PODINFO_PROXY_ROUTES", "/orders/{id},/files/{rest...}", "PODINFO_ACCESS_LOG_LEVEL", "info")
	for _, path := range []string{"/orders/1", "/orders/2", "/orders/2/items", "/files/a/b", "/else"} {
		f.Call(t, "GET", path, "")
	}
	want := []string{`path="files",status="200"} 1`, `path="orders_id",status="200"} 2`, `path="proxied",status="200"} 2`}
	var got []string
	for deadline := time.Now().Add(10 * time.Second); !cmp.Equal(want, got) && time.Now().Before(deadline); time.Sleep(time.Millisecond) { // a request is counted after its client saw it end
		_, page := f.Call(t, "GET", "/metrics", "")
		got = nil
		for line := range strings.SplitSeq(page, "\n") {
			if _, series, ok := strings.Cut(line, `_seconds_count{method="GET",`); ok && !strings.Contains(line, `"metrics"`) {
				got = append(got, series)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, route := range []string{"/orders/{id}", "/files/{rest...}", "proxied"} {
		if !strings.Contains(f.Log.String(), `"route":"`+route+`"`) {
			t.Errorf("no route %s in %s", route, f.Log)
		}
	}
}

// TestStreams checks that bodies pass as they arrive, in both directions at once.
func TestStreams(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctl := http.NewResponseController(w)
		ctl.EnableFullDuplex()
		w.Header().Set("Content-Length", "3")
		b := make([]byte, 1)
		for range 3 {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				t.Error(err)
			}
			w.Write(b)
			ctl.Flush()
		}
	}))
	defer service.Close()
	f := front(t, service.URL)
	in, out := io.Pipe()
	req, _ := http.NewRequest("POST", f.URL+"/x", in)
	go io.WriteString(out, "1")
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b := make([]byte, 1)
	for i := 1; i <= 3; i++ {
		if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != fmt.Sprint(i) {
			t.Fatalf("%d: %q %v", i, b, err)
		}
		if i < 3 {
			io.WriteString(out, fmt.Sprint(i+1))
		}
	}
	out.Close()
}

// TestHeaderFirst checks that a header passes before the body, also before a small
// one.
func TestHeaderFirst(t *testing.T) {
	seen := make(chan bool)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/chunked" {
			w.Header().Set("Content-Length", "2")
		}
		http.NewResponseController(w).Flush()
		<-seen
		io.WriteString(w, "ok")
	}))
	defer service.Close()
	f := front(t, service.URL)
	for _, path := range []string{"/", "/chunked"} {
		res, err := http.Get(f.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		seen <- true
		if b, err := io.ReadAll(res.Body); string(b) != "ok" || err != nil {
			t.Errorf("%s: %q %v", path, b, err)
		}
		res.Body.Close()
	}
}

// TestExpect checks that the service decides whether a body is sent.
func TestExpect(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.Copy(w, r.Body)
	}))
	defer service.Close()
	f := front(t, service.URL)
	for path, want := range map[string]string{"/take": "HTTP/1.1 100 Continue", "/refuse": "HTTP/1.1 403 Forbidden"} {
		conn, err := net.Dial("tcp", f.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", path)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if strings.TrimSpace(line) != want {
			t.Errorf("%s: %q %v", path, line, err)
		}
		io.WriteString(conn, "hello")
		conn.Close()
	}
}

// TestWebSocket checks that messages pass both ways, and that the rules break them.
func TestWebSocket(t *testing.T) {
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Error(err)
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
	service.Config.Protocols = new(http.Protocols)
	service.Config.Protocols.SetHTTP1(true)
	service.Config.Protocols.SetUnencryptedHTTP2(true)
	service.Start()
	defer service.Close()
	for _, c := range []struct{ scheme, rules, want string }{
		{"http", "rules: []", "hello"},
		{"h2c", "rules: []", "hello"}, // over HTTP/1.1, as HTTP/2 has no Upgrade
		{"http", "rules: [{name: r, match: {path: /ws}, fault: {websocket: {close: 1011, after: 0}}}]", "1011"},
		{"http", "rules: [{name: r, match: {path: /ws}, at: after, fault: {status: 503}}]", "hello"}, // as the table of kinds in docs/faults.md says
	} {
		f := front(t, strings.Replace(service.URL, "http", c.scheme, 1), "PODINFO_FAULTS", c.rules)
		conn, _, _, err := ws.Dial(t.Context(), strings.Replace(f.URL, "http", "ws", 1)+"/ws")
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		wsutil.WriteClientText(conn, []byte("hello"))
		got, _, err := wsutil.ReadServerData(conn)
		if closed, ok := err.(wsutil.ClosedError); ok {
			got = fmt.Append(nil, int(closed.Code))
		}
		if string(got) != c.want {
			t.Errorf("%s %s: %q %v", c.scheme, c.rules, got, err)
		}
		conn.Close()
	}
}

// TestUnixSocket checks a service behind a socket.
func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "proxy") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.URL) })}
	go srv.Serve(l)
	defer srv.Close()
	f := front(t, "unix://"+l.Addr().String())
	if _, body := f.Call(t, "GET", "/x?y", ""); !strings.HasSuffix(body, "/x?y") || !strings.HasPrefix(body, "127.0.0.1:") {
		t.Error(body)
	}
}

// health is a gRPC service with a unary and a streaming method.
type health struct {
	healthpb.UnimplementedHealthServer
}

func (health) Check(ctx context.Context, req *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if req.Service == "missing" {
		grpc.SetTrailer(ctx, metadata.Pairs("x-sum", "7"))
		return nil, status.Error(codes.NotFound, "no such service")
	}
	grpc.SetHeader(ctx, metadata.Pairs("x-served", req.Service))
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

// slow has a value for each call of the service slow.
var slow = make(chan struct{})

func (health) Watch(req *healthpb.HealthCheckRequest, s grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	if req.Service == "slow" {
		slow <- struct{}{}
		<-s.Context().Done()
	}
	for range 3 {
		if err := s.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}); err != nil {
			return err
		}
	}
	if req.Service == "endless" {
		<-s.Context().Done()
	}
	return status.Error(codes.Aborted, "enough")
}

// grpcFront returns a client of a gRPC service behind the proxy.
func grpcFront(t *testing.T, env ...string) healthpb.HealthClient {
	t.Helper()
	_, client := grpcFrontOf(t, env...)
	return client
}

// grpcFrontOf returns the proxy in front of a gRPC service, and a client.
func grpcFrontOf(t *testing.T, env ...string) (*registrytest.Server, healthpb.HealthClient) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	healthpb.RegisterHealthServer(srv, health{})
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	f := front(t, "http://"+l.Addr().String(), env...)
	h2 := httptest.NewUnstartedServer(f.App)
	h2.Config.Protocols = new(http.Protocols)
	h2.Config.Protocols.SetUnencryptedHTTP2(true)
	h2.Start()
	t.Cleanup(h2.Close)
	conn, err := grpc.NewClient("passthrough:"+h2.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return f, healthpb.NewHealthClient(conn)
}

// TestGRPC checks calls, streams, metadata and statuses through the proxy.
func TestGRPC(t *testing.T) {
	c := grpcFront(t)
	var header, trailer metadata.MD
	res, err := c.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "a"}, grpc.Header(&header))
	if err != nil || res.Status != healthpb.HealthCheckResponse_SERVING || header.Get("x-served")[0] != "a" {
		t.Errorf("%v %v %v", res, err, header)
	}
	for range 300 { // the response is a header only, which must not be flushed before it ends the stream
		_, err = c.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "missing"}, grpc.Trailer(&trailer))
		if status.Code(err) != codes.NotFound || len(trailer.Get("x-sum")) != 1 {
			t.Fatalf("%v %v", err, trailer)
		}
	}
	stream, err := c.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; err == nil; n++ {
		_, err = stream.Recv()
	}
	if n != 4 || status.Code(err) != codes.Aborted || status.Convert(err).Message() != "enough" {
		t.Errorf("%d messages, %v", n-1, err)
	}
}

// TestCodesOfCalls checks that the access log and the metrics have the code that the
// client of a gRPC call got.
func TestCodesOfCalls(t *testing.T) {
	for _, c := range []struct{ rule, service, code string }{
		{"match: {grpc: other.Service/*}, fault: {grpc: UNAVAILABLE}", "a", "OK"},               // of the service's trailer
		{"match: {grpc: other.Service/*}, fault: {grpc: UNAVAILABLE}", "missing", "NotFound"},   // of its header
		{"match: {grpc: other.Service/*}, fault: {grpc: UNAVAILABLE}", "watch", "Aborted"},      // after messages
		{"match: {grpc: '*'}, fault: {grpc: UNAVAILABLE}", "a", "Unavailable"},                  // in the header
		{"match: {grpc: '*'}, at: after, fault: {grpc: UNAVAILABLE}", "a", "Unavailable"},       // instead of the service's
		{"match: {grpc: '*'}, fault: {grpc: {code: DATA_LOSS, after: 2}}", "watch", "DataLoss"}, // in the trailer
		{"match: {grpc: '*'}, fault: {reset: true}", "a", ""},
		{"match: {grpc: other.Service/*}, fault: {grpc: UNAVAILABLE}", "endless", "Canceled"}, // within the messages
		{"match: {grpc: other.Service/*}, fault: {grpc: UNAVAILABLE}", "slow", "Canceled"},    // before the response
		{"match: {grpc: '*'}, delay: 1ms", "endless", "Canceled"},
		{"match: {grpc: '*'}, delay: 1ms", "slow", "Canceled"},
		{"match: {grpc: '*'}, fault: {grpc: {code: DATA_LOSS, after: 9}}", "endless", "Canceled"},
		{"match: {grpc: '*', reply: {code: OK}}, fault: {grpc: DATA_LOSS}", "endless", "Canceled"},
	} {
		collector := otlptest.Start(t)
		f, client := grpcFrontOf(t, "PODINFO_FAULTS", "rules: [{name: r, "+c.rule+"}]", "PODINFO_OTEL_SERVICE_NAME", "svc", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.GRPC)
		switch c.service {
		case "endless", "slow":
			ctx, cancel := context.WithCancel(t.Context())
			stream, err := client.Watch(ctx, &healthpb.HealthCheckRequest{Service: c.service})
			for n := 0; err == nil && n < 3 && c.service == "endless"; n++ {
				_, err = stream.Recv()
			}
			if c.service == "slow" {
				<-slow
			}
			cancel()
			for err == nil {
				_, err = stream.Recv()
			}
		case "watch":
			stream, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
			for err == nil {
				_, err = stream.Recv()
			}
		default:
			client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: c.service})
		}
		var line, page string
		counts := func() bool {
			return strings.Contains(page, `path="proxied"`) && (c.code == "" || strings.Contains(page, `podinfo_proxy_grpc_total{code="`+c.code+`"} 1`))
		}
		for deadline := time.Now().Add(10 * time.Second); !counts() && time.Now().Before(deadline); time.Sleep(time.Millisecond) { // counted after its client saw it end
			_, page = f.Call(t, "GET", "/metrics", "")
		}
		for l := range strings.Lines(f.Log.String()) {
			if strings.Contains(l, `"request completed"`) && !strings.Contains(l, "/metrics") {
				line = l
			}
		}
		if logged := strings.Contains(line, `"code":"`+c.code+`"`); logged != (c.code != "") || c.code == "" && strings.Contains(line, `"code"`) {
			t.Errorf("%s, %s: want %q: %s", c.rule, c.service, c.code, line)
		}
		if counted := strings.Contains(page, `podinfo_proxy_grpc_total{code="`+c.code+`"} 1`); counted != (c.code != "") {
			t.Errorf("%s, %s: counted %v", c.rule, c.service, counted)
		}
		f.App.Stop(t.Context()) // exports the spans
		want := ""
		for code := rpc.OK; want == "" && c.code != ""; code++ {
			if code.String() == c.code {
				want = code.Canonical()
			}
		}
		if len(collector.Spans()) == 0 {
			t.Errorf("%s, %s: no span", c.rule, c.service)
		}
		for _, span := range collector.Spans() {
			if code, _ := span.Attributes["rpc.response.status_code"].(string); span.Kind == tracepb.Span_SPAN_KIND_SERVER && code != want && span.Attributes["url.path"] != "/metrics" {
				t.Errorf("%s, %s: span with the code %q, want %q", c.rule, c.service, code, want)
			}
		}
	}
}

// TestRulesOfCalls checks that rules about gRPC break the calls of a service that
// they know nothing about.
func TestRulesOfCalls(t *testing.T) {
	for _, c := range []struct {
		rule     string
		code     codes.Code // of Check
		messages int        // of Watch
		end      codes.Code // of Watch
	}{
		{"match: {grpc: other.Service/*}, fault: {grpc: DATA_LOSS}", codes.OK, 3, codes.Aborted},
		{"match: {grpc: grpc.health.v1.Health/*}, fault: {grpc: {code: DATA_LOSS, message: 'gone, 100 %'}}", codes.DataLoss, 0, codes.DataLoss},
		{"match: {grpc: grpc.health.v1.Health/*}, at: after, fault: {grpc: DATA_LOSS}", codes.DataLoss, 0, codes.DataLoss},
		{"match: {grpc: grpc.health.v1.Health/Watch}, fault: {grpc: {code: DATA_LOSS, after: 2}}", codes.OK, 2, codes.DataLoss},
		{"match: {grpc: '*'}, fault: {reset: true}", codes.Internal, 0, codes.Internal},
		{"match: {grpc: '*', headers: {x: '*'}}, fault: {grpc: DATA_LOSS}", codes.OK, 3, codes.Aborted},
		{"match: {grpc: '*'}, delay: 1ms", codes.OK, 3, codes.Aborted},
		{"match: {grpc: '*'}, delay: {fixed: 1ms, at: chunks}", codes.OK, 3, codes.Aborted},
		{"match: {path: /grpc.health.v1.Health/Check}, fault: {status: 503}", codes.OK, 3, codes.Aborted}, // as on podinfo's own port
	} {
		client := grpcFront(t, "PODINFO_FAULTS", "rules: [{name: r, "+c.rule+"}]")
		var trailer metadata.MD
		_, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}, grpc.Trailer(&trailer))
		if status.Code(err) != c.code {
			t.Errorf("%s: %v", c.rule, err)
		}
		if named := len(trailer.Get("x-podinfo-fault")) > 0; named != strings.Contains(c.rule, "DATA_LOSS") && c.code != codes.OK && c.code != codes.Internal {
			t.Errorf("%s: trailer %v", c.rule, trailer)
		}
		if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "missing"}); c.code == codes.OK && status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v, want the service's status, which is in the header", c.rule, err)
		}
		stream, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
		n := -1
		for ; err == nil; n++ {
			_, err = stream.Recv()
		}
		if n != c.messages || status.Code(err) != c.end {
			t.Errorf("%s: %d messages, then %v", c.rule, n, err)
		}
	}
}

// TestCallsEndByTime checks that a stream ends with the rule's status after its time
// when the service stays silent, and at the latest when the service ends it.
func TestCallsEndByTime(t *testing.T) {
	for _, service := range []string{"endless", ""} {
		client := grpcFront(t, "PODINFO_FAULTS", "rules: [{name: r, match: {grpc: '*'}, fault: {grpc: {code: DATA_LOSS, after-time: 200ms}}}]")
		stream, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		n := -1
		for ; err == nil; n++ {
			_, err = stream.Recv()
		}
		if n != 3 || status.Code(err) != codes.DataLoss {
			t.Errorf("%q: %d messages, then %v", service, n, err)
		}
	}
}

// TestDetailsOfCalls checks that a status at the beginning or the end of a call has
// the details of the rule.
func TestDetailsOfCalls(t *testing.T) {
	const details = "details: {retry-info: 1500ms, error-info: {reason: WHY, domain: d, metadata: {b: '2', a: '1'}}, bad-request: {f: bad}, quota-failure: {s: much}, help: {docs: 'https://x'}, localized-message: {en-US: hi}, debug-info: trace}"
	want := []proto.Message{
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
		&errdetails.ErrorInfo{Reason: "WHY", Domain: "d", Metadata: map[string]string{"a": "1", "b": "2"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "f", Description: "bad"}}},
		&errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "s", Description: "much"}}},
		&errdetails.Help{Links: []*errdetails.Help_Link{{Description: "docs", Url: "https://x"}}},
		&errdetails.LocalizedMessage{Locale: "en-US", Message: "hi"},
		&errdetails.DebugInfo{Detail: "trace"},
	}
	for _, rule := range []string{"fault: {grpc: {code: ABORTED, message: no, " + details + "}}", "fault: {grpc: {code: ABORTED, message: no, after: 2, " + details + "}}"} {
		client := grpcFront(t, "PODINFO_FAULTS", "rules: [{name: r, match: {grpc: '*'}, "+rule+"}]")
		stream, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
		for err == nil {
			_, err = stream.Recv()
		}
		s := status.Convert(err)
		var got []proto.Message
		for _, d := range s.Details() {
			m, _ := d.(proto.Message)
			got = append(got, m)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || s.Code() != codes.Aborted || s.Message() != "no" {
			t.Errorf("%s: %v %s", rule, s, diff)
		}
	}
}
