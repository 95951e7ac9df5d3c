package headers

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/seed-4591fe7d/podinfo/endpoints/headers/headerpb"
)

// RegisterGRPC registers header.HeaderService.
func (*Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	headerpb.RegisterHeaderServiceServer(s, new(service))
}

type service struct {
	headerpb.UnimplementedHeaderServiceServer
}

// Header returns the metadata of the call, including :authority, sorted by key.
func (*service) Header(ctx context.Context, _ *headerpb.HeaderRequest) (*headerpb.HeaderResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	reply := new(headerpb.HeaderResponse)
	for key, values := range md {
		reply.Headers = append(reply.Headers, key+"="+join(key, values))
	}
	slices.Sort(reply.Headers)
	return reply, nil
}

// join returns values as UTF-8, which protobuf strings must be. It encodes
// binary values in base64, as HTTP/2 transfers them
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func join(key string, values []string) string {
	if strings.HasSuffix(key, "-bin") {
		for i, v := range values {
			values[i] = base64.RawStdEncoding.EncodeToString([]byte(v))
		}
	}
	return strings.ToValidUTF8(strings.Join(values, ","), "\uFFFD")
}
