package metricsserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/endpoints/metricsserver"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func respond(code int, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, text)
	})
}

// counter and doctor are minimal metrics and health modules.
type counter struct{ started bool }

func (*counter) Info() registry.Info           { return registry.Info{Name: "counter"} }
func (c *counter) Start(context.Context) error { c.started = true; return nil }
func (c *counter) MetricsPageHandler() http.Handler {
	return respond(200, fmt.Sprint("started ", c.started))
}

type doctor struct{ probes }

type probes = capability.HealthProbes

func (d *doctor) HealthProbes() capability.HealthProbes { return d }

func (*doctor) Info() registry.Info   { return registry.Info{Name: "doctor"} }
func (*doctor) Healthz() http.Handler { return respond(200, "alive") }
func (*doctor) Readyz() http.Handler  { return respond(503, "not yet") }

// start starts mods with a metrics server on a free port. It tries again when
// another process takes the port in the meantime.
func start(t *testing.T, mods ...registry.Module) (app *registry.App, url string) {
	t.Helper()
	return startWith(t, nil, mods...)
}

func startWith(t *testing.T, env map[string]string, mods ...registry.Module) (app *registry.App, url string) {
	t.Helper()
	for {
		port := registrytest.FreePort(t)
		m := new(metricsserver.Module)
		vars := map[string]string{"PODINFO_HOST": "127.0.0.1", "PODINFO_PORT_METRICS": fmt.Sprint(port), "PODINFO_PREFIX": "/foo"}
		maps.Copy(vars, env)
		app, err := registry.New(append(mods, m), registry.Env(vars))
		if err != nil {
			t.Fatal(err)
		}
		err = app.Start(t.Context())
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := app.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
		want := fmt.Sprintf("127.0.0.1:%d", port)
		if got := m.Addr().String(); got != want {
			t.Errorf("listens on %s, want %s", got, want)
		}
		return app, "http://" + want
	}
}
func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return registrytest.Do(t, req)
}

func TestServes(t *testing.T) {
	_, full := start(t, new(counter), new(doctor))
	_, bare := start(t)
	for _, c := range []struct {
		url  string
		code int
		body string
	}{
		{full + "/metrics", 200, "started true"},
		{full + "/healthz", 200, "alive"},
		{full + "/readyz", 503, "not yet"},
		{full + "/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total"},
		{full + "/debug/pprof/cmdline", 404, "{\n  \"code\": 404,\n  \"message\": \"unknown profile"},
		{full + "/foo/metrics", 404, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
		{full + "/version", 404, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
		{bare + "/metrics", 404, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
		{bare + "/healthz", 200, "OK"},
		{bare + "/readyz", 404, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
		{bare + "/debug/pprof/", 200, "<!doctype html>"},
	} {
		if res, body := get(t, c.url); res.StatusCode != c.code || !strings.HasPrefix(body, c.body) {
			t.Errorf("%s: %d %q", c.url, res.StatusCode, body)
		}
	}
}

// TestServesTheFaultsAPI checks that the faults API is served on this port only
// and requires its token.
func TestServesTheFaultsAPI(t *testing.T) {
	app, url := startWith(t, map[string]string{"PODINFO_FAULTS": "rules: [{name: r, fault: {reset: true}}]", "PODINFO_FAULTS_ADMIN": "true", "PODINFO_FAULTS_ADMIN_TOKEN": "s3cret"}, new(faults.Module))
	for _, c := range []struct {
		method, path, token, body string
		code                      int
		has                       string
	}{
		{"GET", "/faults", "", "", 401, "authorization bearer header required"},
		{"GET", "/faults", "s3cret", "", 200, `"name": "r"`},
		{"GET", "/faults/openapi.json", "s3cret", "", 200, `"openapi": "3.1.1"`},
		{"GET", "/faults/schema.json", "s3cret", "", 200, `"$schema"`},
		{"PUT", "/faults/rules/q", "s3cret", "delay: 1ms", 200, `"name": "q"`},
		{"PUT", "/faults/rules/q", "s3cret", "delay: 1", 400, "is not a duration"},
		{"POST", "/faults/pause", "s3cret", "", 200, `"paused": true`},
		{"DELETE", "/faults/rules/r", "s3cret", "", 200, `"rules": [`},
		{"PATCH", "/faults", "s3cret", "", 405, `"message": "method not allowed; use one of `},
		{"GET", "/foo/faults", "s3cret", "", 404, "not found"},
	} {
		req, err := http.NewRequest(c.method, url+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		if res, body := registrytest.Do(t, req); res.StatusCode != c.code || !strings.Contains(body, c.has) {
			t.Errorf("%s %s: %d %q", c.method, c.path, res.StatusCode, body)
		}
	}
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, httptest.NewRequest("GET", "/foo/faults", nil))
	if rec.Code != 404 {
		t.Errorf("on the main port: %d", rec.Code)
	}
}

// TestStopEndsProfile checks that a profile that would outlast the shutdown ends
// early and is sent.
func TestStopEndsProfile(t *testing.T) {
	app, url := start(t)
	res, err := http.Get(url + "/debug/pprof/trace?seconds=3600")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		if body, err := io.ReadAll(res.Body); err != nil || len(body) == 0 {
			t.Error(len(body), err)
		}
	}()
	if err := app.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	<-read
	if _, err := http.Get(url + "/healthz"); err == nil {
		t.Error("the port is still open")
	}
}

// late is a module that reads /healthz while it drains.
type late struct {
	url  string
	seen int
}

func (*late) Info() registry.Info { return registry.Info{Name: "late"} }
func (l *late) Drain(context.Context) error {
	res, err := http.DefaultClient.Get(l.url + "/healthz")
	if err != nil {
		return err
	}
	l.seen = res.StatusCode
	http.DefaultClient.CloseIdleConnections()
	return res.Body.Close()
}

func TestServesWhileOthersDrain(t *testing.T) {
	l := new(late)
	app, url := start(t, l)
	l.url = url
	if err := app.Stop(t.Context()); err != nil || l.seen != 200 {
		t.Error(l.seen, err)
	}
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	app, err := registry.New([]registry.Module{new(metricsserver.Module)}, registry.Env(map[string]string{
		"PODINFO_HOST": "127.0.0.1", "PODINFO_PORT_METRICS": fmt.Sprint(l.Addr().(*net.TCPAddr).Port),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "metrics-server") {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		vars map[string]string
		want string // "" when the module is off
	}{
		{nil, ""},
		{map[string]string{"PODINFO_PORT_METRICS": "0"}, ""},
		{map[string]string{"PODINFO_PORT_METRICS": "70000"}, "PODINFO_PORT_METRICS"},
		{map[string]string{"PODINFO_PORT_METRICS": "-1"}, "PODINFO_PORT_METRICS"},
		{map[string]string{"PODINFO_METRICS_SERVER_ENABLED": "true"}, `PODINFO_PORT_METRICS="0": want a port number, 1 to 65535, because metrics-server is on`},
	} {
		app, err := registry.New([]registry.Module{new(metricsserver.Module)}, registry.Env(c.vars))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: %v", c.vars, err)
			}
			continue
		}
		if err != nil || app.Modules()[0].State != registry.Off {
			t.Errorf("%v: %v", c.vars, err)
		}
	}
}

// namer names responses.
type namer struct{}

func (*namer) Info() registry.Info         { return registry.Info{Name: "namer"} }
func (*namer) ResponseHeader() http.Header { return http.Header{"X-Podinfo-Version": {"1.2.3"}} }

// TestResponsesAreNamed checks that probes, scrapes and errors say who responds.
func TestResponsesAreNamed(t *testing.T) {
	_, url := start(t, new(doctor), new(counter), new(namer))
	for path, status := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200, "/nosuch": 404} {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get("X-Podinfo-Version"); res.StatusCode != status || got != "1.2.3" {
			t.Errorf("%s: %d from %q", path, res.StatusCode, got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
