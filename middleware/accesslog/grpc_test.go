package accesslog_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// callLines returns the lines of calls as objects, without the values that differ
// in each run.
func callLines(t *testing.T, s *grpctest.Server) (out []map[string]any) {
	t.Helper()
	if err := s.App.Stop(context.Background()); err != nil { // waits for the handlers
		t.Error(err)
	}
	for line := range strings.Lines(s.Log.String()) {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if got["msg"] != "call completed" {
			continue
		}
		remote, _ := got["remote"].(string)
		agent, _ := got["user-agent"].(string)
		duration, _ := got["duration"].(float64)
		if !strings.HasPrefix(remote, "127.0.0.1:") || !strings.HasPrefix(agent, "grpc-go/") || duration <= 0 {
			t.Errorf("%s", line)
		}
		for _, k := range []string{"ts", "msg", "remote", "user-agent", "duration"} {
			delete(got, k)
		}
		out = append(out, got)
	}
	return out
}

func TestCallLines(t *testing.T) {
	for _, c := range []struct {
		metadata []string
		outcome  error
		panics   bool
		code     string
		trace    string
	}{
		{code: "OK"},
		{outcome: status.Error(codes.NotFound, "x"), code: "NotFound"},
		{outcome: errors.New("plain"), code: "Unknown"},
		{panics: true, code: "Internal"},
		{metadata: []string{"traceparent", parent}, code: "OK", trace: trace},
		{metadata: []string{"traceparent", parent, "traceparent", parent}, code: "OK"},
		{metadata: []string{"traceparent", "x"}, code: "OK"},
	} {
		svc := &grpctest.Service{Do: func(context.Context) error {
			if c.panics {
				panic("on purpose")
			}
			return c.outcome
		}}
		s := grpctest.Serve(t, nil, new(recovery.Module), new(accesslog.Module), svc)
		var want []map[string]any
		for _, method := range grpctest.Methods {
			if got := status.Code(s.Call(metadata.AppendToOutgoingContext(t.Context(), c.metadata...), method)).String(); got != c.code {
				t.Errorf("%s: %s, want %s", method, got, c.code)
			}
			line := map[string]any{"level": "debug", "method": "/grpc.testing.TestService/" + method, "code": c.code}
			if c.trace != "" {
				line["trace_id"] = c.trace
			}
			want = append(want, line)
		}
		if diff := cmp.Diff(want, callLines(t, s)); diff != "" {
			t.Error(diff)
		}
	}
}

// breaker injects two faults into every call and refuses it.
type breaker struct{ faults fault.Observers }

func (*breaker) Info() registry.Info {
	return registry.Info{Name: "breaker", Phase: registry.Fault}
}

func (b *breaker) Provision(h *registry.Host) error { b.faults = fault.ObserversOf(h); return nil }

func (b *breaker) ServeRPC(ctx context.Context, c *rpc.Call, next func(context.Context) error) error {
	if c.Internal {
		return next(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	b.faults.Report(ctx, "delay")
	b.faults.Report(ctx, "error")
	record.Refuse(ctx, record.RefusedMemory)
	return &rpc.Error{Code: rpc.Unavailable}
}

func TestFaultsAndProbesInCalls(t *testing.T) {
	s := grpctest.Serve(t, nil, new(accesslog.Module), new(breaker), new(grpctest.Service))
	s.Call(t.Context(), "UnaryCall")
	if _, err := healthpb.NewHealthClient(s.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	want := []map[string]any{
		{"level": "debug", "method": "/grpc.testing.TestService/UnaryCall", "code": "Unavailable", "fault": "delay,error", "refused": "memory"},
		{"level": "debug", "method": "/grpc.health.v1.Health/Check", "code": "OK"},
	}
	if diff := cmp.Diff(want, callLines(t, s)); diff != "" {
		t.Error(diff)
	}
}

func (tracing) ServeRPC(ctx context.Context, c *rpc.Call, next func(context.Context) error) error {
	return next(context.WithValue(ctx, traceKey{}, strings.Join(c.Metadata("x-trace"), "")))
}

func TestTracerOfCalls(t *testing.T) {
	s := grpctest.Serve(t, nil, tracing{}, new(accesslog.Module), new(grpctest.Service))
	for _, own := range []string{"", "1234"} {
		s.Call(metadata.AppendToOutgoingContext(t.Context(), "traceparent", parent, "x-trace", own), "UnaryCall")
	}
	if got := callLines(t, s); len(got) != 2 || got[0]["trace_id"] != trace || got[1]["trace_id"] != "1234" {
		t.Errorf("%v", got)
	}
}

// stranger is a client that sends the same text as address and as all metadata.
type stranger string

func (s stranger) Peer() string             { return string(s) }
func (s stranger) Metadata(string) []string { return []string{string(s)} }

func TestCallDurationAndOwnLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(accesslog.Module)
		_, log := registrytest.New(t, nil, m)
		call := &rpc.Call{FullMethod: "/a.B/C", Client: stranger("\"\n\xff")}
		err := m.ServeRPC(t.Context(), call, func(ctx context.Context) error {
			time.Sleep(1500 * time.Millisecond)
			logrus.NewEntry(&logrus.Logger{Out: log, Formatter: &logrus.JSONFormatter{}, Level: logrus.InfoLevel}).WithContext(ctx).Info("own line")
			return nil
		})
		want := `"msg":"call completed","method":"/a.B/C","remote":"\"\n` + "\uFFFD" + `","user-agent":"\"\n` + "\uFFFD" + `","code":"OK","duration":1.5}` + "\n"
		if got := log.String(); err != nil || !strings.HasSuffix(got, want) || strings.Count(got, "/a.B/C") != 1 {
			t.Errorf("%v %s", err, got)
		}
	})
}

func TestCallsBelowTheLevel(t *testing.T) {
	s := grpctest.Serve(t, map[string]string{"PODINFO_LEVEL": "info"}, new(accesslog.Module), new(grpctest.Service))
	s.Call(t.Context(), "UnaryCall")
	if got := callLines(t, s); len(got) != 0 {
		t.Errorf("%v", got)
	}
	m := new(accesslog.Module)
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	if _, err := registry.New([]registry.Module{m}, registry.Logger(logger)); err != nil {
		t.Fatal(err)
	}
	call, next := &rpc.Call{Client: stranger("x")}, func(context.Context) error { return nil }
	if n := testing.AllocsPerRun(1000, func() { m.ServeRPC(t.Context(), call, next) }); n != 0 {
		t.Errorf("off: %v allocations a call", n)
	}
}
