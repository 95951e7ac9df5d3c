package record

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// IsCall reports whether an HTTP request is a gRPC call, as those through the proxy
// are (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func IsCall(r *http.Request) bool {
	return r.ProtoMajor == 2 && r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// Code returns the status of a gRPC call that ended as an HTTP request, whose
// response has the header and trailers h. It returns false if the response was cut
// or never sent: the status then depends on what the client made of that.
func (o Outcome) Code(h http.Header) (rpc.Code, bool) {
	switch {
	case o.Kind == KindClientLeft, o.Kind == KindSent && o.Left && status(h) == "":
		return rpc.Canceled, true
	case o.Kind == KindSent:
		return CodeOf(o.Status, h), true
	}
	return rpc.Unknown, false
}

// status returns the status in a header or in trailers, "" for none.
func status(h http.Header) string {
	return cmp.Or(h.Get("Grpc-Status"), h.Get(http.TrailerPrefix+"Grpc-Status"))
}

// CodeOf returns the status of a response to a gRPC call: that of its header or
// trailers or, without one, what clients derive from the HTTP status
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
func CodeOf(code int, h http.Header) rpc.Code {
	if n, err := strconv.ParseUint(status(h), 10, 32); err == nil {
		return rpc.Code(n)
	}
	switch code {
	case http.StatusBadRequest:
		return rpc.Internal
	case http.StatusUnauthorized:
		return rpc.Unauthenticated
	case http.StatusForbidden:
		return rpc.PermissionDenied
	case http.StatusNotFound:
		return rpc.Unimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return rpc.Unavailable
	}
	return rpc.Unknown
}
