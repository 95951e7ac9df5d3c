package grpcwire

import "strconv"

// Status is how a call ended, when it did not end well.
type Status struct {
	Code    int // 0 to 16, see CodeName
	Message string
}

// Error is the name of the code, and the message.
func (s *Status) Error() string {
	if s.Message == "" {
		return CodeName(s.Code)
	}
	return CodeName(s.Code) + ": " + s.Message
}

// CodeName is the name of a gRPC status code
// (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
func CodeName(code int) string {
	names := [...]string{"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
		"AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange",
		"Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"}
	if code < 0 || code >= len(names) {
		return "Code(" + strconv.Itoa(code) + ")"
	}
	return names[code]
}
