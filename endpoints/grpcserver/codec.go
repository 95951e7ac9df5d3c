package grpcserver

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// coders bounds how many messages are compressed and decompressed at the same time.
// Compression takes a megabyte for each.
type coders chan struct{}

func (c coders) enter() coders {
	c <- struct{}{}
	return c
}

func (c coders) leave() { <-c }

// codec decodes the messages of calls. It decompresses them, too, and reserves
// memory as they grow: a message may become a thousand times larger, and grpc-go
// only limits each one. grpc-go's Decompressor does not know the call, so this one
// leaves the message as it is.
type codec struct {
	encoding.CodecV2
	budget     *budget.Budget
	most       int // bytes of a message
	coders     coders
	compressed sync.Map // messages, by the address of their first byte
}

func newCodec(b *budget.Budget, most int, c coders) *codec {
	return &codec{CodecV2: encoding.GetCodecV2(proto.Name), budget: b, most: most, coders: c}
}

// Type implements grpc.Decompressor.
func (*codec) Type() string { return gzip.Name }

// Do implements grpc.Decompressor.
func (c *codec) Do(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(r)
	if err == nil && len(b) == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		c.compressed.Store(&b[0], nil)
	}
	return b, err
}

// Unmarshal implements encoding.CodecV2.
func (c *codec) Unmarshal(data mem.BufferSlice, v any) error {
	call, ok := v.(*call)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if len(data) == 1 && data[0].Len() > 0 {
		b := data[0].ReadOnlyData()
		if _, ok := c.compressed.LoadAndDelete(&b[0]); ok {
			// An error of Unmarshal would become the status INTERNAL.
			call.failure = c.decompress(b, call)
			return nil
		}
	}
	return c.CodecV2.Unmarshal(data, call.message)
}

// decompress decodes a compressed message. If there is no memory for it, the call is
// refused.
func (c *codec) decompress(b []byte, call *call) error {
	defer c.coders.enter().leave()
	if err := call.ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	z, err := encoding.GetCompressor(gzip.Name).Decompress(bytes.NewReader(b))
	if err != nil {
		return status.Errorf(codes.Internal, "grpc: failed to decompress the received message: %v", err)
	}
	if closer, ok := z.(io.Closer); ok {
		defer closer.Close()
	}
	message := c.budget.Buffer()
	defer message.Close()
	_, err = message.ReadFrom(io.LimitReader(z, int64(c.most)+1))
	if err == nil && message.Len() > c.most {
		return status.Errorf(codes.ResourceExhausted, "grpc: message after decompression larger than max (%d vs. %d)", message.Len(), c.most)
	}
	if err == nil {
		b, err = message.Bytes()
	}
	if err == nil {
		err = call.account().decompressed(call.id, len(b))
	}
	switch {
	case errors.Is(err, budget.ErrExceeded):
		call.account().exceeded(call.id)
		return err
	case err != nil:
		return status.Errorf(codes.Internal, "grpc: failed to decompress the received message: %v", err)
	}
	if err := c.CodecV2.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, call.message); err != nil {
		return status.Errorf(codes.Internal, "grpc: failed to unmarshal the received message: %v", err)
	}
	return nil
}
