package grpcserver

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// watchEvery is how often a Watch looks for a change. Checks ask others and
// cannot announce one.
const watchEvery = 200 * time.Millisecond

// checkTimeout is how long the checks may take for those who watch.
const checkTimeout = 2 * time.Second

type servingStatus = grpc_health_v1.HealthCheckResponse_ServingStatus

const (
	serving    = grpc_health_v1.HealthCheckResponse_SERVING
	notServing = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	noService  = grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN
)

// health answers grpc.health.v1 with the App's readiness, for every name
// alike.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	module   *Module
	ready    func(context.Context) error
	draining chan struct{}
	once     sync.Once

	mu   sync.Mutex
	last servingStatus // what those who watch were told
	seen time.Time     // when last was asked for
}

func newHealth(m *Module) *health {
	s := &health{module: m, ready: m.host.Ready, draining: make(chan struct{})}
	if r, err := registry.Use(m.host, capability.HealthProbers); err == nil {
		s.ready = r.HealthProbes().Status
	} else if !errors.Is(err, registry.ErrAbsent) {
		m.host.Log.WithError(err).Warn("gRPC health follows the modules' own checks only")
	}
	return s
}

// drain ends the Watch streams, after a last NOT_SERVING.
func (s *health) drain() { s.once.Do(func() { close(s.draining) }) }

func (s *health) status(ctx context.Context) servingStatus {
	if s.ready(ctx) != nil {
		return notServing
	}
	return serving
}

// glance is status for all who watch: however many they are, the checks are
// made once in watchEvery.
func (s *health) glance() servingStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.seen) >= watchEvery {
		ctx, cancel := context.WithTimeout(s.module.host.Context(), checkTimeout)
		defer cancel()
		s.last, s.seen = s.status(ctx), time.Now()
	}
	return s.last
}

// names are those that can be asked for: the whole, and the services that
// answer now.
func (s *health) names() []string {
	out := []string{"", s.module.ServiceName}
	for _, x := range s.module.services {
		if !s.module.hidden(x.desc.ServiceName) {
			out = append(out, x.desc.ServiceName)
		}
	}
	return out
}

func (s *health) known(name string) bool { return slices.Contains(s.names(), name) }

// Check answers for one name.
func (s *health) Check(ctx context.Context, req *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if !s.known(req.GetService()) {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &grpc_health_v1.HealthCheckResponse{Status: s.status(ctx)}, nil
}

// List answers for every name.
func (s *health) List(ctx context.Context, _ *grpc_health_v1.HealthListRequest) (*grpc_health_v1.HealthListResponse, error) {
	now := s.status(ctx)
	out := map[string]*grpc_health_v1.HealthCheckResponse{}
	for _, n := range s.names() {
		out[n] = &grpc_health_v1.HealthCheckResponse{Status: now}
	}
	return &grpc_health_v1.HealthListResponse{Statuses: out}, nil
}

// Watch streams the changes. An unknown name is SERVICE_UNKNOWN for as long as
// the client asks.
func (s *health) Watch(req *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	last := servingStatus(-1)
	for draining := false; ; {
		now := s.current(req.GetService(), draining)
		if now != last {
			if err := stream.Send(&grpc_health_v1.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		if draining {
			return status.Error(codes.Unavailable, "shutting down")
		}
		select {
		case <-tick.C:
		case <-s.draining:
			draining = true
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// current is what one who watches is told.
func (s *health) current(name string, draining bool) servingStatus {
	switch {
	case !s.known(name):
		return noService
	case draining:
		return notServing
	}
	return s.glance()
}
