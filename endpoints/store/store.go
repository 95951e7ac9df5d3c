// Package store serves /store, which stores files under their SHA-1.
package store

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the store module.
type Module struct {
	Path     string `env:"DATA_PATH" envDefault:"/data" doc:"directory where /store keeps its files" takes:"DIR"`
	MaxBytes int64  `env:"STORE_MAX_BYTES" envDefault:"1073741824" doc:"total size limit of the files of /store, in bytes" accepts:"a number of bytes above zero"`

	host  *registry.Host
	quota quota
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "store", Doc: "Store request bodies as files named by their SHA-1.", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.MaxBytes <= 0 {
		return registry.Invalid("MaxBytes", "a number of bytes above zero")
	}
	return nil
}

// Provision stores the host.
func (m *Module) Provision(h *registry.Host) error {
	m.host, m.quota.max = h, m.MaxBytes
	return nil
}

// Start counts the existing files and removes temporary files that a crash
// left. The directory may be missing: the first write creates it.
func (m *Module) Start(context.Context) error {
	files, err := os.ReadDir(m.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.host.Log.WithError(err).Warn("cannot read the directory of /store")
	}
	for _, f := range files {
		info, err := f.Info()
		switch {
		case err != nil || !info.Mode().IsRegular():
		case isHash(f.Name()):
			m.quota.add(info.Size())
		case isTemporary(f.Name()) && time.Since(info.ModTime()) > staleAfter:
			os.Remove(filepath.Join(m.Path, f.Name()))
		}
	}
	return nil
}

var isHash = regexp.MustCompile(`^[a-f0-9]{40}$`).MatchString

// Routes declares /store and /store/{hash}.
func (m *Module) Routes() []registry.Route {
	problem := reply.Problem{Code: http.StatusInternalServerError, Message: "writing file failed"}
	var out []registry.Route
	for _, method := range []string{http.MethodPost, http.MethodPut} {
		out = append(out, registry.Route{
			Method: method, Path: "/store", Handler: m.write, Label: "store",
			Summary: "Store a file", Tag: "HTTP API", Body: "the file",
			Returns: map[int]any{
				http.StatusAccepted:              stored{"da39a3ee5e6b4b0d3255bfef95601890afd80709"},
				http.StatusBadRequest:            problem,
				http.StatusRequestEntityTooLarge: problem,
				http.StatusInternalServerError:   problem,
				http.StatusInsufficientStorage:   problem,
			},
		})
	}
	return append(out, registry.Route{
		Method: http.MethodGet, Path: "/store/{hash}", Handler: m.read, Label: "store",
		Summary: "Read a stored file", Tag: "HTTP API", Params: map[string]string{"hash": "SHA-1 of the file in lower-case hex"},
		Returns: map[int]any{
			http.StatusOK:                  "the file",
			http.StatusBadRequest:          problem,
			http.StatusNotFound:            problem,
			http.StatusInternalServerError: problem,
		},
	})
}

// stored is the response to a write.
type stored struct {
	Hash string `json:"hash"`
}

func (m *Module) write(w http.ResponseWriter, r *http.Request) {
	hash, err := m.save(r.Body)
	var disk *diskError
	switch {
	case err == nil:
		reply.JSON(w, http.StatusAccepted, stored{hash})
	case errors.Is(err, errFull):
		reply.Error(w, http.StatusInsufficientStorage, "the store is full")
	case errors.As(err, &disk):
		m.host.Log.WithError(err).Error("writing file failed")
		reply.Error(w, http.StatusInternalServerError, "writing file failed")
	default:
		reply.BodyError(w, err)
	}
}

func (m *Module) read(w http.ResponseWriter, r *http.Request) {
	hash := r.PathValue("hash")
	if !isHash(hash) {
		reply.Error(w, http.StatusBadRequest, "invalid hash")
		return
	}
	f, err := open(filepath.Join(m.Path, hash))
	if errors.Is(err, fs.ErrNotExist) {
		reply.Error(w, http.StatusNotFound, "file not found")
		return
	}
	if err != nil {
		m.host.Log.WithError(err).Error("reading file failed")
		reply.Error(w, http.StatusInternalServerError, "reading file failed")
		return
	}
	defer f.Close()
	reply.SetRawHeader(w)
	http.ServeContent(w, r, "", time.Time{}, f)
}

// open opens a regular file. For anything else, such as a directory or a pipe,
// it returns fs.ErrNotExist.
func open(name string) (*os.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return os.Open(name)
}
