package podinfo_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/middleware/randomdelay"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start assembles and starts the stock modules; the end of the test stops
// them.
func start(t testing.TB, env map[string]string, opts ...registry.Option) *registry.App {
	t.Helper()
	app, err := podinfo.New(append(opts, registry.Env(env))...)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := app.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return app
}

func get(app http.Handler, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec
}

func TestTwoAppsShareNothing(t *testing.T) {
	a, b := start(t, map[string]string{"PODINFO_UI_COLOR": "#111111"}), start(t, map[string]string{"PODINFO_DELAY_ENABLED": "false"})
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/fault_injection/enable", nil))
	for _, c := range []struct {
		app  http.Handler
		path string
		code int
		body string
	}{
		{a, "/version", 500, ""}, {b, "/version", 200, ""},
		{a, "/delay/0", 500, ""}, {b, "/delay/0", 404, ""},
		{a, "/metrics", 200, `podinfo_faults_injected_total{fault="fault-injection"} 2`}, {b, "/api/info", 200, "#34577c"},
	} {
		if rec := get(c.app, c.path); rec.Code != c.code || !strings.Contains(rec.Body.String(), c.body) {
			t.Errorf("%s: %d %s", c.path, rec.Code, rec.Body)
		}
	}
	if page := get(b, "/metrics").Body.String(); strings.Contains(page, "fault-injection\"} 2") || !strings.Contains(page, `http_requests_total{status="404"} 1`) {
		t.Error(page)
	}
}

func TestConfiguredInCode(t *testing.T) {
	app := start(t, nil, registry.With(&randomdelay.Module{Max: 1, Unit: "ms"}))
	for _, m := range app.Mounted() {
		if m.Path == "/version" && !strings.Contains(strings.Join(m.Chain, " "), "random-delay") {
			t.Error(m.Chain)
		}
	}
	if rec := get(app, "/version"); rec.Code != 200 {
		t.Error(rec.Code)
	}
}

func TestDefaultChain(t *testing.T) {
	app := start(t, map[string]string{"PODINFO_RANDOM_DELAY": "true", "PODINFO_RANDOM_ERROR": "true"})
	chains := map[string]string{}
	for _, m := range app.Mounted() {
		chains[m.Path] = strings.Join(m.Chain, " ")
	}
	for path, want := range map[string]string{
		"/version": "recovery metrics access-log version-headers overload body-limit fault-injection random-delay random-error",
		"/healthz": "recovery metrics access-log version-headers overload body-limit",
		"/metrics": "recovery metrics access-log version-headers overload body-limit cross-origin",
	} {
		if chains[path] != want {
			t.Errorf("%s: %s, want %s", path, chains[path], want)
		}
	}
}
