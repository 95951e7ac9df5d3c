package tracing

import (
	"cmp"
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-4591fe7d/podinfo/internal/panicked"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ServeRPC creates the span of a call. When a handler panics, it ends the span and
// passes the panic on (https://opentelemetry.io/docs/specs/semconv/rpc/grpc/).
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) (err error) {
	if bool(m.settings.Disabled) || call.Internal && !m.Internal {
		return next(ctx)
	}
	method := strings.TrimPrefix(call.FullMethod, "/")
	name := method
	if call.Original != "" {
		name = "grpc"
	}
	begin, ctx := m.begin(m.propagators.fromRPC(ctx, call), name, trace.SpanKindServer)
	var a *attributes
	var span trace.Span
	if begin != nil || m.meter.on {
		a = newAttributes()
		a.add(semconv.RPCSystemNameGRPC, semconv.RPCMethod(method))
		if call.Original != "" {
			a.add(semconv.RPCMethodOriginal(strings.TrimPrefix(call.Original, "/")))
		}
		if authority := call.Metadata(":authority"); len(authority) > 0 {
			a.server(authority[0], "")
		}
		a.peer(call.Peer(), m.host.Caller(call))
		ctx, span = begin.start(m, ctx, name, asServer, a)
	}
	began, returned := time.Now(), false
	defer func() {
		p := recover()
		if a != nil {
			code, class := rpc.CodeOf(err), rpc.ClassOf(err)
			if !returned {
				code = rpc.Internal
			}
			if class == "" {
				a.add(semconv.RPCResponseStatusCode(code.Canonical()))
			}
			if code.ServerError() {
				a.add(semconv.ErrorTypeKey.String(cmp.Or(class, code.Canonical())))
				span.SetStatus(codes.Error, "")
			}
			exception(span, p)
			a.measure(ctx, m.meter.calls, began, ofCalls)
			a.finish(span)
		}
		if p != nil {
			panic(panicked.In(ctx, p))
		}
	}()
	err = next(ctx)
	returned = true
	return err
}
