// Package static serves files that are part of the program, compressed once.
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

// media are media types by extension. Those of package mime depend on the
// machine.
var media = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json; charset=utf-8",
	".png":  "image/png",
	".svg":  "image/svg+xml; charset=utf-8",
}

// MediaType is the media type of a file by its name,
// application/octet-stream when the extension is not known.
func MediaType(name string) string {
	if t, ok := media[path.Ext(name)]; ok {
		return t
	}
	return "application/octet-stream"
}

// Digest names contents: 16 hexadecimal digits of their SHA-256.
func Digest(contents ...[]byte) string {
	h := sha256.New()
	for _, c := range contents {
		sum := sha256.Sum256(c) // what moves from one to the next is another digest
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// File is content that never changes.
type File struct {
	media, tag string
	plain      []byte
	gzipped    func() []byte // nil where it would not be smaller
}

// New makes the file of a name. It is compressed when it is first asked for.
func New(name string, content []byte) *File {
	return &File{MediaType(name), Digest(content), content, sync.OnceValue(func() []byte { return compress(content) })}
}

func compress(content []byte) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a valid one
	}
	z.Write(content) // a Buffer takes everything
	z.Close()
	if b.Len() < len(content) {
		return b.Bytes()
	}
	return nil
}

// ServeHTTP replies with the content, or 304 to a client that has it. How long
// it may be cached is for the caller to say.
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

// matches reads If-None-Match, which compares weakly (RFC 9110, 13.1.2).
func matches(h http.Header, tag string) bool {
	for _, v := range h["If-None-Match"] {
		if v == "*" || strings.Contains(v, tag) {
			return true
		}
	}
	return false
}

// AcceptsGzip reports whether the client asks for gzip (RFC 9110, 12.5.3).
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
