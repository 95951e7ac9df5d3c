package faultinjection_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/middleware/faultinjection"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCalls(t *testing.T) {
	o := new(observer)
	s := grpctest.Serve(t, nil, new(faultinjection.Module), new(grpctest.Service), o)
	switchTo := func(to string) {
		s.App.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/fault_injection/"+to, nil))
	}
	for _, c := range []struct {
		state, want string
	}{{"", "OK"}, {"enable", "Internal"}, {"disable", "OK"}} {
		if c.state != "" {
			switchTo(c.state)
		}
		for method, code := range s.Codes(t.Context()) {
			if code != c.want {
				t.Errorf("%s: %s is %s, want %s", c.state, method, code, c.want)
			}
		}
	}
	if diff := cmp.Diff([]string{"fault-injection", "fault-injection", "fault-injection", "fault-injection"}, o.faults()); diff != "" {
		t.Error(diff)
	}
	switchTo("enable")
	if st := status.Convert(s.Call(t.Context(), "UnaryCall")); st.Code() != codes.Internal || st.Message() != "fault injection enabled" {
		t.Error(st)
	}
	if res, err := healthpb.NewHealthClient(s.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || res.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", res, err)
	}
}
