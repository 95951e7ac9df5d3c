package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// An operation is a label value of the metrics and the name of a span.
type operation string

const (
	opGet    operation = "get"
	opSet    operation = "set"
	opDelete operation = "delete"
)

// Routes declares /cache/{key}.
func (m *Module) Routes() []registry.Route {
	route := func(method string, h http.HandlerFunc, summary string, returns map[int]any) registry.Route {
		problem := reply.Problem{}
		returns[http.StatusInternalServerError] = problem
		returns[http.StatusServiceUnavailable] = problem
		rt := registry.Route{
			Method: method, Path: "/cache/{key}", Handler: h,
			Summary: summary, Tag: "HTTP API", Params: map[string]string{"key": "key of the value"}, Returns: returns,
			Examples: map[string]string{"key": "greeting"},
		}
		if method == http.MethodPost || method == http.MethodPut {
			rt.Body, rt.Accepts = "the value", "hello"
			returns[http.StatusBadRequest], returns[http.StatusRequestEntityTooLarge] = problem, problem
			returns[http.StatusInsufficientStorage] = problem
		}
		if method == http.MethodGet {
			rt.Label = "cache" // upstream's label; that of the other methods is cache_key
		}
		return rt
	}
	return []registry.Route{
		route(http.MethodPost, m.write, "Store a value", map[int]any{http.StatusAccepted: nil}),
		route(http.MethodPut, m.write, "Store a value", map[int]any{http.StatusAccepted: nil}),
		route(http.MethodGet, m.read, "Read a value", map[int]any{http.StatusOK: []byte{}, http.StatusNotFound: nil}),
		route(http.MethodDelete, m.remove, "Delete a value", map[int]any{http.StatusAccepted: nil}),
	}
}

func (m *Module) write(w http.ResponseWriter, r *http.Request) {
	if m.Server == "" { // no larger value fits
		r = reply.Limit(w, r, int64(m.MaxBytes))
	}
	body := m.host.Budget().Buffer()
	defer body.Close()
	data, ok := reply.ReadBytes(w, r, body)
	if !ok {
		return
	}
	if m.Server == "" {
		if err := body.Reserve(len(data)); err != nil { // for the copy that the store makes
			reply.BodyError(w, r, err)
			return
		}
	}
	err := m.traced(r.Context(), opSet, func(ctx context.Context) error { return m.store.set(ctx, r.PathValue("key"), data) })
	m.noteWrite(r.Context(), err)
	m.reply(w, r, opSet, err)
}

func (m *Module) remove(w http.ResponseWriter, r *http.Request) {
	err := m.traced(r.Context(), opDelete, func(ctx context.Context) error { return m.store.delete(ctx, r.PathValue("key")) })
	m.reply(w, r, opDelete, err)
}

func (m *Module) read(w http.ResponseWriter, r *http.Request) {
	var v value
	err := m.traced(r.Context(), opGet, func(ctx context.Context) (err error) {
		v, err = m.store.get(ctx, r.PathValue("key"))
		return err
	})
	if err != nil {
		m.reply(w, r, opGet, err)
		return
	}
	defer v.release()
	m.count(opGet, "hit")
	if m.Server != "" { // a value in memory counts as part of the store
		lease := m.host.Budget().Lease()
		defer lease.Free()
		if err := lease.Grow(len(v.data)); err != nil {
			reply.BodyError(w, r, err)
			return
		}
	}
	reply.Raw(w, http.StatusOK, v.data)
}

// reply sends the response of an operation that returns no value.
func (m *Module) reply(w http.ResponseWriter, r *http.Request, op operation, err error) {
	switch {
	case err == nil:
		m.count(op, "ok")
		w.WriteHeader(http.StatusAccepted)
	case errors.Is(err, errMiss):
		m.count(op, "miss")
		w.WriteHeader(http.StatusNotFound)
	case errors.Is(err, errTooLarge):
		m.count(op, "too_large")
		reply.Error(w, http.StatusRequestEntityTooLarge, "value too large")
	case errors.Is(err, errBusy):
		m.count(op, "error")
		reply.BodyError(w, r, budget.ErrExceeded)
	case errors.Is(err, errForeign):
		m.count(op, "error")
		reply.Error(w, http.StatusInternalServerError, fmt.Sprintf("cache %s failed: %v", op, errForeign))
	case errors.Is(err, errFull):
		m.count(op, "full")
		reply.Error(w, http.StatusInsufficientStorage, "cache server is full")
	case errors.Is(err, errReadOnly):
		m.count(op, "read_only")
		reply.Error(w, http.StatusServiceUnavailable, "cache server is read-only")
	default:
		m.count(op, "error")
		m.log(r.Context()).WithError(err).Debug("cache operation failed")
		reply.Error(w, http.StatusServiceUnavailable, "cache server is unavailable")
	}
}

// ContributeMetrics adds the module's metrics to set. Call it once, before the
// first request.
func (m *Module) ContributeMetrics(set *metrics.Set) {
	set.NewGauge("podinfo_cache_up", func() float64 {
		if m.serverState.Load() == up {
			return 1
		}
		return 0
	})
	m.counters = map[operation]map[string]*metrics.Counter{}
	for op, results := range map[operation][]string{
		opGet:    {"hit", "miss", "error"},
		opSet:    {"ok", "too_large", "full", "read_only", "error"},
		opDelete: {"ok", "read_only", "error"},
	} {
		m.counters[op] = map[string]*metrics.Counter{}
		for _, result := range results {
			m.counters[op][result] = set.NewCounter(fmt.Sprintf("podinfo_cache_operations_total{operation=%q,result=%q}", string(op), result))
		}
	}
}

// DescribeMetrics describes the metrics.
func (*Module) DescribeMetrics() map[string]string {
	return map[string]string{
		"podinfo_cache_operations_total": "Operations of /cache, by result.",
		"podinfo_cache_up":               "1 if the cache server can be reached or values are in memory, else 0.",
	}
}

func (m *Module) count(op operation, result string) {
	if c := m.counters[op][result]; c != nil {
		c.Inc()
	}
}
