package metrics

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// method counts the calls of one gRPC method. Its series have the names and labels of
// go-grpc-prometheus.
type method struct {
	module  *Module
	labels  string
	started *metrics.Counter
	message func(sent bool) // counts a message of a stream
	seconds *metrics.PrometheusHistogram
	handled [17]atomic.Pointer[metrics.Counter] // by code
}

// ServeRPC counts the call when next returns. When a handler panics, it counts the
// call and does not recover. Methods that do not exist are rpc.OtherMethod, so
// clients cannot create series.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	rpcs := m.rpcs.Load()
	counts := (*rpcs)[call.FullMethod]
	if counts == nil {
		counts = m.newMethod(call)
	}
	counts.started.Inc()
	if call.Kind == rpc.Unary {
		counts.message(false)
	} else {
		call.OnMessage = append(call.OnMessage, counts.message)
	}
	code, began := rpc.Internal, time.Now() // the code of a call whose handler panics
	ctx, end := m.begin(ctx)
	defer func() {
		took := time.Since(began)
		counts.counter(code).Inc()
		counts.seconds.Update(took.Seconds())
		if end != nil {
			end(measuredCall(call, code, took))
		}
	}()
	err := next(ctx)
	code = rpc.CodeOf(err)
	if call.Kind == rpc.Unary && code == rpc.OK {
		counts.message(true)
	}
	return err
}

// newMethod creates the series of a gRPC method. It replaces the map instead of
// modifying it, because ServeRPC reads it without a lock.
func (m *Module) newMethod(call *rpc.Call) *method {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.rpcs.Load()
	if counts := old[call.FullMethod]; counts != nil {
		return counts
	}
	labels := fmt.Sprintf(`grpc_type="%s",grpc_service="%s",grpc_method="%s"`, call.Kind, escape(call.Service()), escape(call.Method()))
	received, sent := m.set.GetOrCreateCounter("grpc_server_msg_received_total{"+labels+"}"), m.set.GetOrCreateCounter("grpc_server_msg_sent_total{"+labels+"}")
	counts := &method{
		module: m, labels: labels,
		started: m.set.GetOrCreateCounter("grpc_server_started_total{" + labels + "}"),
		seconds: m.set.GetOrCreatePrometheusHistogram("grpc_server_handling_seconds{" + labels + "}"),
		message: func(of bool) {
			if of {
				sent.Inc()
			} else {
				received.Inc()
			}
		},
	}
	grown := maps.Clone(old)
	grown[call.FullMethod] = counts
	m.rpcs.Store(&grown)
	return counts
}

// countProxied counts a gRPC call that went through the proxy as an HTTP request. An
// invalid code counts as Unknown, so that a service cannot create series.
func (m *Module) countProxied(o record.Outcome, h http.Header) {
	code, ok := o.Code(h)
	if !ok {
		return
	}
	if int(code) >= len(method{}.handled) {
		code = rpc.Unknown
	}
	m.set.GetOrCreateCounter(fmt.Sprintf(`podinfo_proxy_grpc_total{code="%s"}`, code)).Inc()
}

// counter returns the counter of the calls that ended with code. An invalid code
// counts as Unknown, which is what clients see.
func (m *method) counter(code rpc.Code) *metrics.Counter {
	if int(code) >= len(m.handled) {
		code = rpc.Unknown
	}
	if c := m.handled[code].Load(); c != nil {
		return c
	}
	c := m.module.set.GetOrCreateCounter(fmt.Sprintf(`grpc_server_handled_total{%s,grpc_code="%s"}`, m.labels, code))
	m.handled[code].Store(c)
	return c
}
