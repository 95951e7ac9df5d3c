package podinfo_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/delay/delaypb"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// TestCutsAreCounted: what outlives the shutdown timeout is counted, whatever its
// protocol, and the metrics say how it ended for its client.
func TestCutsAreCounted(t *testing.T) {
	httpPort, grpcPort := registrytest.FreePort(t), registrytest.FreePort(t)
	endless := &endless{arrived: make(chan struct{})}
	app, err := registry.New(slices.Concat(podinfo.Modules(), []registry.Module{endless}, podinfo.Listeners()), registry.Env(map[string]string{
		"PODINFO_HOST": "127.0.0.1", "PODINFO_PORT": fmt.Sprint(httpPort), "PODINFO_GRPC_PORT": fmt.Sprint(grpcPort), "PODINFO_H2C": "true",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer app.Stop(context.Background())
	addr := fmt.Sprint("127.0.0.1:", httpPort)
	var all sync.WaitGroup
	one, two := new(http.Transport), &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	defer one.CloseIdleConnections()
	defer two.CloseIdleConnections()
	request := func(client *http.Transport, path string, want int) { // 0 for no response
		all.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			got := 0
			if res, err := client.RoundTrip(req); err == nil {
				if _, err := io.ReadAll(res.Body); err == nil {
					got = res.StatusCode
				}
				res.Body.Close()
			}
			if got != want {
				t.Errorf("%s: status %d, want %d", path, got, want)
			}
		})
	}
	request(one, "/endless", 503)
	request(one, "/endless/begun", 0)
	request(two, "/endless", 0)
	request(two, "/endless/begun", 0)
	for range 4 {
		<-endless.arrived
	}
	conn := webSocket(t, addr)
	defer conn.Close()
	client, err := grpc.NewClient(fmt.Sprint("passthrough:///127.0.0.1:", grpcPort), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	all.Go(func() {
		if _, err := delaypb.NewDelayServiceClient(client).Delay(t.Context(), &delaypb.DelayRequest{Seconds: 3600}); status.Code(err) != codes.Unavailable {
			t.Error(err)
		}
	})
	for started := regexp.MustCompile(`grpc_server_started_total{.*DelayService.*} 1`); !started.MatchString(metricsOf(app)); {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = app.Drain(ctx)
	all.Wait()
	for _, want := range []string{"module http-server: 4 requests cut", "module grpc-server: 1 calls cut", "module ws-echo: 1 connections cut"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	want := []string{
		`grpc_server_handled_total{grpc_type="unary",grpc_service="delay.DelayService",grpc_method="Delay",grpc_code="Unavailable"} 1`,
		`http_requests_total{status="101"} 1`,
		`http_requests_total{status="503"} 1`,
		`http_requests_total{status="599"} 3`,
		`podinfo_requests_cut_total{protocol="grpc"} 1`,
		`podinfo_requests_cut_total{protocol="http"} 4`,
		`podinfo_requests_cut_total{protocol="websocket"} 1`,
	}
	lines := regexp.MustCompile(`(?m)^(http_requests_total{status="[1345].*|podinfo_requests_cut_total|grpc_server_handled_total.*DelayService.*).* [1-9]\d*$`).FindAllString(metricsOf(app), -1)
	slices.Sort(lines)
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

// endless is a module whose requests end only when their context does.
type endless struct{ arrived chan struct{} }

func (*endless) Info() registry.Info { return registry.Info{Name: "endless", Doc: "Never respond."} }

func (e *endless) Routes() []registry.Route {
	return []registry.Route{{Method: http.MethodGet, Path: "/endless", Handler: e.serve}, {Method: http.MethodGet, Path: "/endless/begun", Handler: e.serve}}
}

func (e *endless) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "begun") {
		io.WriteString(w, "a part")
		http.NewResponseController(w).Flush()
	}
	e.arrived <- struct{}{}
	<-r.Context().Done()
}

// metricsOf returns the metrics of an app, without a port.
func metricsOf(app http.Handler) string { return get(app, "/metrics").Body.String() }

// webSocket opens a WebSocket whose client never closes.
func webSocket(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /ws/echo HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	res.Body.Close()
	return conn
}
