package tracing_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestRPCSpans(t *testing.T) {
	for _, c := range []struct {
		do     func(context.Context) error
		code   string
		failed bool
	}{
		{nil, "OK", false},
		{func(context.Context) error { return status.Error(codes.NotFound, "") }, "NOT_FOUND", false},
		{func(context.Context) error { return status.Error(codes.Canceled, "") }, "CANCELLED", false},
		{func(context.Context) error { return status.Error(codes.DataLoss, "") }, "DATA_LOSS", true},
		{func(context.Context) error { return context.DeadlineExceeded }, "DEADLINE_EXCEEDED", true},
		{func(context.Context) error { return status.Error(99, "") }, "Code(99)", false},
		{func(context.Context) error { panic("on purpose") }, "INTERNAL", true},
	} {
		collector := otlptest.Start(t)
		m := &tracing.Module{ServiceName: "svc"}
		s := grpctest.Serve(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + collector.GRPC}, new(recovery.Module), m, &grpctest.Service{Do: c.do})
		ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", incoming["tracecontext"][1])
		_, _ = pb.NewTestServiceClient(s.Conn).UnaryCall(ctx, &pb.SimpleRequest{})
		end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.App.Stop(end); err != nil {
			t.Error(err)
		}
		host, port, _ := strings.Cut(s.Addr, ":")
		want := otlptest.Attributes{
			"rpc.system.name": "grpc", "rpc.method": "grpc.testing.TestService/UnaryCall", "rpc.response.status_code": c.code,
			"server.address": host, "server.port": number(t, port), "client.address": "127.0.0.1", "network.peer.address": "127.0.0.1",
		}
		if c.failed {
			want["error.type"] = c.code
		}
		got := collector.Spans()
		if len(got) != 1 {
			t.Errorf("%s: %d spans", c.code, len(got))
			continue
		}
		if port, _ := got[0].Attributes["network.peer.port"].(int64); port == 0 {
			t.Errorf("%s: no port of the client", c.code)
		}
		delete(got[0].Attributes, "network.peer.port")
		if diff := cmp.Diff(want, got[0].Attributes); diff != "" {
			t.Errorf("%s: %s", c.code, diff)
		}
		if g := got[0]; g.Name != want["rpc.method"] || g.Kind != tracepb.Span_SPAN_KIND_SERVER || (g.Status == tracepb.Status_STATUS_CODE_ERROR) != c.failed || g.Trace != traceID || g.Parent != parentID {
			t.Errorf("%s: %+v", c.code, g)
		}
	}
}

// serveRPC starts mods and a tracing module that exports to collector. The function
// stops the server, which exports everything that is queued.
func serveRPC(t *testing.T, collector *otlptest.Collector, env map[string]string, mods ...registry.Module) (*grpctest.Server, func()) {
	vars := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + collector.GRPC}
	maps.Copy(vars, env)
	s := grpctest.Serve(t, vars, append([]registry.Module{new(recovery.Module), &tracing.Module{ServiceName: "svc"}}, mods...)...)
	return s, func() {
		end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.App.Stop(end); err != nil {
			t.Error(err)
		}
	}
}

// TestUnknownRPCs checks that calls of methods that no module serves have spans,
// whose names a client cannot choose.
func TestUnknownRPCs(t *testing.T) {
	for _, method := range []string{"/no.Service/Method", "/grpc.testing.TestService/Nothing", "/grpc.health.v1.Health/Nothing", "/grpc.health.other/x"} {
		collector := otlptest.Start(t)
		s, stop := serveRPC(t, collector, nil, new(accesslog.Module), new(grpctest.Service))
		if err := s.Conn.Invoke(t.Context(), method, &pb.SimpleRequest{}, new(pb.SimpleResponse)); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
		stop()
		spans, want := collector.Spans(), otlptest.Attributes{
			"rpc.system.name": "grpc", "rpc.method": "_OTHER", "rpc.method_original": method[1:], "rpc.response.status_code": "UNIMPLEMENTED", "error.type": "UNIMPLEMENTED",
		}
		if len(spans) != 1 || spans[0].Name != "grpc" {
			t.Errorf("%s: %+v", method, spans)
			continue
		}
		for k, v := range want {
			if got := spans[0].Attributes[k]; got != v {
				t.Errorf("%s: %s is %v, want %v", method, k, got, v)
			}
		}
		if line := `"method":"` + method + `"`; !strings.Contains(s.Log.String(), line) {
			t.Errorf("want %s in %s", line, s.Log)
		}
	}
}

// TestHealthChecks checks that health checks have spans only if a setting asks for
// them.
func TestHealthChecks(t *testing.T) {
	for internal, want := range map[string]int{"false": 0, "true": 1} {
		collector := otlptest.Start(t)
		s, stop := serveRPC(t, collector, map[string]string{"PODINFO_TRACING_INTERNAL": internal})
		if _, err := healthpb.NewHealthClient(s.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		stop()
		if got := collector.Spans(); len(got) != want {
			t.Errorf("PODINFO_TRACING_INTERNAL=%s: %+v", internal, got)
		}
	}
}

// TestPanicInACall checks that a panic is an event of the span and that its line
// has the IDs of the span.
func TestPanicInACall(t *testing.T) {
	collector := otlptest.Start(t)
	s, stop := serveRPC(t, collector, nil, &grpctest.Service{Do: func(context.Context) error { panic("on purpose") }})
	if _, err := pb.NewTestServiceClient(s.Conn).UnaryCall(t.Context(), &pb.SimpleRequest{}); status.Code(err) != codes.Internal {
		t.Error(err)
	}
	stop()
	checkPanic(t, collector, s.Log.String(), "TestPanicInACall")
}
