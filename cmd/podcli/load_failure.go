package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Classes of failures. Each but classTimeout and classStatus is a lost request: the
// connection ended, or there was none.
const (
	classRefused = "refused" // nothing listens
	classReset   = "reset"   // TCP reset, RST_STREAM or GOAWAY
	classEOF     = "eof"     // the connection ended without a reset before the end of the response
	classTimeout = "timeout" // no response within --timeout
	classStatus  = "status"  // a response with an HTTP status from 400, or a gRPC status other than OK
	classOther   = "other"   // such as an unknown host, a bad certificate or a malformed response
)

// http2Reset has the fields of net/http's unexported error for RST_STREAM, which
// errors.As copies into any such type.
type http2Reset struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (http2Reset) Error() string { return "stream reset" }

// reason returns the class of an error, and the text of the innermost one. The outer
// ones contain addresses and ports, which differ for each request.
func reason(err error) (class, text string) {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && !dns.IsTimeout {
		return classOther, dns.Err
	}
	if class = classOf(err); class == classTimeout {
		return class, "timeout"
	}
	if _, stream := errors.AsType[http2Reset](err); stream {
		_, code, _ := strings.Cut(err.Error(), "; ") // without the number of the stream
		return class, oneLine("RST_STREAM: " + code)
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return class, oneLine(err.Error())
}

func classOf(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
		return classTimeout
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return classRefused
	}
	if _, stream := errors.AsType[http2Reset](err); stream || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "GOAWAY") { // net/http does not export the type
		return classReset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.Contains(err.Error(), "server closed idle connection") || strings.Contains(err.Error(), "http2: client connection lost") {
		return classEOF
	}
	return classOther
}

// failedStatus reports whether a status is that of a failure.
func failedStatus(status string) bool {
	if code, err := strconv.Atoi(status); err == nil {
		return code >= 400
	}
	return status != "OK"
}

// classes returns the number of failures in each class. All classes are in it.
func classes(lost, status map[string]int64) map[string]int64 {
	all := map[string]int64{}
	for _, class := range []string{classRefused, classReset, classEOF, classTimeout, classStatus, classOther} {
		all[class] = lost[class]
	}
	for s, n := range status {
		if failedStatus(s) {
			all[classStatus] += n
		}
	}
	return all
}
