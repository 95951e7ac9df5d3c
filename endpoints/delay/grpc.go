package delay

import (
	"context"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/delay/delaypb"
	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// RegisterGRPC registers delay.DelayService.
func (m *Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	delaypb.RegisterDelayServiceServer(s, &service{module: m})
}

type service struct {
	delaypb.UnimplementedDelayServiceServer
	module *Module
}

// Delay responds after the requested number of seconds. It returns the error of
// ctx when the call ends earlier.
func (s *service) Delay(ctx context.Context, req *delaypb.DelayRequest) (*delaypb.DelayResponse, error) {
	d, err := wait.Parse(strconv.FormatInt(req.GetSeconds(), 10), s.module.Max)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if !registry.Sleep(ctx, d) {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return &delaypb.DelayResponse{Message: req.GetSeconds()}, nil
}
