// Package bodylimit rejects request bodies that are too large.
package bodylimit

import (
	"io"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is the body-limit module.
type Module struct {
	Bytes int64 `env:"BYTES" envDefault:"10485760" doc:"size limit of a request body" accepts:"a number of bytes, at least 1"`
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "body-limit", Doc: "Respond with 413 when a handler reads a body that is too large.", Phase: registry.Guard}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.Bytes < 1 {
		return registry.Invalid("Bytes", "a number of bytes, at least 1")
	}
	return nil
}

// Covers reports whether bodies are for this server.
func (*Module) Covers(rt registry.Route) bool { return !rt.Proxied }

// ServeHTTP gives the handler a body that fails with [http.MaxBytesError]: on
// the first read when the declared length is above the limit, otherwise once
// more than the limit was read. Handlers that read no body are not affected.
//
// It replaces the body in a copy of the request, because net/http checks its own
// body in the original to decide whether a client with "Expect: 100-continue"
// still holds the body back.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	switch {
	case r.ContentLength > m.Bytes:
		r = r.WithContext(r.Context())
		r.Body = refused{r.Body, http.MaxBytesReader(innermost(w), endless{}, 0), m.Bytes}
	case r.ContentLength < 0: // chunked, or of unknown length in HTTP/2
		r = r.WithContext(r.Context())
		r.Body = http.MaxBytesReader(innermost(w), r.Body, m.Bytes)
	}
	next(w, r)
}

// innermost returns net/http's own writer. MaxBytesReader needs it to make the
// server linger before it closes the connection. Otherwise a client that is
// still sending may lose the response to a reset (RFC 9112, section 9.6).
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// refused is a body whose declared length is above the limit.
type refused struct {
	io.Closer
	trip  io.Reader // a MaxBytesReader above its limit: reading it makes the server linger
	limit int64
}

func (b refused) Read([]byte) (int, error) {
	b.trip.Read(make([]byte, 1))
	return 0, &http.MaxBytesError{Limit: b.limit}
}

// endless is a body without end, which exceeds every limit.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (endless) Close() error               { return nil }
