package grpcserver

import (
	"context"
	"reflect"

	"google.golang.org/grpc"
)

// streamID returns the HTTP/2 stream number of a call, or 0 when it cannot be
// found. grpc-go has no API for the number, so streamID reads it by reflection
// from the unexported field id of the stream in the context. TestStreamID fails
// when a version of grpc-go no longer has that field.
func streamID(ctx context.Context) uint32 {
	s := reflect.Indirect(reflect.ValueOf(grpc.ServerTransportStreamFromContext(ctx)))
	if s.Kind() != reflect.Struct {
		return 0
	}
	id := s.FieldByName("id")
	if id.Kind() != reflect.Uint32 {
		return 0
	}
	return uint32(id.Uint())
}
