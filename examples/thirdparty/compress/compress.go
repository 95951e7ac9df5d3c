// Package compress compresses responses with gzip.
package compress

import (
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is compress.
type Module struct {
	Level int `env:"LEVEL" envDefault:"6" doc:"compression level" accepts:"a whole number from 1 to 9"`

	writers *sync.Pool // of *gzip.Writer
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "compress", Doc: "Compress responses with gzip.", Phase: registry.Enrich}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.Level < gzip.BestSpeed || m.Level > gzip.BestCompression {
		return registry.Invalid("Level", "a whole number from 1 to 9")
	}
	return nil
}

// Provision makes the pool.
func (m *Module) Provision(*registry.Host) error {
	m.writers = &sync.Pool{New: func() any {
		z, _ := gzip.NewWriterLevel(nil, m.Level) // Validate has checked the level
		return z
	}}
	return nil
}

// ServeHTTP compresses the response if the client accepts gzip.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	w.Header().Add("Vary", "Accept-Encoding")
	if !accepts(r) {
		next(w, r)
		return
	}
	rw := reply.NewWriter(w, r, m.start)
	next(rw, r)
	rw.Close() // not deferred: after a panic the body is not complete
}

var compressible = regexp.MustCompile(`^(text/|application/(json|javascript|xml)|image/svg)`)

// start begins a compressed body, unless the response is encoded already, is a
// part of a file, or does not get smaller.
func (m *Module) start(_ int, h http.Header, to io.Writer) io.WriteCloser {
	if h.Get("Content-Encoding") != "" || h.Get("Content-Range") != "" || !compressible.MatchString(h.Get("Content-Type")) {
		return nil
	}
	h.Set("Content-Encoding", "gzip")
	h.Del("Accept-Ranges")
	if etag := h.Get("ETag"); strings.HasPrefix(etag, `"`) {
		h.Set("ETag", "W/"+etag) // the bytes are not those that a strong ETag names
	}
	z := m.writers.Get().(*gzip.Writer)
	z.Reset(to)
	return pooled{z, m.writers}
}

// pooled puts a writer back when the body is complete.
type pooled struct {
	*gzip.Writer
	pool *sync.Pool
}

// Close ends the body.
func (p pooled) Close() error {
	defer p.pool.Put(p.Writer)
	return p.Writer.Close()
}

// accepts reports whether the client accepts gzip (RFC 9110, 12.5.3).
func accepts(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, weight, weighted := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
		return !weighted || err == nil && q > 0
	}
	return false
}
