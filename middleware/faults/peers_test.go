package faults_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// counter is a module with a server to count on, which may be away.
type counter struct {
	away  atomic.Bool
	total atomic.Uint64
}

func (*counter) Info() registry.Info                     { return registry.Info{Name: "counter"} }
func (c *counter) SharedCounts() capability.SharedCounts { return c }
func (*counter) Timeout() time.Duration                  { return 500 * time.Millisecond }
func (c *counter) Add(_ context.Context, _ string, add uint64, _ time.Duration) (uint64, error) {
	if c.away.Load() {
		return 0, errors.New("away")
	}
	return c.total.Add(add), nil
}

// Only the request that finds out that the server is away waits for it. The replica
// joins the others when it is back, with what it has counted alone.
func TestNoRequestWaitsForALostServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(counter)
		app, log := registrytest.New(t, rules("rules: [{name: r, when: {after: 1000}, shared: true, fault: {status: 503}}]"), new(faults.Module), new(endpoint), c)
		took := func() time.Duration {
			began := time.Now()
			app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/a", nil))
			return time.Since(began)
		}
		took()
		c.away.Store(true)
		if d := took(); d != c.Timeout() {
			t.Errorf("the first request waited for %v", d)
		}
		for range 100 {
			if d := took(); d > 0 {
				t.Errorf("a request waited for %v", d)
			}
			time.Sleep(100 * time.Millisecond)
		}
		c.away.Store(false)
		time.Sleep(2 * time.Second)
		took()
		if n := c.total.Load(); n != 103 || !strings.Contains(log.String(), "count together again") || strings.Count(log.String(), "count alone") != 1 {
			t.Errorf("%d counted: %s", n, log)
		}
	})
}
