package randomerror_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/randomerror"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// endpoint counts the reported faults.
type endpoint struct{ faults atomic.Int64 }

func (*endpoint) Info() registry.Info { return registry.Info{Name: "endpoint"} }
func (*endpoint) Routes() []registry.Route {
	ok := func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) }
	return []registry.Route{{Path: "/a", Handler: ok}, {Path: "/internal", Handler: ok, Internal: true}}
}

func (e *endpoint) FaultInjected(_ context.Context, fault string) {
	if fault == "random-error" {
		e.faults.Add(1)
	}
}

func env(seed string, more ...string) map[string]string {
	out := map[string]string{"PODINFO_RANDOM_ERROR": "true", "PODINFO_SEED": seed}
	for _, kv := range more {
		k, v, _ := strings.Cut(kv, "=")
		out["PODINFO_RANDOM_ERROR_"+k] = v
	}
	return out
}

// outcomes sends n requests from several clients and counts the statuses.
func outcomes(t *testing.T, n, clients int, env map[string]string) map[int]int {
	t.Helper()
	e := new(endpoint)
	app, _ := registrytest.New(t, env, new(randomerror.Module), e)
	var mu sync.Mutex
	counts := map[int]int{}
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range n / clients {
				rec := httptest.NewRecorder()
				app.ServeHTTP(rec, httptest.NewRequest("GET", "/a", nil))
				mu.Lock()
				counts[rec.Code]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if failed := int64(n - counts[200]); e.faults.Load() != failed {
		t.Errorf("%d errors, %d of them reported", failed, e.faults.Load())
	}
	return counts
}

// TestRateAndCodes is Pearson's chi-squared test at the 1 % level. The seed is
// fixed, so the result is always the same.
func TestRateAndCodes(t *testing.T) {
	const n = 9600
	for _, c := range []struct {
		settings string
		shares   map[int]float64 // of all requests
		limit    float64         // by degrees of freedom
	}{
		{"", map[int]float64{200: 2. / 3, 500: 1. / 9, 400: 1. / 9, 409: 1. / 9}, 11.345},
		{"RATE=0.1 CODES=503,429", map[int]float64{200: .9, 503: .05, 429: .05}, 9.210},
	} {
		counts := outcomes(t, n, 1, env("1", strings.Fields(c.settings)...))
		x, seen := 0.0, 0
		for code, share := range c.shares {
			d := float64(counts[code]) - share*n
			x, seen = x+d*d/(share*n), seen+counts[code]
		}
		if x >= c.limit || seen != n {
			t.Errorf("%q: %v: chi-squared %.2f, want below %.2f", c.settings, counts, x, c.limit)
		}
	}
}

func TestSeedRepeatsOutcomesForAnyNumberOfClients(t *testing.T) {
	const n = 1920
	want := outcomes(t, n, 1, env("7"))
	for _, clients := range []int{1, 8, 64} {
		if diff := cmp.Diff(want, outcomes(t, n, clients, env("7"))); diff != "" {
			t.Errorf("%d clients: %s", clients, diff)
		}
	}
	if maps.Equal(want, outcomes(t, n, 1, env("8"))) {
		t.Error("another seed gave the same outcomes")
	}
}

func TestAlwaysAndNever(t *testing.T) {
	for settings, want := range map[string]map[int]int{
		"RATE=0":             {200: 500},
		"RATE=1 CODES=599":   {599: 500},
		"RATE=1.0 CODES=400": {400: 500},
	} {
		if diff := cmp.Diff(want, outcomes(t, 500, 1, env("", strings.Fields(settings)...))); diff != "" {
			t.Errorf("%s: %s", settings, diff)
		}
	}
}

func TestReply(t *testing.T) {
	s := registrytest.Serve(t, env("", "RATE=1", "CODES=409"), new(randomerror.Module), new(endpoint))
	if res, body := s.Call(t, "POST", "/a", "x"); res.StatusCode != 409 || body != "{\n  \"code\": 409,\n  \"message\": \"random error\"\n}" || res.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("%d %q %v", res.StatusCode, body, res.Header)
	}
	for path, want := range map[string]int{"/internal": 200, "/nowhere": 404} {
		if res, _ := s.Call(t, "GET", path, ""); res.StatusCode != want {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

func TestSettings(t *testing.T) {
	const rate, codes = "want a number from 0 to 1", "want a comma-separated list of statuses from 400 to 599"
	for set, want := range map[string]string{
		"RATE=-0.1": rate, "RATE=1.1": rate, "RATE=NaN": rate, "RATE=half": rate, "RATE=+Inf": rate,
		"CODES=399": codes, "CODES=600": codes, "CODES=500,200": codes, "CODES=x": codes,
	} {
		_, err := registry.New([]registry.Module{new(randomerror.Module)}, registry.Env(env("", set)))
		if err == nil || !strings.HasPrefix(err.Error(), "PODINFO_RANDOM_ERROR_") || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", set, err, want)
		}
	}
	if _, err := registry.New(nil, registry.With(&randomerror.Module{Codes: []int{}})); err == nil {
		t.Error("an empty list of codes was accepted")
	}
}
