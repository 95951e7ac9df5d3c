// Package wait parses the delay that a client requests and extends the server's
// deadlines by it. The endpoints and faults that delay a response share it.
package wait

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Reply is the body of a delayed response.
type Reply struct {
	Delay float64 `json:"delay"` // seconds
}

// Errors of Parse.
var (
	ErrSyntax = errors.New("neither whole seconds nor a duration")
	ErrRange  = errors.New("wait out of range")
)

var (
	seconds  = lazyregexp.New(`^-?[0-9]+$`)
	duration = lazyregexp.New(`^-?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`)
)

// Parse parses whole seconds ("3") or a duration ("250ms", "1.5s"). It returns
// ErrSyntax for anything else and an error that wraps ErrRange for a value
// below zero or above most.
func Parse(s string, most time.Duration) (time.Duration, error) {
	switch {
	case seconds().MatchString(s):
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || n > int64(most/time.Second) {
			return 0, outOfRange(most)
		}
		return time.Duration(n) * time.Second, nil
	case duration().MatchString(s):
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || d > most {
			return 0, outOfRange(most)
		}
		return d, nil
	}
	return 0, ErrSyntax
}

func outOfRange(most time.Duration) error { return fmt.Errorf("%w: want 0s to %v", ErrRange, most) }

// FromPath parses the path value "seconds" of r. If it fails, FromPath replies and
// returns false: 404 for a syntax error, because the path names no route then,
// and 400 for a value that is out of range.
func FromPath(w http.ResponseWriter, r *http.Request, most time.Duration) (time.Duration, bool) {
	d, err := Parse(r.PathValue("seconds"), most)
	switch {
	case errors.Is(err, ErrSyntax):
		reply.Error(w, http.StatusNotFound, "page not found")
	case err != nil:
		reply.Error(w, http.StatusBadRequest, err.Error())
	}
	return d, err == nil
}

// Extend moves the deadline for writing the response to r, so that after a
// delay of d the full write timeout of the server is left. It does nothing when
// the server has no write timeout.
func Extend(w http.ResponseWriter, r *http.Request, d time.Duration) {
	srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || srv.WriteTimeout <= 0 {
		return
	}
	// It fails when the connection has no deadlines, which is no problem.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d + srv.WriteTimeout))
}

// ExtendAll is Extend for a delay before the request's body is read: it also
// moves the deadline for reading.
func ExtendAll(w http.ResponseWriter, r *http.Request, d time.Duration) {
	Extend(w, r, d)
	srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || srv.ReadTimeout <= 0 {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d + srv.ReadTimeout))
}
