package store

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

const (
	temporaryPrefix = ".podinfo-store-" // starts the names of files being written
	staleAfter      = time.Hour         // an older temporary file is left from a crash
)

func isTemporary(name string) bool { return strings.HasPrefix(name, temporaryPrefix) }

// errFull means that a write would exceed the quota.
var errFull = errors.New("the store is full")

// isFull reports whether there was no room for a file: in the quota, on the disk
// or in a quota of the file system.
func isFull(err error) bool {
	return errors.Is(err, errFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

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
// even after a power failure. While there is no room it only looks whether the
// file exists.
func (m *Module) save(body io.Reader, buf *budget.Buffer) (hash string, err error) {
	u := upload{module: m, sum: sha1.New()}
	if err := u.create(); err != nil {
		return "", onDisk(err)
	}
	defer u.discard()
	if _, err := buf.Copy(&u, body); err != nil {
		return "", err
	}
	hash = hex.EncodeToString(u.sum.Sum(nil))
	return hash, onDisk(u.finish(filepath.Join(m.Path, hash)))
}

// upload is a body on its way to the disk.
type upload struct {
	module   *Module
	sum      hash.Hash
	size     int64
	file     *os.File // nil if there is no room for it, or once it is renamed
	full     error    // why there is no room
	reserved int64    // of the quota
}

// create opens the temporary file. It returns nil if there is no room for one.
func (u *upload) create() (err error) {
	m := u.module
	if !m.quota.addFile() {
		u.full = errFull
		return nil
	}
	if err = os.MkdirAll(m.Path, 0o755); err == nil {
		u.file, err = os.CreateTemp(m.Path, temporaryPrefix)
	}
	if err != nil {
		m.quota.remove(0)
	}
	return u.orFull(err)
}

// orFull returns err, or nil if it says that there is no room. The file is gone
// then, and the rest of the body is only hashed.
func (u *upload) orFull(err error) error {
	if !isFull(err) {
		return err
	}
	u.full = err
	u.discard()
	return nil
}

// Write writes p to the file and hashes it.
func (u *upload) Write(p []byte) (int, error) {
	u.sum.Write(p)
	u.size += int64(len(p))
	if u.file != nil {
		if err := u.orFull(u.write(p)); err != nil {
			return 0, onDisk(err)
		}
	}
	if u.file == nil && u.size > u.module.quota.max { // no file in the store is as large
		return 0, onDisk(u.full)
	}
	return len(p), nil
}

func (u *upload) write(p []byte) error {
	if need := blocks(u.size) - u.reserved; need > 0 {
		if !u.module.quota.reserve(need) {
			return errFull
		}
		u.reserved += need
	}
	_, err := u.file.Write(p)
	return err
}

// finish syncs the file and renames it to name. If there was no room, it returns
// why, unless there is such a file.
func (u *upload) finish(name string) error {
	if u.file != nil {
		if err := u.orFull(u.rename(name)); err != nil {
			return err
		}
	}
	if u.full == nil {
		return syncDir(u.module.Path)
	}
	if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() || info.Size() != u.size {
		return u.full
	}
	return nil
}

func (u *upload) rename(name string) error {
	if err := errors.Join(u.file.Chmod(0o644), u.file.Sync(), u.file.Close()); err != nil {
		return err
	}
	info, err := os.Lstat(u.file.Name())
	if err != nil {
		return err
	}
	// The file system may take more than was reserved.
	if need := onDiskSize(info) - u.reserved; !u.module.quota.reserve(need) {
		return errFull
	}
	u.reserved = onDiskSize(info)
	if err := u.module.quota.rename(u.file.Name(), name); err != nil {
		return err
	}
	u.file = nil
	return nil
}

// discard removes the temporary file, unless it is renamed, and releases its part
// of the quota.
func (u *upload) discard() {
	if u.file == nil {
		return
	}
	u.file.Close()
	os.Remove(u.file.Name())
	u.module.quota.remove(u.reserved)
	u.file, u.reserved = nil, 0
}

// syncDir syncs the entries of a directory.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeStale removes the temporary files that a crash left. It returns the young
// ones with their size: another process may be writing them.
func (m *Module) removeStale(files []fs.FileInfo) (young map[string]int64) {
	young = map[string]int64{}
	for _, info := range files {
		switch {
		case !isTemporary(info.Name()):
		case time.Since(info.ModTime()) < staleAfter:
			young[info.Name()] = onDiskSize(info)
		default:
			os.Remove(filepath.Join(m.Path, info.Name()))
		}
	}
	return young
}
