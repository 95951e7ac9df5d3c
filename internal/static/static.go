// Package static serves embedded files and compresses each of them once.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// mediaTypes maps file extensions to media types. Package mime is not used
// because its table depends on the machine.
var mediaTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json; charset=utf-8",
	".png":  "image/png",
	".svg":  "image/svg+xml; charset=utf-8",
}

// MediaType returns the media type for a file name, or
// application/octet-stream when the extension is unknown.
func MediaType(name string) string {
	if t, ok := mediaTypes[path.Ext(name)]; ok {
		return t
	}
	return "application/octet-stream"
}

// Digest returns 16 hexadecimal digits of a SHA-256 over contents.
func Digest(contents ...[]byte) string {
	h := sha256.New()
	for _, c := range contents {
		sum := sha256.Sum256(c) // so that moving bytes from one part to the next changes the digest
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// File is an immutable file that serves itself over HTTP.
type File struct {
	media, tag string
	plain      []byte
	gzipped    func() []byte // returns nil when gzip does not make the content smaller
}

// New returns a File. The content is compressed on the first request.
func New(name string, content []byte) *File {
	return &File{MediaType(name), Digest(content), content, sync.OnceValue(func() []byte { return compress(content) })}
}

func compress(content []byte) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // cannot happen: the level is valid
	}
	z.Write(content) // a bytes.Buffer never fails
	z.Close()
	if b.Len() < len(content) {
		return b.Bytes()
	}
	return nil
}

// ServeHTTP sends the content, or 304 when the client's copy is current. The
// caller sets Cache-Control.
func (f *File) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.media)
	h.Set("X-Content-Type-Options", "nosniff")
	body, tag := f.plain, f.tag
	if packed := f.gzipped(); packed != nil {
		h.Add("Vary", "Accept-Encoding")
		if AcceptsGzip(r.Header) {
			h.Set("Content-Encoding", "gzip")
			body, tag = packed, tag+"-gzip"
		}
	}
	tag = strconv.Quote(tag)
	h.Set("ETag", tag)
	if matches(r.Header, tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// matches reports whether If-None-Match lists tag, by weak comparison
// (RFC 9110, section 13.1.2).
func matches(h http.Header, tag string) bool {
	for _, v := range h["If-None-Match"] {
		if v == "*" || strings.Contains(v, tag) {
			return true
		}
	}
	return false
}

// AcceptsGzip reports whether the client accepts gzip (RFC 9110, section
// 12.5.3).
func AcceptsGzip(h http.Header) bool {
	for _, header := range h["Accept-Encoding"] {
		for part := range strings.SplitSeq(header, ",") {
			coding, weight, _ := strings.Cut(part, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			_, q, weighted := strings.Cut(weight, "=")
			n, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			return !weighted || err == nil && n > 0
		}
	}
	return false
}
