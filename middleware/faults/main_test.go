package faults_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/urfave/negroni/v3"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const text = "0123456789abcdefghijklmnopqrstuvwxyz"

// endpoint is a module with routes for the tests. It records the injected faults
// and the outcomes of requests.
type endpoint struct {
	mu       sync.Mutex
	hits     int
	faults   []string
	outcomes []record.Outcome
}

func (*endpoint) Info() registry.Info {
	return registry.Info{Name: "endpoint", Phase: registry.Observe}
}

func (e *endpoint) Routes() []registry.Route {
	answer := func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		e.hits++
		e.mu.Unlock()
		w.Write([]byte(text))
	}
	return []registry.Route{
		{Path: "/a", Handler: answer},
		{Path: "/api/{name}", Handler: answer},
		{Method: "POST", Path: "/upload", Handler: func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
			answer(w, r)
			w.Write(b)
		}},
		{Path: "/internal", Handler: answer, Internal: true},
		{Path: "/empty", Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
		{Path: "/three", Handler: func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				w.Write([]byte("x"))
			}
		}},
	}
}

// ServeHTTP records outcomes like the metrics and the access log.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	returned := false
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.outcomes = append(e.outcomes, record.End(w.(negroni.ResponseWriter), r, returned))
	}()
	next(w, r)
	returned = true
}

func (e *endpoint) FaultInjected(_ context.Context, fault string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, fault)
}

// seen waits until n requests are recorded, which may happen after their clients
// saw them end.
func (e *endpoint) seen(n int) (faults []string, outcomes []record.Outcome) {
	for deadline := time.Now().Add(10 * time.Second); len(outcomes) < n && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		e.mu.Lock()
		faults, outcomes = slices.Clone(e.faults), slices.Clone(e.outcomes)
		e.mu.Unlock()
	}
	return faults, outcomes
}

// rules returns the variables for a scenario. more are pairs of a setting, without
// its prefix, and a value.
func rules(text string, more ...string) map[string]string {
	out := map[string]string{"PODINFO_FAULTS": text, "PODINFO_SEED": "7"}
	for i := 0; i+1 < len(more); i += 2 {
		out["PODINFO_FAULTS_"+more[i]] = more[i+1]
	}
	return out
}

func newApp(env map[string]string) (*registry.App, error) {
	return registry.New([]registry.Module{new(faults.Module)}, registry.Env(env))
}

// recorder is a module that records how calls end, like the metrics and the access
// log.
type recorder struct {
	mu   sync.Mutex
	seen []rpc.Code
}

func (*recorder) Info() registry.Info {
	return registry.Info{Name: "recorder", Phase: registry.Observe}
}

func (*recorder) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) { next(w, r) }

func (e *recorder) ServeRPC(ctx context.Context, _ *rpc.Call, next func(context.Context) error) error {
	err := next(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, rpc.CodeOf(err))
	return err
}

// codes waits until n calls are recorded.
func (e *recorder) codes(n int) (out []rpc.Code) {
	for deadline := time.Now().Add(10 * time.Second); len(out) < n && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		e.mu.Lock()
		out = slices.Clone(e.seen)
		e.mu.Unlock()
	}
	return out
}

// labels returns the statuses under which outcomes are counted.
func labels(outcomes []record.Outcome) (out []int) {
	for _, o := range outcomes {
		out = append(out, o.Label())
	}
	return out
}
