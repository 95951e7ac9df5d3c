// Package bodylimit refuses request bodies that are too large.
package bodylimit

import (
	"io"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is body-limit.
type Module struct {
	Bytes int64 `env:"BYTES" envDefault:"10485760" doc:"size limit of a request's body" accepts:"a number of bytes, at least 1"`
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "body-limit", Doc: "Answer 413 when a handler reads a body that is too large.", Phase: registry.Guard}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.Bytes < 1 {
		return registry.Invalid("Bytes", "a number of bytes, at least 1")
	}
	return nil
}

// ServeHTTP gives the handler a body that fails with [http.MaxBytesError]: at
// once when its length is declared, else behind the limit. Handlers that read
// no body see no difference.
//
// The body is replaced in a copy of the request: net/http looks for its own
// body in the original, so as not to wait for bytes that a client with
// "Expect: 100-continue" holds back.
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

// innermost is net/http's own writer. When it is MaxBytesReader's, the server
// lingers before it closes the connection; else a client that is still sending
// may lose the reply to a reset (RFC 9112, 9.6).
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// refused is a body nobody gets to read.
type refused struct {
	io.Closer
	trip  io.Reader // tells the server when it is read
	limit int64
}

func (b refused) Read([]byte) (int, error) {
	b.trip.Read(make([]byte, 1))
	return 0, &http.MaxBytesError{Limit: b.limit}
}

// endless has more bytes than any limit.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (endless) Close() error               { return nil }
