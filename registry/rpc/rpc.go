// Package rpc is what middleware sees of a gRPC call. It does not import gRPC, so
// a middleware that acts on HTTP and gRPC costs an HTTP-only program nothing. The
// grpc-server module translates.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Middleware is the gRPC half of a module in the chain. The module's phase decides
// its place. It is called for unary and streaming calls.
type Middleware interface {
	// ServeRPC calls next to handle the call, or returns an error without
	// calling it to end the call. An *[Error] reaches the client unchanged.
	ServeRPC(ctx context.Context, call *Call, next func(context.Context) error) error
}

// Kind says which side sends a stream of messages, in the terms of
// go-grpc-prometheus.
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
	FullMethod string // "/echo.EchoService/Echo", or OtherMethod if no module serves it
	Original   string // what the client sent for OtherMethod, "" otherwise
	Kind       Kind
	Internal   bool // health and reflection, which no fault and no guard may touch
	Request    any  // the message of a unary call, nil for streams

	// OnMessage is called after each message of a stream, sent or received. A
	// middleware appends to it before it calls next.
	OnMessage []func(sent bool)

	Client
}

// OtherMethod is the method of a call that no module serves. Clients can invent
// names, so metrics by the name need a bound. Only middleware of the phases before
// Guard sees such calls.
const OtherMethod = "/_OTHER"

// InternalMethods returns patterns of the full methods that are internal: health and
// reflection. In a pattern, * is any text.
func InternalMethods() []string { return []string{"/grpc.health.*", "/grpc.reflection.*"} }

// IsInternal reports whether a full method is internal.
func IsInternal(method string) bool {
	return slices.ContainsFunc(InternalMethods(), func(p string) bool { return strings.HasPrefix(method, strings.TrimSuffix(p, "*")) })
}

// Client describes the caller and the metadata of the call. It looks values up
// when they are needed, because most calls need none.
type Client interface {
	Peer() string                 // the address, "" if it is not known
	Metadata(key string) []string // by lower-case key
}

// Connection is the HTTP/2 stream and connection of a call. The Client of a call may
// implement it, as that of the gRPC port does.
type Connection interface {
	// SetHeader adds to the metadata that begins the response, or to the metadata that
	// ends the call if it fails before that. It does nothing once the response has begun.
	SetHeader(name, value string)
	// SetTrailer adds to the metadata that ends the call.
	SetTrailer(name, value string)
	// GoAway tells the client to leave the connection (HTTP/2 GOAWAY), on
	// which calls continue. code is an error code of HTTP/2, 0 for no error
	// (RFC 9113, section 7), and why a message for people.
	GoAway(code uint32, why string)
	// Refuse tells the client that the server has not processed the call and
	// those after it (HTTP/2 GOAWAY with a lower last stream), and closes the
	// connection. Clients send such calls again by themselves.
	Refuse(code uint32, why string)
	// Reset ends the call without a status (HTTP/2 RST_STREAM with an error
	// code).
	Reset(code uint32)
	// Close closes the connection, which ends every call on it.
	Close()
}

// UserAgent returns the client's name for itself.
func (c *Call) UserAgent() string {
	if agents := c.Metadata("user-agent"); len(agents) > 0 {
		return agents[0]
	}
	return ""
}

// Service returns the name of the service, such as "echo.EchoService".
func (c *Call) Service() string {
	service, _, _ := strings.Cut(strings.TrimPrefix(c.FullMethod, "/"), "/")
	return service
}

// Method returns the name of the method, such as "Echo".
func (c *Call) Method() string {
	return c.FullMethod[strings.LastIndexByte(c.FullMethod, '/')+1:]
}

// Error ends a call with a status, or says why the client gets none.
type Error struct {
	Code    Code
	Class   string // of a call that ended below gRPC, such as "stream_reset"; Code is then what clients derive
	Message string
	Details *Details // nil for none
	Cause   error    // the handler's error, passed on unchanged
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// ClassOf returns why the client gets no status, "" if it gets one.
func ClassOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return ""
}

// CodeOf returns the status with which err reaches the client, OK for nil.
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
	PermissionDenied  Code = 7
	ResourceExhausted Code = 8
	Unimplemented     Code = 12
	Internal          Code = 13
	Unavailable       Code = 14
	DataLoss          Code = 15
	Unauthenticated   Code = 16
)

var names = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted",
	"FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
}

// String returns the code's name as grpc-go and its metrics write it.
func (c Code) String() string {
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("Code(%d)", uint32(c))
}

// Canonical returns the code's name in the specification of gRPC, such as
// DEADLINE_EXCEEDED for DeadlineExceeded.
func (c Code) Canonical() string {
	if int(c) < len(canonical) {
		return canonical[c]
	}
	return c.String()
}

// ServerError reports whether the code is an error of the server in the semantic
// conventions of OpenTelemetry.
func (c Code) ServerError() bool {
	switch c {
	case Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable, DataLoss:
		return true
	}
	return false
}

var canonical = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// MarshalText implements [encoding.TextMarshaler].
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It accepts the spellings
// that tools use: NotFound, NOT_FOUND, not-found and 5.
func (c *Code) UnmarshalText(text []byte) error {
	if n, err := strconv.ParseUint(string(text), 10, 8); err == nil && int(n) < len(names) {
		*c = Code(n)
		return nil
	}
	want := strings.NewReplacer("_", "", "-", "", " ", "").Replace(string(text))
	if strings.EqualFold(want, "Cancelled") { // gRPC's own spelling
		want = names[Canceled]
	}
	for i, n := range names {
		if strings.EqualFold(n, want) {
			*c = Code(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a gRPC status code", text)
}

// Codes returns the names of all codes, in order.
func Codes() []string { return append([]string(nil), names[:]...) }

// FromContext returns the error for a context that ended: DeadlineExceeded or
// Canceled.
func FromContext(ctx context.Context) *Error {
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Code: DeadlineExceeded, Message: "deadline exceeded"}
	}
	return &Error{Code: Canceled, Message: "canceled"}
}
