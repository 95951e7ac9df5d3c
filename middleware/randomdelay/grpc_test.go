package randomdelay_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/randomdelay"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// TestCallsShareTheDraws checks that calls and requests draw their delays from
// one sequence.
func TestCallsShareTheDraws(t *testing.T) {
	const n = 20
	want, got := delays(t, n, env("s", 0, 5, "7")), []time.Duration{}
	synctest.Test(t, func(t *testing.T) {
		m, e := new(randomdelay.Module), new(endpoint)
		app, _ := registrytest.New(t, env("s", 0, 5, "7"), m, e)
		next := func(context.Context) error { e.hits++; return nil }
		for i := range n {
			if i%2 == 0 {
				got = append(got, elapsed(app, "/a"))
				continue
			}
			began := time.Now()
			if err := m.ServeRPC(t.Context(), &rpc.Call{Internal: true}, next); err != nil || time.Since(began) != 0 {
				t.Errorf("internal: %v after %v", err, time.Since(began))
			}
			if err := m.ServeRPC(t.Context(), &rpc.Call{}, next); err != nil {
				t.Error(err)
			}
			got = append(got, time.Since(began))
		}
		if e.faults != n || e.hits != n+n/2 {
			t.Errorf("%+v", e)
		}
	})
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("delay %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(randomdelay.Module)
		registrytest.New(t, env("s", 60, 60, ""), m)
		next := func(context.Context) error { t.Error("the handler ran"); return nil }
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		late, stop := context.WithTimeout(t.Context(), 2*time.Second)
		defer stop()
		for _, c := range []struct {
			ctx   context.Context
			want  rpc.Code
			after time.Duration
		}{{ctx, rpc.Canceled, time.Second}, {late, rpc.DeadlineExceeded, time.Second}} {
			began := time.Now()
			if code, d := rpc.CodeOf(m.ServeRPC(c.ctx, &rpc.Call{}, next)), time.Since(began); code != c.want || d != c.after {
				t.Errorf("%v after %v, want %v after %v", code, d, c.want, c.after)
			}
		}
	})
}

func TestOverGRPC(t *testing.T) {
	var ran atomic.Bool
	svc := &grpctest.Service{Do: func(context.Context) error { ran.Store(true); return nil }}
	s := grpctest.Serve(t, env("s", 60, 60, ""), new(randomdelay.Module), svc)
	for _, method := range grpctest.Methods {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if code := status.Code(s.Call(ctx, method)); code != codes.DeadlineExceeded || ran.Load() {
			t.Errorf("%s: %v, the handler ran: %v", method, code, ran.Load())
		}
		cancel()
	}
	if _, err := healthpb.NewHealthClient(s.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("health: %v", err)
	}
}
