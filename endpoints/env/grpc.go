package env

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/env/envpb"
)

// RegisterGRPC mounts env.EnvService.
func (m *Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	reply := new(envpb.EnvResponse)
	for _, kv := range m.shown {
		reply.EnvVars = append(reply.EnvVars, strings.ToValidUTF8(kv, "\uFFFD")) // protobuf refuses anything else
	}
	envpb.RegisterEnvServiceServer(s, &service{reply: reply})
}

type service struct {
	envpb.UnimplementedEnvServiceServer
	reply *envpb.EnvResponse // never changes
}

// Env lists what /env does.
func (s *service) Env(context.Context, *envpb.EnvRequest) (*envpb.EnvResponse, error) {
	return s.reply, nil
}
