package tracing

import (
	"cmp"
	"context"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ServeRPC creates the span of a call
// (https://opentelemetry.io/docs/specs/semconv/rpc/grpc/).
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) (err error) {
	if m.settings.Disabled {
		return next(ctx)
	}
	method := strings.TrimPrefix(call.FullMethod, "/")
	ctx, span := m.tracer.Start(m.propagators.fromRPC(ctx, call), method, asServer...)
	if !span.IsRecording() && !m.meter.on {
		return next(ctx)
	}
	began, returned := time.Now(), false
	defer func() {
		code := rpc.CodeOf(err)
		if !returned {
			code = rpc.Internal
		}
		a := pool.Get().(*attributes)
		a.add(semconv.RPCSystemNameGRPC, semconv.RPCMethod(method))
		class := rpc.ClassOf(err)
		if class == "" {
			a.add(semconv.RPCResponseStatusCode(codeName(code)))
		}
		if authority := call.Metadata(":authority"); len(authority) > 0 {
			a.server(authority[0], "")
		}
		if host, _, err := net.SplitHostPort(call.Peer()); err == nil {
			a.add(semconv.ClientAddress(host))
		}
		if failed[codeName(code)] {
			a.add(semconv.ErrorTypeKey.String(cmp.Or(class, codeName(code))))
			span.SetStatus(codes.Error, "")
		}
		a.measure(ctx, m.meter.calls, began, ofCalls)
		a.finish(span)
	}()
	err = next(ctx)
	returned = true
	return err
}

// failed are the codes that the semantic conventions count as server errors.
var failed = map[string]bool{
	"UNKNOWN": true, "DEADLINE_EXCEEDED": true, "UNIMPLEMENTED": true, "INTERNAL": true, "UNAVAILABLE": true, "DATA_LOSS": true,
}

// codeName returns the name of a code in the gRPC specification, such as
// DEADLINE_EXCEEDED for DeadlineExceeded.
func codeName(c rpc.Code) string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return c.String()
}

var codeNames = func() map[rpc.Code]string {
	out := map[rpc.Code]string{}
	for i, name := range rpc.Codes() {
		out[rpc.Code(i)] = snake(name)
	}
	out[rpc.OK], out[rpc.Canceled] = "OK", "CANCELLED"
	return out
}()

func snake(camel string) string {
	var out strings.Builder
	for i, r := range camel {
		if i > 0 && 'A' <= r && r <= 'Z' {
			out.WriteByte('_')
		}
		out.WriteRune(r)
	}
	return strings.ToUpper(out.String())
}
