package ui

import (
	"embed"
	"net/http"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/static"
)

//go:embed assets
var assets embed.FS

// loader is the script that loads all other files. It alone is served to the
// pages of other releases too.
const loader = "load.js"

// files are what the page consists of.
type files struct {
	index  string
	hash   string // of all of them, so that the ones of a release go together
	names  string // of those that loader fetches, with spaces between
	byName map[string]*static.File
}

func readFiles() (files, error) {
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
}

// serveAsset serves a file under the hash of this release for ever. A page of
// another release, which a replica of that one served, must not get files of
// this one: it asks until it reaches such a replica again. To a balancer of
// connections, a new one may be the way there.
func (m *Module) serveAsset(w http.ResponseWriter, r *http.Request) {
	name, own := r.PathValue("file"), r.PathValue("hash") == m.files.hash
	f, h := m.files.byName[name], w.Header()
	switch {
	case f == nil || !own && name != loader:
		h.Set("Cache-Control", "no-store")
		h.Set("Connection", "close")
		h.Set("Content-Type", static.MediaType(name)) // as a text, browsers would complain of a style
		w.WriteHeader(http.StatusNotFound)
		return
	case own:
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	default:
		h.Set("Cache-Control", "no-store")
	}
	f.ServeHTTP(w, r)
}
