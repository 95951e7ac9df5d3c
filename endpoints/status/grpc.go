package status

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/status/statuspb"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// RegisterGRPC mounts status.StatusService.
func (*Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	names := rpc.Codes()
	names[codes.OK] = "Ok" // as upstream spells it
	statuspb.RegisterStatusServiceServer(s, &service{names: names})
}

type service struct {
	statuspb.UnimplementedStatusServiceServer
	names []string // by code
}

// Status ends the call with the code of the given name and no message. As
// upstream does, it says Unknown to what is no name, in the same letters.
func (s *service) Status(_ context.Context, req *statuspb.StatusRequest) (*statuspb.StatusResponse, error) {
	code := slices.Index(s.names, req.GetCode())
	switch {
	case code < 0:
		return nil, status.Errorf(codes.Unknown, "no such status: want %s", strings.Join(s.names, ", "))
	case code > 0:
		return nil, status.Error(codes.Code(code), "")
	}
	return &statuspb.StatusResponse{Status: req.GetCode()}, nil
}
