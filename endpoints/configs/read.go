package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/watch"
)

// maxFile is the size limit of a file, in bytes. It is also etcd's of a whole
// ConfigMap.
const maxFile = 1 << 20

// errSwapping means that no two looks at the directory found the same version.
var errSwapping = errors.New("it is replaced again and again")

// read returns the content of the directory's files by name. A swap takes away
// the files that are being read, so it starts anew.
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

// root is the directory that holds the files. In a volume of the kubelet that
// is what watch.DataLink points to now, so that all files are of one version.
func (m *Module) root() (string, error) {
	root, err := filepath.EvalSymlinks(filepath.Join(m.Path, watch.DataLink))
	if errors.Is(err, fs.ErrNotExist) {
		return m.Path, nil
	}
	return root, err
}

// readDir reads what can be read. The rest is left out, not an error.
func (m *Module) readDir(root string) (map[string]string, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, e := range entries {
		name := e.Name()
		if strings.Contains(name, "..") || name == filepath.Base(m.Config) {
			continue
		}
		content, err := readFile(filepath.Join(root, name))
		switch {
		case errors.Is(err, errDirectory):
		case err != nil:
			m.host.Log.WithError(err).WithField("file", name).Warn("file left out of /configs")
		default:
			files[name] = content
		}
	}
	return files, nil
}

var errDirectory = errors.New("a directory")

// readFile reads a regular file, or what a link to one points to. Opening
// anything else could wait for ever.
func readFile(name string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		return "", errDirectory
	case !info.Mode().IsRegular():
		return "", errors.New("not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	return string(b), err
}
