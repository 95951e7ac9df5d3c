package version

import (
	"context"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/version/versionpb"
)

// RegisterGRPC registers version.VersionService.
func (m *Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	versionpb.RegisterVersionServiceServer(s, &service{module: m})
}

type service struct {
	versionpb.UnimplementedVersionServiceServer
	module *Module
}

func (s *service) Version(context.Context, *versionpb.VersionRequest) (*versionpb.VersionResponse, error) {
	return &versionpb.VersionResponse{Version: s.module.build.Version, Commit: s.module.build.Revision}, nil
}
