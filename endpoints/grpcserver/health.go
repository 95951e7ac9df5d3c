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

// watchInterval is the time between two checks for a Watch. Readiness has to be
// polled, because checks do not announce changes.
const watchInterval = 200 * time.Millisecond

// checkTimeout limits the checks for a Watch.
const checkTimeout = 2 * time.Second

type servingStatus = grpc_health_v1.HealthCheckResponse_ServingStatus

const (
	serving        = grpc_health_v1.HealthCheckResponse_SERVING
	notServing     = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	serviceUnknown = grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN
)

// liveness is the name that liveness probes check. A probe of the kubelet has only
// a name to tell them from readiness probes.
const liveness = "liveness"

// health implements grpc.health.v1 with the App's readiness. Every service has
// the same status, except for liveness, which has that of /healthz.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	module   *Module
	ready    func(context.Context) error
	alive    func() bool
	draining chan struct{}
	once     sync.Once

	mu      sync.Mutex
	last    servingStatus // the cached status for watchers
	checked time.Time     // when last was determined
}

func newHealth(m *Module) *health {
	s := &health{module: m, ready: m.host.Ready, alive: func() bool { return true }, draining: make(chan struct{})}
	if r, err := registry.Use(m.host, capability.HealthProbers); err == nil {
		s.ready, s.alive = r.HealthProbes().Status, r.HealthProbes().Alive
	} else if !errors.Is(err, registry.ErrAbsent) {
		m.host.Log.WithError(err).Warn("no single health module; gRPC health uses the modules' checks only")
	}
	return s
}

// drain ends the Watch streams after a last NOT_SERVING.
func (s *health) drain() { s.once.Do(func() { close(s.draining) }) }

func (s *health) status(ctx context.Context) servingStatus { return statusIf(s.ready(ctx) == nil) }

func (s *health) livenessStatus() servingStatus { return statusIf(s.alive()) }

func statusIf(good bool) servingStatus {
	if good {
		return serving
	}
	return notServing
}

// cachedStatus returns the status for watchers. However many there are, the checks
// run at most once per watchInterval.
func (s *health) cachedStatus() servingStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.checked) >= watchInterval {
		ctx, cancel := context.WithTimeout(s.module.host.Context(), checkTimeout)
		defer cancel()
		s.last, s.checked = s.status(ctx), time.Now()
	}
	return s.last
}

// names returns the service names that have a status: those of the whole server
// and those of the services that are served now.
func (s *health) names() []string {
	out := []string{"", liveness, s.module.ServiceName}
	for _, x := range s.module.services {
		if !s.module.hidden(x.desc.ServiceName) {
			out = append(out, x.desc.ServiceName)
		}
	}
	return out
}

func (s *health) known(name string) bool { return slices.Contains(s.names(), name) }

// Check returns the status of one service.
func (s *health) Check(ctx context.Context, req *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if !s.known(req.GetService()) {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	if req.GetService() == liveness {
		return &grpc_health_v1.HealthCheckResponse{Status: s.livenessStatus()}, nil
	}
	return &grpc_health_v1.HealthCheckResponse{Status: s.status(ctx)}, nil
}

// List returns the status of every service.
func (s *health) List(ctx context.Context, _ *grpc_health_v1.HealthListRequest) (*grpc_health_v1.HealthListResponse, error) {
	now := s.status(ctx)
	out := map[string]*grpc_health_v1.HealthCheckResponse{}
	for _, n := range s.names() {
		out[n] = &grpc_health_v1.HealthCheckResponse{Status: now}
	}
	out[liveness] = &grpc_health_v1.HealthCheckResponse{Status: s.livenessStatus()}
	return &grpc_health_v1.HealthListResponse{Statuses: out}, nil
}

// Watch sends the status of a service and each change of it. The status of an
// unknown service is SERVICE_UNKNOWN; the stream stays open.
func (s *health) Watch(req *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	tick := time.NewTicker(watchInterval)
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

// current returns the status that a watcher of name is sent.
func (s *health) current(name string, draining bool) servingStatus {
	switch {
	case !s.known(name):
		return serviceUnknown
	case name == liveness: // also while draining, because a restart would not help
		return s.livenessStatus()
	case draining:
		return notServing
	}
	return s.cachedStatus()
}
