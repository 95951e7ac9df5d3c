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

const (
	temporaryPrefix = ".podinfo-store-" // starts the names of files being written
	staleAfter      = time.Hour         // an older temporary file is left from a crash
)

func isTemporary(name string) bool { return strings.HasPrefix(name, temporaryPrefix) }

// errFull means that a write would exceed the quota.
var errFull = errors.New("the store is full")

// diskError is an error of the file system, not of reading the body.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

func onDisk(err error) error {
	if err == nil {
		return nil
	}
	return &diskError{err}
}

// save writes body to a file named by its SHA-1. It writes a temporary file,
// syncs it and renames it, so that the file is complete whenever it exists,
// even after a power failure.
func (m *Module) save(body io.Reader) (hash string, err error) {
	if err := os.MkdirAll(m.Path, 0o755); err != nil {
		return "", onDisk(err)
	}
	if hash, err = m.writeAndRename(body); err != nil {
		return "", err
	}
	return hash, onDisk(syncDir(m.Path))
}

// writeAndRename is save without syncing the directory. After an error it
// leaves no file behind.
func (m *Module) writeAndRename(body io.Reader) (hash string, err error) {
	tmp, err := os.CreateTemp(m.Path, temporaryPrefix)
	if err != nil {
		return "", onDisk(err)
	}
	out := &quotaWriter{file: tmp, quota: &m.quota}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
			m.quota.release(out.reserved)
		}
	}()
	sum := sha1.New()
	_, err = io.Copy(io.MultiWriter(out, sum), body)
	if err = errors.Join(err, closeFile(tmp, err == nil)); err != nil {
		return "", err
	}
	hash = hex.EncodeToString(sum.Sum(nil))
	return hash, onDisk(m.quota.rename(tmp.Name(), filepath.Join(m.Path, hash)))
}

// closeFile closes f and, if it is complete, syncs it first.
func closeFile(f *os.File, complete bool) error {
	var err error
	if complete {
		err = errors.Join(f.Chmod(0o644), f.Sync())
	}
	return onDisk(errors.Join(err, f.Close()))
}

// syncDir syncs the entries of a directory.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// quotaWriter writes to a file and reserves each write in the quota. It returns
// errFull when a write would exceed the quota.
type quotaWriter struct {
	file     *os.File
	quota    *quota
	reserved int64
}

func (w *quotaWriter) Write(p []byte) (int, error) {
	if !w.quota.reserve(int64(len(p))) {
		return 0, errFull
	}
	w.reserved += int64(len(p))
	n, err := w.file.Write(p)
	return n, onDisk(err)
}

// quota counts the bytes of all files, including those being written.
type quota struct {
	mu        sync.Mutex
	used, max int64
}

// reserve counts n bytes, unless that would exceed the quota.
func (q *quota) reserve(n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used+n > q.max {
		return false
	}
	q.used += n
	return true
}

// add counts n bytes of an existing file, which may exceed the quota.
func (q *quota) add(n int64) { q.release(-n) }

func (q *quota) release(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= n
}

// rename renames a file and releases the bytes of the file that it replaces.
// The lock keeps two writers of the same file from both counting it.
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
