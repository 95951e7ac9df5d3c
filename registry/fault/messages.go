package fault

import (
	"context"
	"errors"
)

// ErrLost is returned by Send of [Messages] for a message that is dropped.
var ErrLost = errors.New("message lost by a fault")

// Messages delays the messages of a streaming call, or ends the call.
type Messages interface {
	// Send is called before each message that the server sends. It may block.
	// An error is not sent as a message but ends the call. ErrLost drops the
	// message, and the handler continues.
	Send(ctx context.Context) error
}

type messagesKey struct{}

// WithMessages returns a context for a call whose messages m delays. The module
// that sends them, such as the gRPC listener, finds m with [MessagesOf].
func WithMessages(ctx context.Context, m Messages) context.Context {
	return context.WithValue(ctx, messagesKey{}, m)
}

// MessagesOf returns what delays the messages of the call whose context is ctx,
// nil for nothing.
func MessagesOf(ctx context.Context) Messages {
	m, _ := ctx.Value(messagesKey{}).(Messages)
	return m
}
