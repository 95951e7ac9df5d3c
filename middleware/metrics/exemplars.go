package metrics

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// exemplars holds for each bucket of a series the last request whose span is
// sampled.
type exemplars struct {
	tracers []capability.ExemplarTracer
	labels  string // of the series in durations, "" for streams
	status  int

	mu       sync.Mutex
	byBucket []exemplar // the last one is for +Inf
}

type exemplar struct {
	trace [16]byte
	span  [8]byte
	value float64
	at    time.Time
}

// String formats the exemplar for OpenMetrics.
func (e exemplar) String() string {
	return fmt.Sprintf(` # {trace_id="%x",span_id="%x"} %g %.3f`, e.trace, e.span, e.value, float64(e.at.UnixMilli())/1000)
}

// newExemplars returns the exemplars of a series, nil without a tracer. The caller
// must hold m.mu.
func (m *Module) newExemplars(labels string, status int) *exemplars {
	if len(m.tracers) == 0 {
		return nil
	}
	e := &exemplars{tracers: m.tracers, labels: labels, status: status, byBucket: make([]exemplar, len(metrics.PrometheusHistogramDefaultBuckets)+1)}
	m.exemplars = append(m.exemplars, e)
	return e
}

// observe keeps the request of ctx as an exemplar if its span is sampled. It does not
// wait for a concurrent request: one of the two is enough.
func (e *exemplars) observe(ctx context.Context, took float64) {
	for _, t := range e.tracers {
		trace, span, ok := t.SampledSpan(ctx)
		if !ok || !e.mu.TryLock() {
			continue
		}
		bucket := 0
		for bucket < len(e.byBucket)-1 && took > metrics.PrometheusHistogramDefaultBuckets[bucket] {
			bucket++
		}
		e.byBucket[bucket] = exemplar{trace, span, took, time.Now()}
		e.mu.Unlock()
		return
	}
}

// currentExemplars returns the exemplars by sample, written as in the text format
// up to the value.
func (m *Module) currentExemplars() map[string]exemplar {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := map[string]exemplar{}
	for _, e := range m.exemplars {
		e.mu.Lock()
		for i, x := range e.byBucket {
			if x.at.IsZero() {
				continue
			}
			le := "+Inf"
			if i < len(metrics.PrometheusHistogramDefaultBuckets) {
				le = fmt.Sprint(metrics.PrometheusHistogramDefaultBuckets[i])
			}
			if e.labels != "" {
				found[fmt.Sprintf(`%s_bucket{%s,le="%s"}`, durationName, e.labels, le)] = x
			}
			requests := fmt.Sprintf(`http_requests_total{status="%d"}`, e.status)
			if last, ok := found[requests]; !ok || last.at.Before(x.at) {
				x.value = 1
				found[requests] = x
			}
		}
		e.mu.Unlock()
	}
	return found
}
