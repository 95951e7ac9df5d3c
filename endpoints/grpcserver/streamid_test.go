package grpcserver

import (
	"testing"

	"google.golang.org/grpc"
)

// TestStreamID is the canary for the field that streamid.go reads by reflection.
func TestStreamID(t *testing.T) {
	got, ids := make(chan uint32, 1), new(streamIDs)
	c := dialBare(t, func(_ any, s grpc.ServerStream) error { got <- ids.of(s.Context()); return nil })
	for _, stream := range []uint32{1, 3, 99} {
		c.call(t, stream)
		if id := <-got; id != stream {
			t.Errorf("%d is found for stream %d: grpc-go %s has changed the field that streamid.go reads by reflection", id, stream, grpc.Version)
		}
	}
}
