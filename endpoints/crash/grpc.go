package crash

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/crash/panicpb"
)

// RegisterGRPC registers panic.PanicService.
func (m *Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	panicpb.RegisterPanicServiceServer(s, &service{module: m})
}

type service struct {
	panicpb.UnimplementedPanicServiceServer
	module *Module
}

// Panic responds only if Exit returns.
func (s *service) Panic(ctx context.Context, _ *panicpb.PanicRequest) (*panicpb.PanicResponse, error) {
	log := s.module.host.Log.WithContext(ctx).WithField("code", Code)
	if p, ok := peer.FromContext(ctx); ok {
		log = log.WithField("remote", p.Addr.String())
	}
	log.Error("panic requested, exiting")
	s.module.host.Exit(Code)
	return nil, status.Error(codes.Internal, noExit)
}
