// Package panicked carries a panic from the middleware that knows its span to the
// one that logs it, which is further out.
package panicked

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/sirupsen/logrus"
)

// Panic is a panic and the context in which it happened.
type Panic struct {
	Value   any
	Context context.Context
}

// In returns the value of a panic with ctx, to panic again. It returns panics on
// purpose ([http.ErrAbortHandler]) and those that have a context unchanged.
func In(ctx context.Context, value any) any {
	if _, ok := value.(*Panic); ok || Abort(value) {
		return value
	}
	return &Panic{value, ctx}
}

// Abort reports whether a panic only ends the response.
func Abort(value any) bool {
	err, ok := value.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// Error returns the text of the value.
func (p *Panic) Error() string { return fmt.Sprint(p.Value) }

// Unwrap returns the value if it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Type returns the Go type of the value.
func (p *Panic) Type() string { return fmt.Sprintf("%T", p.Value) }

// Log logs a panic by the names of OpenTelemetry's semantic conventions. Call it
// in the deferred function that recovered. ctx is for panics without a context.
func Log(log *logrus.Entry, ctx context.Context, value any) {
	p, ok := value.(*Panic)
	if !ok {
		p = &Panic{value, ctx}
	}
	log.WithContext(p.Context).WithFields(logrus.Fields{
		"exception.type": p.Type(), "exception.message": p.Error(), "exception.stacktrace": string(debug.Stack()),
	}).Error("handler panicked")
}
