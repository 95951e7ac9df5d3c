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
