package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/watch"
)

// Size limits, in bytes. A whole ConfigMap has the limit of a file, so a volume
// may combine four of them.
const (
	maxFile  = 1 << 20
	maxFiles = 4 << 20 // of all files together
)

// errSwapping means that the kubelet replaced the files during every attempt to
// read them.
var errSwapping = errors.New("files are replaced faster than they can be read")

// read returns the content of the directory's files by name. It starts over
// when the kubelet replaces the files meanwhile.
func (m *Module) read() (map[string]string, error) {
	for range 10 {
		root, err := m.root()
		if err != nil {
			return nil, err
		}
		files, err := m.readDir(root)
		if now, _ := m.root(); now != root {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			return map[string]string{}, nil
		}
		return files, err
	}
	return nil, errSwapping
}

// root returns the directory that contains the files. In a volume of the
// kubelet it is the target of watch.DataLink, whose files are of one version.
func (m *Module) root() (string, error) {
	root, err := filepath.EvalSymlinks(filepath.Join(m.Path, watch.DataLink))
	if errors.Is(err, fs.ErrNotExist) {
		return m.Path, nil
	}
	return root, err
}

// readDir returns the content of root's files by name. It redacts podinfo's own
// config file, and omits files that cannot be read.
func (m *Module) readDir(root string) (map[string]string, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	files, total := map[string]string{}, 0
	for _, e := range entries {
		name := e.Name()
		if strings.Contains(name, "..") {
			continue
		}
		content, err := watch.ReadFile(filepath.Join(root, name), maxFile)
		switch {
		case len(content) > maxFile:
			err = fmt.Errorf("larger than %d bytes", maxFile)
		case err == nil && total+len(content) > maxFiles:
			err = fmt.Errorf("larger than %d bytes together with the files before it", maxFiles)
		}
		switch {
		case errors.Is(err, watch.ErrDirectory):
		case err != nil:
			m.host.Log.WithError(err).WithField("file", name).Warn("file omitted from /configs")
		case name == filepath.Base(m.Config):
			files[name] = redact(string(content), m.host.Settings())
		default:
			files[name] = string(content)
			total += len(content)
		}
	}
	return files, nil
}
