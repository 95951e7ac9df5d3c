package drain

import (
	"fmt"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
)

// Cuts counts what a module cut because it outlived the time for the drain. The zero
// value is ready to use, and nil counts nothing.
type Cuts struct {
	total atomic.Pointer[metrics.Counter] // nil without metrics
}

// ContributeMetrics adds the counter to set. The modules share a metric, in which
// protocol tells them apart.
func (c *Cuts) ContributeMetrics(set *metrics.Set, protocol string) {
	c.total.Store(set.GetOrCreateCounter(`podinfo_requests_cut_total{protocol="` + protocol + `"}`))
}

// Count counts n that were cut, and returns an error such as "3 calls cut", which
// wraps cause. It returns nil if n is 0.
func (c *Cuts) Count(n int, what string, cause error) error {
	if n == 0 {
		return nil
	}
	if c != nil {
		if total := c.total.Load(); total != nil {
			total.Add(n)
		}
	}
	return fmt.Errorf("%d %s cut: %w", n, what, cause)
}
