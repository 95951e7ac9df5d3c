package grpcclient

import "strconv"

// Status is the error of a call whose status is not OK.
type Status struct {
	Code    int // 0 to 16, see CodeName
	Message string
}

// Error returns the name of the code and the message.
func (s *Status) Error() string {
	if s.Message == "" {
		return CodeName(s.Code)
	}
	return CodeName(s.Code) + ": " + s.Message
}

// CodeName returns the name of a gRPC status code
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
