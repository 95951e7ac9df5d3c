// Package store serves /store, which stores files under their SHA-1.
package store

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the store module.
type Module struct {
	Path     string      `env:"DATA_PATH" envDefault:"/data" doc:"directory where /store keeps its files" takes:"DIR"`
	MaxBytes budget.Size `env:"STORE_MAX_BYTES" envDefault:"1GiB" doc:"limit of what the files of /store take on the disk" accepts:"a size above zero such as 20MiB, 20M or 20000000"`
	MaxFiles int         `env:"STORE_MAX_FILES" envDefault:"65536" doc:"largest number of files of /store" accepts:"a whole number above zero"`

	host  *registry.Host
	quota quota
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "store", Doc: "Store request bodies as files named by their SHA-1.", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if m.MaxBytes <= 0 {
		errs = append(errs, registry.Invalid("MaxBytes", "a size above zero such as 20MiB, 20M or 20000000"))
	}
	if m.MaxFiles <= 0 {
		errs = append(errs, registry.Invalid("MaxFiles", "a whole number above zero"))
	}
	return errors.Join(errs...)
}

// Provision stores the host.
func (m *Module) Provision(h *registry.Host) error {
	m.host, m.quota.max, m.quota.maxFiles = h, int64(m.MaxBytes), m.MaxFiles
	return nil
}

// Start counts the existing files and removes temporary files that a crash
// left. The directory may be missing: the first write creates it.
func (m *Module) Start(context.Context) error {
	files, err := m.list()
	if err != nil {
		m.host.Log.WithError(err).Warn("cannot read the directory of /store")
	}
	for _, info := range files {
		if isHash().MatchString(info.Name()) {
			m.quota.add(onDiskSize(info))
		}
	}
	young := m.removeStale(files)
	for _, size := range young {
		m.quota.add(size)
	}
	if len(young) > 0 {
		m.host.Go(func(ctx context.Context) { m.sweep(ctx, young) })
	}
	return nil
}

// sweep waits until temporary files that were young at the start are gone or
// stale, removes these and stops counting both.
func (m *Module) sweep(ctx context.Context, counted map[string]int64) {
	for len(counted) > 0 && registry.Sleep(ctx, staleAfter) {
		files, err := m.list()
		if err != nil {
			continue
		}
		young := m.removeStale(files)
		for name, size := range counted {
			if _, still := young[name]; !still {
				m.quota.remove(size)
				delete(counted, name)
			}
		}
	}
}

// list returns the regular files of the directory.
func (m *Module) list() ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(m.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	var files []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, info)
		}
	}
	return files, err
}

var isHash = lazyregexp.New(`^[a-f0-9]{40}$`)

// Routes declares /store and /store/{hash}.
func (m *Module) Routes() []registry.Route {
	problem := reply.Problem{}
	var out []registry.Route
	for _, method := range []string{http.MethodPost, http.MethodPut} {
		out = append(out, registry.Route{
			Method: method, Path: "/store", Handler: m.write, Label: "store",
			Summary: "Store a file", Tag: "HTTP API", Body: "the file", Accepts: "the content of the file",
			Returns: map[int]any{
				http.StatusAccepted:              stored{"686208074f90a096a7342b377f66e7b9ba4af631"},
				http.StatusBadRequest:            problem,
				http.StatusRequestEntityTooLarge: problem,
				http.StatusInternalServerError:   problem,
				http.StatusServiceUnavailable:    problem,
				http.StatusInsufficientStorage:   problem,
			},
		})
	}
	return append(out, registry.Route{
		Method: http.MethodGet, Path: "/store/{hash}", Handler: m.read, Label: "store",
		Summary: "Read a stored file", Tag: "HTTP API", Params: map[string]string{"hash": "SHA-1 of the file in lower-case hex"},
		Examples: map[string]string{"hash": "686208074f90a096a7342b377f66e7b9ba4af631"},
		Returns: map[int]any{
			http.StatusOK:                  []byte{},
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
	buf := m.host.Budget().Buffer()
	defer buf.Close()
	hash, err := m.save(r.Body, buf)
	var disk *diskError
	switch {
	case err == nil:
		reply.JSON(w, http.StatusAccepted, stored{hash})
	case errors.Is(err, errFull):
		reply.Error(w, http.StatusInsufficientStorage, "the store is full")
	case isFull(err):
		m.host.Log.WithContext(r.Context()).WithError(err).Warn("the disk of /store is full")
		reply.Error(w, http.StatusInsufficientStorage, "the disk is full")
	case errors.As(err, &disk):
		m.host.Log.WithContext(r.Context()).WithError(err).Error("writing file failed")
		reply.Error(w, http.StatusInternalServerError, "writing file failed")
	default:
		reply.BodyError(w, r, err)
	}
}

func (m *Module) read(w http.ResponseWriter, r *http.Request) {
	hash := r.PathValue("hash")
	if !isHash().MatchString(hash) {
		reply.Error(w, http.StatusBadRequest, "invalid hash")
		return
	}
	f, err := open(filepath.Join(m.Path, hash))
	if errors.Is(err, fs.ErrNotExist) {
		reply.Error(w, http.StatusNotFound, "file not found")
		return
	}
	if err != nil {
		m.host.Log.WithContext(r.Context()).WithError(err).Error("reading file failed")
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
