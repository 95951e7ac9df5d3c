package grpcserver

import "time"

// resetTimeout is how long Reset waits for grpc-go to end the stream. A client
// that has sent only a part of a frame delays that: nothing can be inserted
// before the frame is complete.
const resetTimeout = time.Second

// Reset ends the call with RST_STREAM.
//
// grpc-go has no API for that. So Reset makes grpc-go read an RST_STREAM that the
// client did not send, after which grpc-go sends nothing more on the stream, and
// then sends the client one with the code.
//
// Reset closes the connection when the stream's number is unknown or when grpc-go
// does not end the stream in time.
func (c *call) Reset(code uint32) {
	if c.conn == nil || c.id == 0 {
		c.Close()
		return
	}
	c.conn.receive(resetFrame(c.id, codeCancel))
	select {
	case <-c.ctx.Done():
		c.conn.send(resetFrame(c.id, code))
	case <-time.After(resetTimeout):
		c.conn.Close()
	}
}
