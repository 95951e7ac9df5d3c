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

// loader is the script that loads the other files when the browser could not.
// It is the only file that is also served to pages of other releases.
const loader = "load.js"

// files are the page's files.
type files struct {
	index  string
	hash   string // of all files, so that a page only gets files of its own release
	names  string // of the files that loader fetches, separated by spaces
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
		if e.Name() == "index.html" {
			out.index = string(content)
			continue
		}
		out.byName[e.Name()] = static.New(e.Name(), content)
		if e.Name() != loader {
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
	name, current := r.PathValue("file"), r.PathValue("hash") == m.files.hash
	f, h := m.files.byName[name], w.Header()
	switch {
	case f == nil || !current && name != loader:
		h.Set("Cache-Control", "no-store")
		h.Set("Connection", "close")
		h.Set("Content-Type", static.MediaType(name)) // browsers log an error for a style sheet with another type
		w.WriteHeader(http.StatusNotFound)
		return
	case current:
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	default:
		h.Set("Cache-Control", "no-store")
	}
	f.ServeHTTP(w, r)
}
