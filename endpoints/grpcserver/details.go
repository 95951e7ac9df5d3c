package grpcserver

import (
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/seed-4591fe7d/podinfo/internal/rpcstatus"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// withDetails returns s with the details d. It returns s alone when a detail cannot
// be encoded, because its text is not UTF-8.
func withDetails(s *status.Status, d *rpc.Details) *status.Status {
	full := new(spb.Status)
	b := rpcstatus.Encode(rpc.Code(s.Code()), s.Message(), d)
	if b == nil || proto.Unmarshal(b, full) != nil {
		return s
	}
	return status.FromProto(full)
}
