package health

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// checker is a module whose readiness check can be made to fail.
type checker struct{ failing atomic.Bool }

func (*checker) Info() registry.Info { return registry.Info{Name: "checker"} }

func (c *checker) Ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.failing.Load() {
		return errors.New("the store is full")
	}
	return nil
}

const ok = "{\n  \"status\": \"OK\"\n}"

// expect checks the response to a probe on the main port and from the handler
// for other ports.
func expect(t *testing.T, s *registrytest.Server, path string, code int) {
	t.Helper()
	body := ""
	if code == 200 {
		body = ok
	}
	res, got := s.Call(t, "GET", path, "")
	if res.StatusCode != code || got != body {
		t.Errorf("%s: %d %q, want %d", path, res.StatusCode, got, code)
	}
	if _, typed := res.Header["Content-Type"]; typed != (code == 200) {
		t.Errorf("%s: content type %q", path, res.Header.Get("Content-Type"))
	}
	m := s.App.Get("health").(*Module)
	h, rec := map[string]http.Handler{"/healthz": m.Healthz(), "/readyz": m.Readyz()}[path], httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Code != code || rec.Body.String() != body {
		t.Errorf("handler of %s: %d %q", path, rec.Code, rec.Body)
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		key             string
		healthz, readyz int
	}{{"", 200, 200}, {"PODINFO_UNHEALTHY", 503, 200}, {"PODINFO_UNREADY", 200, 503}} {
		s := registrytest.Serve(t, map[string]string{c.key: "true"}, new(Module))
		expect(t, s, "/healthz", c.healthz)
		expect(t, s, "/readyz", c.readyz)
	}
}

func TestTurnReadinessOnAndOff(t *testing.T) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_UNREADY": "true"}, new(Module))
	for _, c := range []struct {
		path   string
		readyz int
	}{{"/readyz/enable", 200}, {"/readyz/disable", 503}, {"/readyz/disable", 503}, {"/readyz/enable", 200}} {
		if res, body := s.Call(t, "POST", c.path, ""); res.StatusCode != 202 || body != "" || res.Header.Get("Content-Type") != "" {
			t.Errorf("%s: %d %q", c.path, res.StatusCode, body)
		}
		expect(t, s, "/readyz", c.readyz)
		expect(t, s, "/healthz", 200)
	}
	if res, _ := s.Call(t, "GET", "/readyz/enable", ""); res.StatusCode != 405 {
		t.Errorf("GET: %d", res.StatusCode)
	}
}

func TestFollowsCheckersAndDrain(t *testing.T) {
	c := new(checker)
	s := registrytest.Serve(t, nil, new(Module), c)
	expect(t, s, "/readyz", 200)
	c.failing.Store(true)
	expect(t, s, "/readyz", 503)
	c.failing.Store(false)
	expect(t, s, "/readyz", 200)
	if err := s.App.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	expect(t, s, "/readyz", 503)
	expect(t, s, "/healthz", 200)
}

func TestLogsEachChangeOnce(t *testing.T) {
	c := new(checker)
	s := registrytest.Serve(t, nil, new(Module), c)
	m := s.App.Get("health").(*Module)
	var logged []string
	step := func(do func()) {
		before := len(s.Log.String())
		do()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { m.Status(t.Context()) })
		}
		all.Wait()
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		m.Status(canceled)
		logged = append(logged, strings.TrimSpace(s.Log.String()[before:]))
	}
	step(func() {})
	step(func() { c.failing.Store(true) })
	step(func() { s.Call(t, "POST", "/readyz/disable", "") })
	step(func() { c.failing.Store(false) })
	step(func() { s.Call(t, "POST", "/readyz/enable", "") })
	step(func() { s.Call(t, "POST", "/readyz/disable", "") })
	step(func() { s.Call(t, "POST", "/readyz/enable", "") })
	step(func() { s.App.Drain(t.Context()) })
	for i, line := range logged {
		if at := strings.Index(line, `"msg"`); at >= 0 {
			logged[i] = line[at:]
		}
	}
	want := []string{
		`"msg":"ready","module":"health"}`,
		`"msg":"not ready","module":"health","reason":"checker: the store is full"}`,
		"",
		"",
		`"msg":"ready","module":"health"}`,
		`"msg":"not ready","module":"health","reason":"readiness is turned off"}`,
		`"msg":"ready","module":"health"}`,
		`"msg":"not ready","module":"health","reason":"shutting down"}`,
	}
	if diff := cmp.Diff(want, logged); diff != "" {
		t.Error(diff)
	}
}

func TestRoutesAreInternal(t *testing.T) {
	for _, rt := range new(Module).Routes() {
		if probe := rt.Method == "GET"; !rt.Internal || rt.Probe != probe {
			t.Errorf("%s: internal %v, probe %v", rt.Path, rt.Internal, rt.Probe)
		}
	}
}

// discard is a ResponseWriter that can be reused.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func TestNoAllocations(t *testing.T) {
	m := new(Module)
	registrytest.New(t, nil, m, new(checker))
	w, r := discard{http.Header{}}, httptest.NewRequest("GET", "/readyz", nil)
	if n := testing.AllocsPerRun(100, func() { m.readyz(w, r); m.healthz(w, r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
