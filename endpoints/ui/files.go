package ui

import (
	"embed"
	"net/http"
	"strings"
	"sync"

	"github.com/seed-4591fe7d/podinfo/internal/static"
)

//go:embed assets
var assets embed.FS

// files are the page's files.
type files struct {
	index  string // the page, which contains the loader
	loader string // load.js, which loads the other files when the browser could not
	hash   string // of all files, so that a page only gets files of its own release
	names  string // of the other files, separated by spaces
	byName map[string]*static.File
}

// readFiles returns the files, which are the same in every App. They are read once.
var readFiles = sync.OnceValues(func() (files, error) {
	const dir = "assets"
	out := files{byName: map[string]*static.File{}}
	entries, err := assets.ReadDir(dir)
	if err != nil {
		return files{}, err
	}
	var all [][]byte
	var names []string
	for _, e := range entries {
		content, err := assets.ReadFile(dir + "/" + e.Name())
		if err != nil {
			return files{}, err
		}
		all = append(all, []byte(e.Name()), content)
		switch e.Name() {
		case "index.html":
			out.index = string(content)
		case "load.js":
			out.loader = string(content)
		default:
			out.byName[e.Name()] = static.New(e.Name(), content)
			names = append(names, e.Name())
		}
	}
	out.names = strings.Join(names, " ")
	out.hash = static.Digest(all...)
	return out, nil
})

// serveAsset serves a file under the hash of this release, cacheable forever.
// A page of another release, served by another replica, must not get files of
// this one: it gets 404 and retries until it reaches a replica of its release.
// Closing the connection helps when a load balancer assigns connections, not
// requests.
func (m *Module) serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	f, h := m.files.byName[name], w.Header()
	if f == nil || r.PathValue("hash") != m.files.hash {
		h.Set("Cache-Control", "no-store")
		h.Set("Connection", "close")
		h.Set("Content-Type", static.MediaType(name)) // browsers log an error for a style sheet with another type
		w.WriteHeader(http.StatusNotFound)
		return
	}
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	f.ServeHTTP(w, r)
}
