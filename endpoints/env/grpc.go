package env

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/env/envpb"
)

// RegisterGRPC mounts env.EnvService.
func (m *Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	envpb.RegisterEnvServiceServer(s, &service{module: m})
}

type service struct {
	envpb.UnimplementedEnvServiceServer
	module *Module
}

// Env lists what /env does.
func (s *service) Env(context.Context, *envpb.EnvRequest) (*envpb.EnvResponse, error) {
	shown := s.module.Redacted()
	for i, kv := range shown {
		shown[i] = strings.ToValidUTF8(kv, "\uFFFD") // protobuf refuses anything else
	}
	return &envpb.EnvResponse{EnvVars: shown}, nil
}
