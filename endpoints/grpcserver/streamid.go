package grpcserver

import (
	"context"
	"reflect"
	"sync/atomic"

	"google.golang.org/grpc"
)

// streamIDs finds the HTTP/2 stream numbers of calls. grpc-go has no API for the
// number, so it is read by reflection from the unexported field id of the stream in
// the context. TestStreamID fails when a version of grpc-go no longer has that field.
type streamIDs struct {
	index atomic.Pointer[[]int] // of the field, nil before the first call
}

// of returns the number of a call's stream, or 0 when it cannot be found.
func (s *streamIDs) of(ctx context.Context) uint32 {
	v := reflect.ValueOf(grpc.ServerTransportStreamFromContext(ctx))
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return 0
	}
	index := s.index.Load()
	if index == nil {
		f, ok := v.Elem().Type().FieldByName("id")
		if !ok || f.Type.Kind() != reflect.Uint32 {
			return 0
		}
		index = &f.Index
		s.index.Store(index)
	}
	return uint32(v.Elem().FieldByIndex(*index).Uint())
}
