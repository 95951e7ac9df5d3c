package fault

import "context"

// Messages is told of each message that a streaming call is about to send. It
// may wait, and an error ends the call with it instead.
type Messages interface {
	Send(ctx context.Context) error
}

type messagesKey struct{}

// WithMessages is ctx for a call whose messages m is told of. The one that
// sends them, such as the gRPC listener, asks for m with MessagesOf.
func WithMessages(ctx context.Context, m Messages) context.Context {
	return context.WithValue(ctx, messagesKey{}, m)
}

// MessagesOf is who is told of the messages of the call whose context is ctx,
// nil for nobody.
func MessagesOf(ctx context.Context) Messages {
	m, _ := ctx.Value(messagesKey{}).(Messages)
	return m
}
