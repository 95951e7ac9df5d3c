package env

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/env/envpb"
)

// RegisterGRPC registers env.EnvService.
func (m *Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	envpb.RegisterEnvServiceServer(s, &service{module: m})
}

type service struct {
	envpb.UnimplementedEnvServiceServer
	module *Module
}

// Env returns the same variables as /env.
func (s *service) Env(context.Context, *envpb.EnvRequest) (*envpb.EnvResponse, error) {
	vars := s.module.Redacted()
	for i, kv := range vars {
		vars[i] = strings.ToValidUTF8(kv, "\uFFFD") // protobuf strings must be UTF-8
	}
	return &envpb.EnvResponse{EnvVars: vars}, nil
}
