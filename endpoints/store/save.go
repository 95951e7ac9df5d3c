package store

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Files that are being written. One that is older than any request can be was
// left behind by a crash.
const (
	temporary  = ".podinfo-store-"
	staleAfter = time.Hour
)

func isTemporary(name string) bool { return strings.HasPrefix(name, temporary) }

// errFull means that the quota does not allow a write.
var errFull = errors.New("the store is full")

// diskError is an error of the disk, not of the body that is to be written.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

func onDisk(err error) error {
	if err == nil {
		return nil
	}
	return &diskError{err}
}

// save writes body to the file that has its SHA-1 as name. Whoever looks sees
// the whole file or none, also after a power cut: it is written under another
// name, forced to disk and renamed.
func (m *Module) save(body io.Reader) (hash string, err error) {
	if err := os.MkdirAll(m.Path, 0o755); err != nil {
		return "", onDisk(err)
	}
	if hash, err = m.place(body); err != nil {
		return "", err
	}
	return hash, onDisk(syncDir(m.Path))
}

// place is save without forcing the new name to disk. When it fails it leaves
// nothing behind.
func (m *Module) place(body io.Reader) (hash string, err error) {
	tmp, err := os.CreateTemp(m.Path, temporary)
	if err != nil {
		return "", onDisk(err)
	}
	out := &writer{file: tmp, quota: &m.quota}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
			m.quota.give(out.size)
		}
	}()
	sum := sha1.New()
	_, err = io.Copy(io.MultiWriter(out, sum), body)
	if err = errors.Join(err, finish(tmp, err == nil)); err != nil {
		return "", err
	}
	hash = hex.EncodeToString(sum.Sum(nil))
	return hash, onDisk(m.quota.rename(tmp.Name(), filepath.Join(m.Path, hash)))
}

// finish closes f, after forcing it to disk if it is complete.
func finish(f *os.File, complete bool) error {
	var err error
	if complete {
		err = errors.Join(f.Chmod(0o644), f.Sync())
	}
	return onDisk(errors.Join(err, f.Close()))
}

// syncDir forces the directory's names to disk.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writer writes to a file what the quota allows.
type writer struct {
	file  *os.File
	quota *quota
	size  int64 // taken from the quota
}

func (w *writer) Write(p []byte) (int, error) {
	if !w.quota.reserve(int64(len(p))) {
		return 0, errFull
	}
	w.size += int64(len(p))
	n, err := w.file.Write(p)
	return n, onDisk(err)
}

// quota counts the bytes of the files, also of those being written.
type quota struct {
	mu        sync.Mutex
	used, max int64
}

// reserve takes n bytes if there are as many.
func (q *quota) reserve(n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used+n > q.max {
		return false
	}
	q.used += n
	return true
}

// take counts n bytes that are on disk already.
func (q *quota) take(n int64) { q.give(-n) }

// give returns n bytes.
func (q *quota) give(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= n
}

// rename puts a written file in its place, and returns the bytes of the one
// it replaces. Two of the same name must not both find the place empty.
func (q *quota) rename(from, to string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var replaced int64
	if info, err := os.Lstat(to); err == nil {
		replaced = info.Size()
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	q.used -= replaced
	return nil
}
