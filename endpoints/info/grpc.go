package info

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/info/infopb"
)

// RegisterGRPC mounts info.InfoService.
func (m *Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	infopb.RegisterInfoServiceServer(s, &service{module: m})
}

type service struct {
	infopb.UnimplementedInfoServiceServer
	module *Module
}

// Info says what runs here now.
func (s *service) Info(context.Context, *infopb.InfoRequest) (*infopb.InfoResponse, error) {
	r := s.module.Runtime()
	return &infopb.InfoResponse{
		Hostname: r.Hostname, Version: r.Version, Revision: r.Revision, Color: r.Color, Logo: text(r.Logo), Message: text(r.Message),
		Goos: r.GOOS, Goarch: r.GOARCH, Runtime: r.Runtime, Numgoroutine: r.NumGoroutine, Numcpu: r.NumCPU,
	}, nil
}

// text is a setting as JSON shows it: protobuf refuses what is not UTF-8.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
