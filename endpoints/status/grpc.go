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

// RegisterGRPC registers status.StatusService.
func (*Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	names := rpc.Codes()
	names[codes.OK] = "Ok" // upstream's spelling
	statuspb.RegisterStatusServiceServer(s, &service{names: names})
}

type service struct {
	statuspb.UnimplementedStatusServiceServer
	names []string // by code
}

// Status ends the call with the code of the requested name and no message. Like
// upstream, it returns Unknown for an unknown name and distinguishes upper and
// lower case.
func (s *service) Status(_ context.Context, req *statuspb.StatusRequest) (*statuspb.StatusResponse, error) {
	code := slices.Index(s.names, req.GetCode())
	switch {
	case code < 0:
		return nil, status.Errorf(codes.Unknown, "unknown status: want one of %s", strings.Join(s.names, ", "))
	case code > 0:
		return nil, status.Error(codes.Code(code), "")
	}
	return &statuspb.StatusResponse{Status: req.GetCode()}, nil
}
