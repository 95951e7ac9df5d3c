package podinfotest_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	"github.com/seed-4591fe7d/podinfo/endpoints/status/statuspb"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

const namedRules = `PODINFO_FAULTS={"rules": [
	{"name": "status", "match": {"path": "/env"}, "fault": {"status": 503}},
	{"name": "body", "match": {"path": "/headers"}, "fault": {"truncate": 3}},
	{"name": "call", "match": {"grpc": "info.InfoService/Info"}, "fault": {"grpc": "Unavailable"}}]}`

// TestResponsesAreNamed checks that each response says which version and host made
// it, and that a setting turns that off.
func TestResponsesAreNamed(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string][2]string{"true": {"6.15.0", host}, "false": {}} {
		s := podinfotest.Start(t, namedRules, "PODINFO_VERSION_HEADERS_RESPONSE="+setting)
		for _, c := range []struct {
			method, path, body string
			status             int
		}{
			{"GET", "/version", "", 200}, {"HEAD", "/version", "", 200}, {"GET", "/healthz", "", 200}, {"GET", "/metrics", "", 200},
			{"GET", "/nosuch", "", 404}, {"PUT", "/version", "", 405}, {"OPTIONS", "/version", "", 204}, {"GET", "//version", "", 301},
			{"GET", "/status/500", "", 500}, {"GET", "/env", "", 503}, {"GET", "/headers", "", 200},
			{"GET", "/ui/assets/none/app.js", "", 404},
			{"POST", "/readyz/disable", "", 202}, {"GET", "/readyz", "", 503},
			{"POST", "/fault_injection/enable", "", 202}, {"GET", "/version", "", 500},
		} {
			req, err := http.NewRequest(c.method, s.URL+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			client := s.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if got := [2]string{res.Header.Get("X-Podinfo-Version"), res.Header.Get("X-Podinfo-Host")}; got != want || res.StatusCode != c.status {
				t.Errorf("%s %s: status %d from %q, want %d from %q", c.method, c.path, res.StatusCode, got, c.status, want)
			}
		}
		conn := s.GRPC()
		for method, call := range map[string]func(...grpc.CallOption) error{
			"a call": func(o ...grpc.CallOption) error {
				_, err := echopb.NewEchoServiceClient(conn).Echo(t.Context(), &echopb.Message{}, o...)
				return err
			},
			"an error": func(o ...grpc.CallOption) error {
				_, err := statuspb.NewStatusServiceClient(conn).Status(t.Context(), &statuspb.StatusRequest{Code: "Internal"}, o...)
				return err
			},
			"a fault": func(o ...grpc.CallOption) error {
				return conn.Invoke(t.Context(), "/info.InfoService/Info", &echopb.Message{}, &echopb.Message{}, o...)
			},
			"no such method": func(o ...grpc.CallOption) error {
				return conn.Invoke(t.Context(), "/no.Such/Method", &echopb.Message{}, &echopb.Message{}, o...)
			},
			"a health check": func(o ...grpc.CallOption) error {
				_, err := grpc_health_v1.NewHealthClient(conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{}, o...)
				return err
			},
		} {
			var header, trailer metadata.MD
			if call(grpc.Header(&header), grpc.Trailer(&trailer)) != nil {
				header = trailer // a call that fails has no header, so that clients may retry it
			}
			if got := [2]string{first(header.Get("x-podinfo-version")), first(header.Get("x-podinfo-host"))}; got != want {
				t.Errorf("gRPC, %s: from %q, want %q", method, got, want)
			}
		}
	}
}

func first(values []string) string { return strings.Join(values, " and ") }
