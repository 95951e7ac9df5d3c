package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/version"
	"github.com/seed-4591fe7d/podinfo/endpoints/version/versionpb"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faultinjection"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/randomerror"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

func TestCalls(t *testing.T) {
	m := new(metrics.Module)
	outcomes := []error{nil, status.Error(codes.NotFound, "x"), status.Error(99, "no code"), errors.New("plain"), context.DeadlineExceeded}
	var mu sync.Mutex
	svc := &grpctest.Service{Do: func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if len(outcomes) == 0 {
			panic("on purpose")
		}
		out := outcomes[0]
		outcomes = outcomes[1:]
		return out
	}}
	s := grpctest.Serve(t, nil, m, new(recovery.Module), new(version.Module), svc)
	for range 6 {
		s.Call(t.Context(), "UnaryCall")
	}
	for _, unknown := range []string{"/version.VersionService/Nothing", "/a.B/C", "/version.VersionService/", "/"} {
		if err := s.Conn.Invoke(t.Context(), unknown, &versionpb.VersionRequest{}, new(versionpb.VersionResponse)); status.Code(err) == codes.OK {
			t.Errorf("%s: %v", unknown, err)
		}
	}
	if _, err := versionpb.NewVersionServiceClient(s.Conn).Version(t.Context(), &versionpb.VersionRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := healthpb.NewHealthClient(s.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}

	const unary = "grpc_type=unary grpc_service=grpc.testing.TestService grpc_method=UnaryCall"
	const health = "grpc_type=unary grpc_service=grpc.health.v1.Health grpc_method=Check"
	const other = "grpc_type=bidi_stream grpc_service=_OTHER grpc_method=_OTHER" // without "/", which is no method
	const ver = "grpc_type=unary grpc_service=version.VersionService grpc_method=Version"
	got := families(t, m)
	calls := map[string]float64{unary: 6, health: 1, ver: 1, other: 3}
	for name, want := range map[string]map[string]float64{
		"grpc_server_started_total":      calls,
		"grpc_server_handling_seconds":   calls,
		"grpc_server_msg_received_total": {unary: 6, health: 1, ver: 1, other: 0},
		"grpc_server_msg_sent_total":     {unary: 1, health: 1, ver: 1, other: 0},
		"grpc_server_handled_total": {
			unary + " grpc_code=OK": 1, unary + " grpc_code=NotFound": 1, unary + " grpc_code=Unknown": 2, unary + " grpc_code=DeadlineExceeded": 1, unary + " grpc_code=Internal": 1,
			health + " grpc_code=OK": 1, ver + " grpc_code=OK": 1, other + " grpc_code=Unimplemented": 3,
		},
	} {
		f := got[name]
		if diff := cmp.Diff(want, values(t, f)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		kind := dto.MetricType_COUNTER
		if name == "grpc_server_handling_seconds" {
			kind = dto.MetricType_HISTOGRAM
		}
		if f.GetHelp() == "" || f.GetType() != kind {
			t.Errorf("%s: help %q, type %v", name, f.GetHelp(), f.GetType())
		}
	}
}

func TestKindsOfCalls(t *testing.T) {
	m := new(metrics.Module)
	s := grpctest.Serve(t, nil, m, new(grpctest.Service))
	for method, code := range s.Codes(t.Context()) {
		if code != "OK" {
			t.Errorf("%s: %s", method, code)
		}
	}
	input, err := pb.NewTestServiceClient(s.Conn).StreamingInputCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := input.Send(&pb.StreamingInputCallRequest{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := input.CloseAndRecv(); err != nil {
		t.Error(err)
	}
	if err := s.App.Stop(t.Context()); err != nil { // waits for the handlers
		t.Error(err)
	}
	want := map[string]float64{}
	for kind, method := range map[string]string{"unary": "UnaryCall", "server_stream": "StreamingOutputCall", "client_stream": "StreamingInputCall", "bidi_stream": "FullDuplexCall"} {
		want[fmt.Sprintf("grpc_type=%s grpc_service=grpc.testing.TestService grpc_method=%s grpc_code=OK", kind, method)] = 1
	}
	want["grpc_type=client_stream grpc_service=grpc.testing.TestService grpc_method=StreamingInputCall grpc_code=OK"] = 2
	got := families(t, m)
	if diff := cmp.Diff(want, values(t, got["grpc_server_handled_total"])); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]map[string]float64{
		"grpc_server_msg_received_total": {"unary": 1, "server_stream": 1, "client_stream": 4, "bidi_stream": 1},
		"grpc_server_msg_sent_total":     {"unary": 1, "server_stream": 1, "client_stream": 2, "bidi_stream": 1},
	} {
		messages := map[string]float64{}
		for labels, n := range values(t, got[name]) {
			kind, _, _ := strings.Cut(labels, " ")
			messages[strings.TrimPrefix(kind, "grpc_type=")] = n
		}
		if diff := cmp.Diff(want, messages); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestFaultsInCalls checks that faults in gRPC calls are counted.
func TestFaultsInCalls(t *testing.T) {
	m := new(metrics.Module)
	s := grpctest.Serve(t, map[string]string{"PODINFO_RANDOM_ERROR": "true", "PODINFO_RANDOM_ERROR_RATE": "1"},
		m, new(faultinjection.Module), new(randomerror.Module), new(grpctest.Service))
	for method, code := range s.Codes(t.Context()) {
		if !slices.Contains([]string{"Unavailable", "Internal", "ResourceExhausted"}, code) {
			t.Errorf("%s: %s", method, code)
		}
	}
	if diff := cmp.Diff(map[string]float64{"fault=random-error": 4}, values(t, families(t, m)["podinfo_faults_injected_total"])); diff != "" {
		t.Error(diff)
	}
}

func TestDurationOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(metrics.Module)
		registrytest.New(t, nil, m)
		if err := m.ServeRPC(t.Context(), &rpc.Call{FullMethod: "/a.B/C"}, func(context.Context) error { time.Sleep(250 * time.Millisecond); return nil }); err != nil {
			t.Error(err)
		}
		if got := families(t, m)["grpc_server_handling_seconds"].GetMetric()[0].GetHistogram().GetSampleSum(); got != 0.25 {
			t.Errorf("the sum is %v seconds", got)
		}
	})
}

func TestConcurrentCalls(t *testing.T) {
	const each, clients = 100, 8
	m := new(metrics.Module)
	registrytest.New(t, nil, m)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := range each {
				m.ServeRPC(t.Context(), &rpc.Call{FullMethod: fmt.Sprintf("/a.B/C%d", i)}, func(context.Context) error { return nil })
			}
		})
	}
	all.Wait()
	for _, name := range []string{"grpc_server_started_total", "grpc_server_handled_total", "grpc_server_handling_seconds"} {
		got := values(t, families(t, m)[name])
		if len(got) != each {
			t.Errorf("%s: %d series", name, len(got))
		}
		for labels, n := range got {
			if n != clients {
				t.Errorf("%s{%s} is %v", name, labels, n)
			}
		}
	}
}

func TestNoAllocationsInCalls(t *testing.T) {
	m := new(metrics.Module)
	if _, err := registry.New([]registry.Module{m}); err != nil {
		t.Fatal(err)
	}
	call, ctx, lost := &rpc.Call{FullMethod: "/a.B/C"}, t.Context(), &rpc.Error{Code: rpc.Unavailable}
	for _, next := range []func(context.Context) error{
		func(context.Context) error { return nil },
		func(context.Context) error { return lost },
	} {
		if n := testing.AllocsPerRun(1000, func() { m.ServeRPC(ctx, call, next) }); n != 0 {
			t.Errorf("%v allocations a call", n)
		}
	}
}
