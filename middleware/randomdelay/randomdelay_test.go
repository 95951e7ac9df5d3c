package randomdelay_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/randomdelay"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint counts the requests that reach it and the faults reported for them.
type endpoint struct{ hits, faults int }

func (*endpoint) Info() registry.Info { return registry.Info{Name: "endpoint"} }
func (e *endpoint) Routes() []registry.Route {
	echo := func(w http.ResponseWriter, r *http.Request) {
		e.hits++
		if body, ok := reply.ReadBytes(w, r, new(budget.Buffer)); ok {
			reply.Raw(w, http.StatusOK, body)
		}
	}
	return []registry.Route{
		{Path: "/a", Handler: echo},
		{Path: "/internal", Handler: echo, Internal: true},
	}
}

func (e *endpoint) FaultInjected(_ context.Context, fault string) {
	if fault == "random-delay" {
		e.faults++
	}
}

func env(unit string, lo, hi int, seed string) map[string]string {
	return map[string]string{
		"PODINFO_RANDOM_DELAY": "true", "PODINFO_RANDOM_DELAY_UNIT": unit,
		"PODINFO_RANDOM_DELAY_MIN": fmt.Sprint(lo), "PODINFO_RANDOM_DELAY_MAX": fmt.Sprint(hi), "PODINFO_SEED": seed,
	}
}

// elapsed returns how long a request takes on the fake clock.
func elapsed(app http.Handler, path string) time.Duration {
	began := time.Now()
	app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	return time.Since(began)
}

// delays returns the delays of n requests, measured on a fake clock.
func delays(t *testing.T, n int, env map[string]string) (out []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		e := new(endpoint)
		app, _ := registrytest.New(t, env, new(randomdelay.Module), e)
		for range n {
			out = append(out, elapsed(app, "/a"))
		}
		if e.hits != n || e.faults != n {
			t.Errorf("%d requests: %d served, %d faults", n, e.hits, e.faults)
		}
	})
	return out
}

// TestDelaysAreUniform is a Kolmogorov-Smirnov test at the 1 % level: the largest
// distance between the observed and the uniform distribution must be below
// 1.628/√n. The seed is fixed, so the result is always the same.
func TestDelaysAreUniform(t *testing.T) {
	const n = 4000
	for _, c := range []struct {
		unit   string
		lo, hi int
		least  time.Duration
		span   time.Duration
	}{
		{"s", 0, 5, 0, 5 * time.Second},
		{"ms", 200, 300, 200 * time.Millisecond, 100 * time.Millisecond},
	} {
		got := delays(t, n, env(c.unit, c.lo, c.hi, "1"))
		slices.Sort(got)
		worst := 0.0
		for i, d := range got {
			share := float64(d-c.least) / float64(c.span)
			if share < 0 || share > 1 {
				t.Fatalf("%v is out of bounds", d)
			}
			worst = max(worst, share-float64(i)/n, float64(i+1)/n-share)
		}
		if limit := 1.628 / math.Sqrt(n); worst >= limit {
			t.Errorf("%s %d to %d: distance %.4f, want below %.4f", c.unit, c.lo, c.hi, worst, limit)
		}
	}
}

func TestSeedRepeatsDelays(t *testing.T) {
	a, b, other := delays(t, 50, env("s", 0, 5, "7")), delays(t, 50, env("s", 0, 5, "7")), delays(t, 50, env("s", 0, 5, "8"))
	if !slices.Equal(a, b) || slices.Equal(a, other) {
		t.Errorf("%v\n%v\n%v", a, b, other)
	}
}

func TestEqualBoundsAreExact(t *testing.T) {
	for _, d := range delays(t, 20, env("ms", 300, 300, "")) {
		if d != 300*time.Millisecond {
			t.Error(d)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		e := new(endpoint)
		app, _ := registrytest.New(t, env("s", 0, 0, ""), new(randomdelay.Module), e)
		if d := elapsed(app, "/a"); d != 0 || e.hits != 1 || e.faults != 0 {
			t.Errorf("no delay: %v, %+v", d, e)
		}
	})
}

func TestInternalRoutesAreNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(endpoint)
		app, _ := registrytest.New(t, env("s", 5, 5, ""), new(randomdelay.Module), e)
		if d := elapsed(app, "/internal"); d != 0 || e.hits != 1 {
			t.Errorf("%v, %+v", d, e)
		}
		if d := elapsed(app, "/nowhere"); d != 0 {
			t.Errorf("404 after %v", d)
		}
	})
}

func TestEndsWhenTheClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(endpoint)
		app, _ := registrytest.New(t, env("s", 60, 60, ""), new(randomdelay.Module), e)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began, rec := time.Now(), httptest.NewRecorder()
		app.ServeHTTP(rec, httptest.NewRequest("GET", "/a", nil).WithContext(ctx))
		if d := time.Since(began); d != time.Second || e.hits != 0 || rec.Body.Len() != 0 {
			t.Errorf("%v, %+v, %q", d, e, rec.Body)
		}
	})
}

// TestOutlastsTheServersTimeouts runs a server over in-memory connections whose
// timeouts are shorter than the delay. The second half of the request's body
// arrives during the delay.
func TestOutlastsTheServersTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, env("s", 60, 60, ""), new(randomdelay.Module), new(endpoint))
		l := make(pipes)
		srv := &http.Server{Handler: app, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second}
		go srv.Serve(l)
		defer srv.Close()
		client, server := net.Pipe()
		defer client.Close()
		l <- server
		go func() {
			io.WriteString(client, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
			time.Sleep(10 * time.Second)
			io.WriteString(client, "def")
		}()
		began := time.Now()
		res, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if d := time.Since(began); err != nil || res.StatusCode != 200 || string(body) != "abcdef" || d != time.Minute {
			t.Errorf("%v, %d %q after %v", err, res.StatusCode, body, d)
		}
	})
}

// pipes is a listener that accepts the connections sent to it.
type pipes chan net.Conn

func (l pipes) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipes) Close() error { close(l); return nil }
func (pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestSettings(t *testing.T) {
	for _, c := range []struct{ vars, want string }{
		{"UNIT=m", `PODINFO_RANDOM_DELAY_UNIT="m": want s or ms`},
		{"MIN=-1", `PODINFO_RANDOM_DELAY_MIN="-1": want a whole number, not negative`},
		{"MIN=0.5", `PODINFO_RANDOM_DELAY_MIN="0.5": want a whole number, not negative`},
		{"MIN=6", `PODINFO_RANDOM_DELAY_MAX="5": want a whole number, not below the shortest delay`},
		{"MIN=3 MAX=2", `PODINFO_RANDOM_DELAY_MAX="2": want a whole number, not below the shortest delay`},
		{"MAX=2147483648", `PODINFO_RANDOM_DELAY_MAX="2147483648": want a whole number`},
		{"MAX=2147483647", ""},
	} {
		vars := map[string]string{"PODINFO_RANDOM_DELAY": "true"}
		for _, kv := range strings.Fields(c.vars) {
			k, v, _ := strings.Cut(kv, "=")
			vars["PODINFO_RANDOM_DELAY_"+k] = v
		}
		_, err := registry.New([]registry.Module{new(randomdelay.Module)}, registry.Env(vars))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.vars, err, c.want)
		}
	}
}
