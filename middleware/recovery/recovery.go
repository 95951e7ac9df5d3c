// Package recovery answers 500, or Internal over gRPC, when a handler panics.
package recovery

import (
	"errors"
	"net/http"
	"runtime/debug"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is recovery.
type Module struct{ host *registry.Host }

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "recovery", Doc: "Answer 500 when a handler panics, and log the stack.", Phase: registry.Edge}
}

// Provision keeps the host.
func (m *Module) Provision(h *registry.Host) error { m.host = h; return nil }

// ServeHTTP replies to a panic when nothing was sent yet. Otherwise it cuts
// the connection, so that the client cannot take the part for the whole.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(http.ErrAbortHandler)
		}
		m.host.Log.WithField("panic", p).WithField("pattern", r.Pattern).WithField("stacktrace", string(debug.Stack())).Error("handler panicked")
		if rw, ok := w.(negroni.ResponseWriter); ok && rw.Written() {
			panic(http.ErrAbortHandler)
		}
		reply.Error(w, http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError))
	}()
	next(w, r)
}
