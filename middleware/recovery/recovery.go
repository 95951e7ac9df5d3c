// Package recovery responds with 500, or Internal over gRPC, when a handler
// panics.
package recovery

import (
	"net/http"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/internal/panicked"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the recovery module.
type Module struct{ host *registry.Host }

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "recovery", Doc: "Respond with 500 when a handler panics, and log the stack.", Phase: registry.Edge}
}

// Provision keeps the host for its logger.
func (m *Module) Provision(h *registry.Host) error { m.host = h; return nil }

// ServeHTTP recovers from a panic of next and responds with 500. When part of
// the response was sent already, it aborts the connection instead, so that the
// client cannot mistake that part for the complete response.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if panicked.Abort(p) {
			panic(http.ErrAbortHandler)
		}
		panicked.Log(m.host.Log.WithField("pattern", r.Pattern), r.Context(), p)
		if rw, ok := w.(negroni.ResponseWriter); ok && rw.Written() {
			panic(http.ErrAbortHandler)
		}
		reply.Error(w, http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError))
	}()
	next(w, r)
}
