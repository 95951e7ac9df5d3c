package tracing_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
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
			"server.address": host, "server.port": number(t, port), "client.address": "127.0.0.1",
		}
		if c.failed {
			want["error.type"] = c.code
		}
		got := collector.Spans()
		if len(got) != 1 {
			t.Errorf("%s: %d spans", c.code, len(got))
			continue
		}
		if diff := cmp.Diff(want, got[0].Attributes); diff != "" {
			t.Errorf("%s: %s", c.code, diff)
		}
		if g := got[0]; g.Name != want["rpc.method"] || g.Kind != tracepb.Span_SPAN_KIND_SERVER || (g.Status == tracepb.Status_STATUS_CODE_ERROR) != c.failed || g.Trace != traceID || g.Parent != parentID {
			t.Errorf("%s: %+v", c.code, g)
		}
	}
}
