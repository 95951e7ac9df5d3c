package swagger

import (
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	swagger "github.com/swaggest/swgui/v5/static"

	"github.com/seed-4591fe7d/podinfo/internal/static"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

//go:embed index.html
var indexHTML string

//go:embed init.js
var initJS string

// policy allows only what Swagger UI needs. It writes style attributes and embeds
// images in data URLs.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// A file is embedded in the program and never changes.
type file struct {
	media   string
	version string // digest of the content
	gzipped bool   // in the program
	open    func() (io.ReadCloser, error)
}

// files returns the files of Swagger UI by path below /swagger. The page differs
// from the original: it has no inline scripts. The files are the same in every App
// and are read once, when the first of them is requested.
var files = sync.OnceValues(func() (map[string]file, error) {
	out := map[string]file{}
	for _, name := range []string{"swagger-ui.css.gz", "swagger-ui-bundle.js.gz", "favicon-32x32.png"} {
		plain, gzipped := strings.CutSuffix(name, ".gz")
		f := file{gzipped: gzipped, open: func() (io.ReadCloser, error) { return swagger.FS.Open(name) }}
		if err := add(out, plain, f); err != nil {
			return nil, err
		}
	}
	if err := add(out, "init.js", text(initJS)); err != nil {
		return nil, err
	}
	return out, add(out, "index.html", text(index(out)))
})

// text returns a file with this content.
func text(s string) file {
	return file{open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }}
}

// add sets the media type and version of a file and adds it at a path.
func add(to map[string]file, at string, f file) error {
	content, err := f.open()
	if err != nil {
		return err
	}
	defer content.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, content); err != nil {
		return err
	}
	f.version = hex.EncodeToString(digest.Sum(nil)[:8])
	f.media = static.MediaType(at)
	to[at] = f
	return nil
}

// index returns the page, with the version in the URL of every file that it loads.
// (With a template the linker could not drop methods that nothing calls.)
func index(files map[string]file) string {
	var names []string
	for name, f := range files {
		names = append(names, strconv.Quote(name), strconv.Quote(name+"?v="+f.version))
	}
	return strings.NewReplacer(names...).Replace(indexHTML)
}

// serve sends the file. Under the URL with its version it may be cached forever.
func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.media)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", policy)
	if r.URL.RawQuery == "v="+f.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	encoded := f.gzipped && static.AcceptsGzip(r.Header)
	tag := f.version
	if f.gzipped {
		h.Set("Vary", "Accept-Encoding")
	}
	if encoded {
		h.Set("Content-Encoding", "gzip")
		tag += "-gzip"
	}
	tag = strconv.Quote(tag)
	h.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	f.send(w, encoded)
}

// send sends the content, decompressed unless the client accepts gzip.
func (f file) send(w http.ResponseWriter, encoded bool) {
	content, err := f.open()
	if err != nil {
		reply.Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	defer content.Close()
	var from io.Reader = content
	if f.gzipped && !encoded {
		if from, err = gzip.NewReader(content); err != nil {
			reply.Error(w, http.StatusInternalServerError, err.Error())
			return
		}
	}
	_, _ = io.Copy(w, from) // fails only when the client has left
}
