package info

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/info/infopb"
)

// RegisterGRPC registers info.InfoService.
func (m *Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	infopb.RegisterInfoServiceServer(s, &service{module: m})
}

type service struct {
	infopb.UnimplementedInfoServiceServer
	module *Module
}

// Info returns the same information as /api/info.
func (s *service) Info(context.Context, *infopb.InfoRequest) (*infopb.InfoResponse, error) {
	r := s.module.Runtime()
	return &infopb.InfoResponse{
		Hostname: r.Hostname, Version: r.Version, Revision: r.Revision, Color: r.Color, Logo: validUTF8(r.Logo), Message: validUTF8(r.Message),
		Goos: r.GOOS, Goarch: r.GOARCH, Runtime: r.Runtime, Numgoroutine: r.NumGoroutine, Numcpu: r.NumCPU,
	}, nil
}

// validUTF8 replaces invalid UTF-8, which protobuf strings must not contain, in
// the same way as encoding/json.
func validUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
