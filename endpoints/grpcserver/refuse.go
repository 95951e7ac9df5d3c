package grpcserver

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// retryDelay is when the client of a refused call may try again.
const retryDelay = time.Second

// refused returns the status of a call that is refused for a reason of the record
// package.
func refused(reason string) *status.Status {
	message := "no memory for this call now: try again later"
	if reason == record.RefusedStall {
		message = "the client sent or read nothing for too long"
	}
	delay := retryDelay
	return withDetails(status.New(codes.ResourceExhausted, message), &rpc.Details{RetryDelay: &delay})
}

// refuse returns the error of a refused call, and notes the reason in ctx.
func refuse(ctx context.Context, reason string) error {
	record.Refuse(ctx, reason)
	return refused(reason).Err()
}

// account returns the account of the call's connection, nil if it is not known.
func (c *call) account() *account {
	if c.conn == nil {
		return nil
	}
	return &c.conn.account
}

// receive calls recv to receive a message. If the call is refused, it returns the
// reason, whatever recv returns.
func (c *call) receive(msg any, recv func(any) error) (reason string, err error) {
	c.account().wait(c.id)
	c.message, c.failure = msg, nil
	if err = recv(c); err == nil { // see codec
		err = c.failure
	}
	return c.account().give(c.id, err == nil), err
}

// receiveRequest receives the message of a unary call.
func (c *call) receiveRequest(msg any) (err error) {
	if c.refused, err = c.receive(msg, c.decode); c.refused != "" {
		return refused(c.refused).Err()
	}
	return err
}

// respond reserves the memory of a response, and returns what grpc-go has to send.
func (c *call) respond(ctx context.Context, msg any) (any, error) {
	size := messageHeader
	if p, ok := msg.(proto.Message); ok {
		size += proto.Size(p)
	}
	if c.account().respond(c.id, size) != nil {
		return nil, refuse(ctx, record.RefusedMemory)
	}
	if c.transport == nil || c.transport.SendCompress() == "" || c.transport.SendCompress() != c.transport.RecvCompress() {
		return msg, nil
	}
	defer c.module.coders.enter().leave()
	if err := c.ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	p := new(grpc.PreparedMsg)
	return p, p.Encode(&streamWith{ctx: c.ctx}, msg)
}
