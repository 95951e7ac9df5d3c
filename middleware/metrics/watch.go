package metrics

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

const durationName = "http_request_duration_seconds"

// watcher is who measures each request beside the metrics.
type watcher struct {
	f func(capability.MeasuredRequest)
}

// WatchRequests implements [capability.RequestMeasurer].
func (m *Module) WatchRequests(f func(capability.MeasuredRequest)) (stop func()) {
	w := &watcher{f}
	m.watch.Store(w)
	return func() { m.watch.CompareAndSwap(w, nil) }
}

// faultedKey is the key under which the context of a watched request has the
// *atomic.Bool that says whether a fault was injected.
type faultedKey struct{}

// begin returns the context for a request and what to call at its end. Without a
// watcher it costs one atomic load.
func (m *Module) begin(ctx context.Context) (_ context.Context, end func(capability.MeasuredRequest)) {
	w := m.watch.Load()
	if w == nil {
		return ctx, nil
	}
	faulted := new(atomic.Bool)
	return context.WithValue(ctx, faultedKey{}, faulted), func(r capability.MeasuredRequest) {
		r.Faulted = faulted.Load()
		w.f(r)
	}
}

// noteFault notes for the watcher that the request of ctx got a fault.
func (m *Module) noteFault(ctx context.Context) {
	if m.watch.Load() == nil {
		return
	}
	if faulted, ok := ctx.Value(faultedKey{}).(*atomic.Bool); ok {
		faulted.Store(true)
	}
}

// measuredCall describes a call for the watcher. How long a stream is open is no
// latency.
func measuredCall(call *rpc.Call, code rpc.Code, took time.Duration) capability.MeasuredRequest {
	if call.Kind != rpc.Unary {
		took = -1
	}
	return capability.MeasuredRequest{Name: call.FullMethod, RPC: true, Failed: code.ServerError(), Took: took}
}
