package grpcserver

import (
	"encoding/binary"
	"time"
)

// resetTimeout is how long Reset waits for grpc-go to end the stream. A client
// that has sent only a part of a frame delays that: nothing can be inserted
// before the frame is complete.
const resetTimeout = time.Second

// Reset ends the call with RST_STREAM.
//
// grpc-go has no API for that. It does reset a stream on which the client
// violates the protocol, so Reset makes grpc-go read a frame that the client did
// not send: a WINDOW_UPDATE with an increment of 0, which is a stream error (RFC
// 9113, section 6.9). TestZeroWindowUpdateResetsTheStream fails when a version of
// grpc-go no longer reacts to it in this way.
//
// Reset closes the connection when the stream's number is unknown or when grpc-go
// does not end the stream in time.
func (c *call) Reset() {
	conn, stream := c.conn(), streamID(c.ctx)
	if conn == nil || stream == 0 {
		c.Close()
		return
	}
	conn.receive(zeroWindowUpdate(stream))
	select {
	case <-c.ctx.Done(): // grpc-go sends nothing more on the stream
	case <-time.After(resetTimeout):
		conn.Close()
	}
}

// zeroWindowUpdate returns a WINDOW_UPDATE frame with an increment of 0.
func zeroWindowUpdate(stream uint32) []byte {
	return binary.BigEndian.AppendUint32(frameHeader(4, typeWindowUpdate, stream), 0)
}
