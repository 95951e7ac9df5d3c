package grpcserver_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/health"
	"github.com/seed-4591fe7d/podinfo/endpoints/version"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// patient is a module that is ready unless it is ill.
type patient struct {
	ill    atomic.Bool
	checks atomic.Int64
}

func (*patient) Info() registry.Info { return registry.Info{Name: "patient"} }

func (p *patient) Ready(context.Context) error {
	p.checks.Add(1)
	if p.ill.Load() {
		return errors.New("ill")
	}
	return nil
}

func post(s *grpctest.Server, path string) {
	s.App.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, path, nil))
}

// list returns the status of each service.
func list(t *testing.T, s *grpctest.Server) map[string]string {
	t.Helper()
	res, err := healthpb.NewHealthClient(s.Conn).List(t.Context(), &healthpb.HealthListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, r := range res.GetStatuses() {
		out[name] = r.GetStatus().String()
	}
	return out
}

func check(t *testing.T, s *grpctest.Server, name string) string {
	t.Helper()
	res, err := healthpb.NewHealthClient(s.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
	if st := status.Convert(err); st.Code() == codes.NotFound && st.Message() == "unknown service" {
		return "NotFound"
	}
	if err != nil {
		t.Fatal(err)
	}
	return res.GetStatus().String()
}

func TestHealth(t *testing.T) {
	p := new(patient)
	s := grpctest.Serve(t, map[string]string{"PODINFO_GRPC_SERVICE_NAME": "web"}, new(health.Module), new(version.Module), new(grpctest.Service), p)
	const good, bad = "SERVING", "NOT_SERVING"
	both := []string{"grpc.testing.TestService", "version.VersionService"}
	for _, c := range []struct {
		what     string
		change   func()
		want     string
		services []string
	}{
		{"at first", func() {}, good, both},
		{"disabled", func() { post(s, "/readyz/disable") }, bad, both},
		{"enabled", func() { post(s, "/readyz/enable") }, good, both},
		{"ill", func() { p.ill.Store(true) }, bad, both},
		{"well", func() { p.ill.Store(false) }, good, both},
		{"version is off", func() { s.App.Switch("version", false) }, good, both[:1]},
		{"version is on", func() { s.App.Switch("version", true) }, good, both},
	} {
		c.change()
		want := map[string]string{"": c.want, "web": c.want, "liveness": good}
		for _, name := range c.services {
			want[name] = c.want
		}
		if diff := cmp.Diff(want, list(t, s)); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
		for _, name := range append([]string{"", "web", "liveness", "podinfo", "version.VersionServic", "grpc.health.v1.Health"}, both...) {
			w, ok := want[name]
			if !ok {
				w = "NotFound"
			}
			if got := check(t, s, name); got != w {
				t.Errorf("%s: %q is %s, want %s", c.what, name, got, w)
			}
		}
	}
}

// TestLiveness: the name of liveness probes has the status of /healthz, whatever
// the readiness is.
func TestLiveness(t *testing.T) {
	sick := grpctest.Serve(t, map[string]string{"PODINFO_UNHEALTHY": "true"}, new(health.Module))
	if got := list(t, sick); got["liveness"] != "NOT_SERVING" || got[""] != "SERVING" || check(t, sick, "liveness") != "NOT_SERVING" {
		t.Error(got)
	}
	expect(t, watching(t, sick, "liveness"), "NOT_SERVING")

	s := grpctest.Serve(t, map[string]string{"PODINFO_UNREADY": "true"}, new(health.Module))
	w := watching(t, s, "liveness")
	expect(t, w, "SERVING")
	if got := check(t, s, "liveness"); got != "SERVING" || check(t, s, "") != "NOT_SERVING" {
		t.Error(got)
	}
	if err := s.App.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := w.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the status changes while draining: %v", err)
	}
}

// TestHealthAlone checks that without the health module the modules' checks decide.
func TestHealthAlone(t *testing.T) {
	p := new(patient)
	s := grpctest.Serve(t, nil, p)
	if got := check(t, s, "podinfo"); got != "SERVING" {
		t.Error(got)
	}
	p.ill.Store(true)
	if got := check(t, s, "podinfo"); got != "NOT_SERVING" {
		t.Error(got)
	}
}

type watch = grpc.ServerStreamingClient[healthpb.HealthCheckResponse]

func watching(t *testing.T, s *grpctest.Server, name string) watch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	w, err := healthpb.NewHealthClient(s.Conn).Watch(ctx, &healthpb.HealthCheckRequest{Service: name})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// expect waits for the next change.
func expect(t *testing.T, w watch, want string) {
	t.Helper()
	res, err := w.Recv()
	if err != nil || res.GetStatus().String() != want {
		t.Fatalf("%v, %v, want %s", res, err, want)
	}
}

func TestWatch(t *testing.T) {
	s := grpctest.Serve(t, nil, new(health.Module), new(version.Module))
	whole, service, unknown := watching(t, s, ""), watching(t, s, "version.VersionService"), watching(t, s, "nothing")
	expect(t, whole, "SERVING")
	expect(t, service, "SERVING")
	expect(t, unknown, "SERVICE_UNKNOWN")
	post(s, "/readyz/disable")
	expect(t, whole, "NOT_SERVING")
	expect(t, service, "NOT_SERVING")
	post(s, "/readyz/enable")
	expect(t, whole, "SERVING")
	expect(t, service, "SERVING")
	if err := s.App.Switch("version", false); err != nil {
		t.Fatal(err)
	}
	expect(t, service, "SERVICE_UNKNOWN")
	if err := s.App.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	expect(t, whole, "NOT_SERVING")
	for name, w := range map[string]watch{"whole": whole, "service": service, "unknown": unknown} {
		if _, err := w.Recv(); status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "shutting down" {
			t.Errorf("%s ends with %v", name, err)
		}
	}
}

// TestWatchersShareTheChecks checks that the checks run at most every 200 ms for
// any number of watchers.
func TestWatchersShareTheChecks(t *testing.T) {
	p := new(patient)
	s := grpctest.Serve(t, nil, p)
	var all []watch
	began := time.Now()
	for range 50 {
		w := watching(t, s, "")
		expect(t, w, "SERVING")
		all = append(all, w)
	}
	p.ill.Store(true)
	for _, w := range all {
		expect(t, w, "NOT_SERVING")
	}
	if checks, most := p.checks.Load(), int64(time.Since(began)/(200*time.Millisecond))+1; checks > most {
		t.Errorf("%d checks, want at most %d", checks, most)
	}
}

// TestReflection checks that both versions of the reflection service list and
// describe the services that are on.
func TestReflection(t *testing.T) {
	s := grpctest.Serve(t, nil, new(version.Module), new(grpctest.Service))
	own := []string{"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
	for _, on := range []bool{true, false} {
		if err := s.App.Switch("version", on); err != nil {
			t.Fatal(err)
		}
		want := append(slices.Clone(own), "grpc.testing.TestService")
		if on {
			want = append(want, "version.VersionService")
		}
		for _, name := range []string{"v1", "v1alpha"} {
			services, files := reflect(t, s, name)
			if diff := cmp.Diff(want, services); diff != "" || files == 0 {
				t.Errorf("%s: %d files, %s", name, files, diff)
			}
		}
	}
}

// reflect calls one version of the reflection service. Both versions use the same
// messages.
func reflect(t *testing.T, s *grpctest.Server, version string) (services []string, files int) {
	t.Helper()
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := s.Conn.NewStream(t.Context(), desc, "/grpc.reflection."+version+".ServerReflection/ServerReflectionInfo")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(req *reflectpb.ServerReflectionRequest) *reflectpb.ServerReflectionResponse {
		res := new(reflectpb.ServerReflectionResponse)
		if err := errors.Join(stream.SendMsg(req), stream.RecvMsg(res)); err != nil {
			t.Fatal(err)
		}
		return res
	}
	list := ask(&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}})
	for _, x := range list.GetListServicesResponse().GetService() {
		services = append(services, x.GetName())
	}
	file := ask(&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "grpc.testing.TestService"}})
	return services, len(file.GetFileDescriptorResponse().GetFileDescriptorProto())
}
