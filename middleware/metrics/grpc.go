package metrics

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// method counts the calls of one RPC. Its series have the names and labels of
// go-grpc-prometheus.
type method struct {
	module  *Module
	labels  string
	started *metrics.Counter
	seconds *metrics.PrometheusHistogram
	handled [17]atomic.Pointer[metrics.Counter] // by code
}

// ServeRPC counts the call also when a handler panics, and leaves the panic
// alone. Only methods that exist get here, so clients cannot make series.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	rpcs := m.rpcs.Load()
	me := (*rpcs)[call.FullMethod]
	if me == nil {
		me = m.newMethod(call)
	}
	me.started.Inc()
	code, began := rpc.Internal, time.Now() // what a panic becomes
	defer func() {
		me.counter(code).Inc()
		me.seconds.Update(time.Since(began).Seconds())
	}()
	err := next(ctx)
	code = rpc.CodeOf(err)
	return err
}

// newMethod makes the series of an RPC. Those that read the map go on with the
// one they have.
func (m *Module) newMethod(call *rpc.Call) *method {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.rpcs.Load()
	if me := old[call.FullMethod]; me != nil {
		return me
	}
	labels := fmt.Sprintf(`grpc_type="%s",grpc_service="%s",grpc_method="%s"`, call.Kind, escape(call.Service()), escape(call.Method()))
	me := &method{
		module: m, labels: labels,
		started: m.set.GetOrCreateCounter("grpc_server_started_total{" + labels + "}"),
		seconds: m.set.GetOrCreatePrometheusHistogram("grpc_server_handling_seconds{" + labels + "}"),
	}
	grown := maps.Clone(old)
	grown[call.FullMethod] = me
	m.rpcs.Store(&grown)
	return me
}

// counter counts the calls that ended with a code. What is no code counts as
// Unknown, which it is to clients.
func (me *method) counter(code rpc.Code) *metrics.Counter {
	if int(code) >= len(me.handled) {
		code = rpc.Unknown
	}
	if c := me.handled[code].Load(); c != nil {
		return c
	}
	c := me.module.set.GetOrCreateCounter(fmt.Sprintf(`grpc_server_handled_total{%s,grpc_code="%s"}`, me.labels, code))
	me.handled[code].Store(c)
	return c
}
