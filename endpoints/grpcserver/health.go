package grpcserver

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// readiness is the health endpoint's own judgement, which also knows what an
// operator disabled.
type readiness interface {
	Status(ctx context.Context) error
}

// watchEvery is how often a Watch looks for a change. Checks ask others and
// cannot announce one.
const watchEvery = 200 * time.Millisecond

// health answers grpc.health.v1 with the App's readiness, for every name
// alike.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	host     *registry.Host
	ready    func(context.Context) error
	names    []string
	draining chan struct{}
	once     sync.Once
}

func newHealth(h *registry.Host) *health {
	s := &health{host: h, ready: h.Ready, draining: make(chan struct{})}
	if r, err := registry.Use[readiness](h); err == nil {
		s.ready = r.Status
	} else if !errors.Is(err, registry.ErrAbsent) {
		h.Log.WithError(err).Warn("gRPC health follows the modules' own checks only")
	}
	return s
}

func (s *health) serve(names []string) { s.names = names }

// drain ends the Watch streams, after a last NOT_SERVING.
func (s *health) drain() { s.once.Do(func() { close(s.draining) }) }

func (s *health) status(ctx context.Context) grpc_health_v1.HealthCheckResponse_ServingStatus {
	if s.ready(ctx) != nil {
		return grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	return grpc_health_v1.HealthCheckResponse_SERVING
}

func (s *health) known(name string) bool {
	for _, n := range s.names {
		if n == name {
			return true
		}
	}
	return false
}

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
	for _, n := range s.names {
		out[n] = &grpc_health_v1.HealthCheckResponse{Status: now}
	}
	return &grpc_health_v1.HealthListResponse{Statuses: out}, nil
}

// Watch streams the changes. An unknown name is SERVICE_UNKNOWN for as long as
// the client asks.
func (s *health) Watch(req *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	ctx := stream.Context()
	last := grpc_health_v1.HealthCheckResponse_ServingStatus(-1)
	for draining := false; ; {
		now := grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN
		if s.known(req.GetService()) {
			now = s.status(ctx)
		}
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
		case <-time.After(watchEvery):
		case <-s.draining:
			draining = true
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}
