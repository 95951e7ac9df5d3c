// Package httpmethod lists the HTTP methods. Clients can invent others, so tables by
// method need a bound.
package httpmethod

// Standard are the methods of RFC 9110, and PATCH (RFC 5789). The constants of
// net/http would link all of it into programs that only check scenarios.
var Standard = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"}

// Index returns the position of a method in Standard, and the length of Standard
// for any other method.
func Index(method string) int {
	for i, m := range Standard {
		if m == method {
			return i
		}
	}
	return len(Standard)
}

// Other stands for every unknown method in OpenTelemetry's semantic conventions.
const Other = "_OTHER"

// Query is a method that the semantic conventions know and RFC 9110 does not.
const Query = "QUERY"

// Known returns a method, or Other if the semantic conventions do not know it.
func Known(method string) string {
	if Index(method) == len(Standard) && method != Query {
		return Other
	}
	return method
}
