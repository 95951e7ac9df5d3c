package metrics

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/internal/httpmethod"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// methods are the values of the label method. The last one stands for every other
// method: clients can invent methods, and each would create permanent series.
var methods = append(httpmethod.Standard[:], "other")

// route counts the requests of the routes that are counted together. It creates
// each series on first use and afterwards finds it by two array lookups, without
// a lock and without building its name.
type route struct {
	module *Module
	counted
	byCode [len(httpmethod.Standard) + 1][10]atomic.Pointer[class]
}

// class holds the series for the hundred statuses that share a first digit.
type class [100]atomic.Pointer[series]

type series struct {
	duration  *metrics.PrometheusHistogram // nil for streams
	requests  *metrics.Counter
	exemplars *exemplars // nil without a tracer
}

// ServeHTTP counts the request when next returns. When a handler panics, it
// counts the request and does not recover.
func (rt *route) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	rw, ok := w.(negroni.ResponseWriter)
	if !ok { // a middleware before this one wrapped the writer
		rw = negroni.NewResponseWriter(w)
	}
	call := rt.proxied && record.IsCall(r) // before the handler, which may change the headers
	method, began, returned := httpmethod.Index(r.Method), time.Now(), false
	ctx, end := rt.module.begin(r.Context())
	if end != nil {
		r = r.WithContext(ctx)
	}
	defer func() {
		outcome := record.End(rw, r, returned)
		s := rt.series(method, outcome.Label())
		s.requests.Inc()
		if call {
			rt.module.countProxied(outcome, rw.Header())
		}
		elapsed := time.Since(began)
		took := elapsed.Seconds()
		if end != nil {
			end(rt.measured(outcome, elapsed))
		}
		if s.duration != nil {
			s.duration.Update(took)
		}
		if s.exemplars != nil {
			s.exemplars.observe(r.Context(), took)
		}
	}()
	next(rw, r)
	returned = true
}

// measured describes a request for the watcher.
func (rt *route) measured(o record.Outcome, took time.Duration) capability.MeasuredRequest {
	if rt.stream {
		took = -1
	}
	return capability.MeasuredRequest{Name: rt.label, Failed: o.Failed(), Took: took}
}

func (rt *route) series(method, status int) *series {
	if c := rt.byCode[method][status/100].Load(); c != nil {
		if s := c[status%100].Load(); s != nil {
			return s
		}
	}
	return rt.create(method, status)
}

func (rt *route) create(method, status int) *series {
	rt.module.mu.Lock()
	defer rt.module.mu.Unlock()
	slot := &rt.byCode[method][status/100]
	if slot.Load() == nil {
		slot.Store(new(class))
	}
	m := rt.module
	s := &series{requests: m.set.GetOrCreateCounter(fmt.Sprintf(`http_requests_total{status="%d"}`, status))}
	name := ""
	if !rt.stream {
		name = fmt.Sprintf(`method="%s",path="%s",status="%d"`, methods[method], escape(rt.label), status)
		s.duration = m.durations.GetOrCreatePrometheusHistogram(durationName + "{" + name + "}")
	}
	s.exemplars = m.newExemplars(name, status)
	slot.Load()[status%100].Store(s)
	return s
}
