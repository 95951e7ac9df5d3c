package randomerror_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/randomerror"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCalls(t *testing.T) {
	e := new(endpoint)
	s := grpctest.Serve(t, env("", "RATE=1", "GRPC_CODES=data_loss"), new(randomerror.Module), new(grpctest.Service), e)
	for method, code := range s.Codes(t.Context()) {
		if code != "DataLoss" {
			t.Errorf("%s: %s", method, code)
		}
	}
	if st := status.Convert(s.Call(t.Context(), "UnaryCall")); st.Code() != codes.DataLoss || st.Message() != "random error" {
		t.Error(st)
	}
	if n := e.faults.Load(); n != 5 {
		t.Errorf("%d faults reported", n)
	}
	if _, err := healthpb.NewHealthClient(s.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || e.faults.Load() != 5 {
		t.Errorf("health: %v", err)
	}
}

// TestOneSequence checks that a draw has the same result for a request as for a
// call: replacing every other request by a call does not change the others. The
// two lists of codes correspond by index.
func TestOneSequence(t *testing.T) {
	const n = 300
	grpcOf := map[int]rpc.Code{200: rpc.OK, 500: rpc.Unavailable, 400: rpc.Internal, 409: rpc.ResourceExhausted}
	run := func(calls bool) (out []rpc.Code) {
		m := new(randomerror.Module)
		app, _ := registrytest.New(t, env("7"), m, new(endpoint))
		for i := range n {
			if calls && i%2 == 1 {
				out = append(out, rpc.CodeOf(m.ServeRPC(t.Context(), &rpc.Call{}, func(context.Context) error { return nil })))
				continue
			}
			rec := httptest.NewRecorder()
			app.ServeHTTP(rec, httptest.NewRequest("GET", "/a", nil))
			out = append(out, grpcOf[rec.Code])
		}
		return out
	}
	if diff := cmp.Diff(run(false), run(true)); diff != "" {
		t.Error(diff)
	}
}

func TestGRPCCodes(t *testing.T) {
	const want = "want a comma-separated list of gRPC status codes, none of them OK"
	for _, set := range []string{"OK", "Internal,ok", "17", "-1", "0", "Gone", "Internal,,Aborted"} {
		_, err := registry.New([]registry.Module{new(randomerror.Module)}, registry.Env(env("", "GRPC_CODES="+set)))
		if err == nil || !strings.HasPrefix(err.Error(), `PODINFO_RANDOM_ERROR_GRPC_CODES="`+set+`"`) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", set, err)
		}
	}
	for _, invalid := range [][]rpc.Code{{}, {rpc.OK}, {17}} {
		if _, err := registry.New(nil, registry.With(&randomerror.Module{GRPCCodes: invalid})); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v set in Go code: %v", invalid, err)
		}
	}
	app, err := registry.New([]registry.Module{new(randomerror.Module)}, registry.Env(env("", "GRPC_CODES=aborted,NOT_FOUND")))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range app.Settings() {
		if s.Key == "PODINFO_RANDOM_ERROR_GRPC_CODES" && (s.Value != "Aborted,NotFound" || s.Default != "Unavailable,Internal,ResourceExhausted") {
			t.Errorf("%+v", s)
		}
	}
}
