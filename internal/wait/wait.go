// Package wait is what the endpoints that let a client wait share: reading how
// long, and being able to answer after it.
package wait

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Reply is the body of a reply that came late.
type Reply struct {
	Delay float64 `json:"delay"` // how late, in seconds
}

// Why a wait is not accepted.
var (
	ErrSyntax = errors.New("neither whole seconds nor a duration")
	ErrRange  = errors.New("wait out of range")
)

var (
	seconds  = regexp.MustCompile(`^-?[0-9]+$`)
	duration = regexp.MustCompile(`^-?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`)
)

// Parse reads whole seconds ("3") or a duration ("250ms", "1.5s"). The error is
// ErrSyntax for anything else, and ErrRange for what is below zero or above
// most, overflows included.
func Parse(s string, most time.Duration) (time.Duration, error) {
	switch {
	case seconds.MatchString(s):
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || n > int64(most/time.Second) {
			return 0, outOf(most)
		}
		return time.Duration(n) * time.Second, nil
	case duration.MatchString(s):
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || d > most {
			return 0, outOf(most)
		}
		return d, nil
	}
	return 0, ErrSyntax
}

func outOf(most time.Duration) error { return fmt.Errorf("%w: want 0s to %v", ErrRange, most) }

// FromPath is Parse for the path value "wait" of r. When that is not accepted
// it replies 404 to what is no wait at all and 400 to one out of range, and
// returns false.
func FromPath(w http.ResponseWriter, r *http.Request, most time.Duration) (time.Duration, bool) {
	d, err := Parse(r.PathValue("wait"), most)
	switch {
	case errors.Is(err, ErrSyntax):
		http.NotFound(w, r)
	case err != nil:
		reply.Error(w, http.StatusBadRequest, err.Error())
	}
	return d, err == nil
}

// Extend puts off the deadline for writing the reply to r by d: after d there
// is as much time to write as a request that does not wait has. Without a
// write timeout there is nothing to put off.
func Extend(w http.ResponseWriter, r *http.Request, d time.Duration) {
	srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || srv.WriteTimeout <= 0 {
		return
	}
	// An error says that this connection has no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d + srv.WriteTimeout))
}

// ExtendAll is Extend for a wait before the request was read: it puts off the
// deadline for reading its body, too.
func ExtendAll(w http.ResponseWriter, r *http.Request, d time.Duration) {
	Extend(w, r, d)
	srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || srv.ReadTimeout <= 0 {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d + srv.ReadTimeout))
}
