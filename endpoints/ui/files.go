package ui

import (
	"embed"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry/static"
)

//go:embed assets
var assets embed.FS

// files are what the page consists of.
type files struct {
	index  string
	hash   string // of all of them, so that the ones of a release go together
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
	}
	out.hash = static.Digest(all...)
	return out, nil
}

// serveAsset serves a file under the hash of this release for ever. Under
// another hash, which a page asks for that a replica of another release
// served, it serves what it has: an older or newer file beats none.
func (m *Module) serveAsset(w http.ResponseWriter, r *http.Request) {
	f := m.files.byName[r.PathValue("file")]
	if f == nil {
		http.NotFound(w, r)
		return
	}
	if r.PathValue("hash") == m.files.hash {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "no-store")
	}
	f.ServeHTTP(w, r)
}
