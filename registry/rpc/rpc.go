// Package rpc is what middleware sees of a gRPC call. It does not import gRPC:
// a middleware that acts on both wires costs an HTTP-only program nothing. The
// grpc-server module translates.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Middleware is the gRPC half of a module in the chain. It stands where the
// module's phase puts it and is called for unary and streaming calls alike.
type Middleware interface {
	// ServeRPC handles the call by calling next, or ends it by returning an
	// error without. Errors that are an *[Error] reach the client as they
	// are.
	ServeRPC(ctx context.Context, call *Call, next func(context.Context) error) error
}

// Kind is how many messages go each way, by the names of go-grpc-prometheus.
type Kind string

// The kinds of calls.
const (
	Unary        Kind = "unary"
	ClientStream Kind = "client_stream"
	ServerStream Kind = "server_stream"
	BidiStream   Kind = "bidi_stream"
)

// Call is one RPC.
type Call struct {
	FullMethod string // "/echo.EchoService/Echo"
	Kind       Kind
	Internal   bool // health and reflection: no fault and no guard touches them
	Request    any  // the message of a unary call; nil for others, whose messages come later
	Client
}

// Client is who called, and what came beside the messages. Its answers are
// looked up when they are asked for, as most calls need none.
type Client interface {
	Peer() string                 // the address, "" when it is not known
	Metadata(key string) []string // by lower-case key
}

// UserAgent is what the client calls itself.
func (c *Call) UserAgent() string {
	if agents := c.Metadata("user-agent"); len(agents) > 0 {
		return agents[0]
	}
	return ""
}

// Service is "echo.EchoService".
func (c *Call) Service() string {
	service, _, _ := strings.Cut(strings.TrimPrefix(c.FullMethod, "/"), "/")
	return service
}

// Method is "Echo".
func (c *Call) Method() string {
	return c.FullMethod[strings.LastIndexByte(c.FullMethod, '/')+1:]
}

// Error ends a call with a status.
type Error struct {
	Code    Code
	Message string
	Details *Details // nil for none
	Cause   error    // the handler's own error, given on untouched
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// CodeOf is the status that err reaches the client with: OK for nil.
func CodeOf(err error) Code {
	e, ok := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return OK
	case ok:
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Unknown
}

// Code is a gRPC status code
// (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
type Code uint32

// The codes that the modules themselves use.
const (
	OK                Code = 0
	Canceled          Code = 1
	Unknown           Code = 2
	DeadlineExceeded  Code = 4
	ResourceExhausted Code = 8
	Internal          Code = 13
	Unavailable       Code = 14
	Unauthenticated   Code = 16
)

var names = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted",
	"FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
}

// String is the code's name as grpc-go and its metrics write it.
func (c Code) String() string {
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("Code(%d)", uint32(c))
}

// MarshalText is String.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText takes a name in any case, with or without underscores.
func (c *Code) UnmarshalText(text []byte) error {
	want := strings.ReplaceAll(string(text), "_", "")
	for i, n := range names {
		if strings.EqualFold(n, want) {
			*c = Code(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no gRPC status code", text)
}

// Codes are the names of all codes, in order.
func Codes() []string { return append([]string(nil), names[:]...) }

// FromContext is the error for a context that ended: DeadlineExceeded or
// Canceled.
func FromContext(ctx context.Context) *Error {
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Code: DeadlineExceeded, Message: "deadline exceeded"}
	}
	return &Error{Code: Canceled, Message: "canceled"}
}
