package store

import (
	"os"
	"sync"
)

// quota counts what all files take on the disk, those being written included:
// their blocks, and their number, because the entries of files take room too.
type quota struct {
	mu              sync.Mutex
	used, max       int64 // bytes
	files, maxFiles int
}

// blockSize is the unit in which most file systems give room to files. It counts
// while a file is written; afterwards the file system says what the file takes.
const blockSize = 4 << 10

// blocks rounds n bytes up to whole blocks.
func blocks(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

// addFile counts a file of no bytes, unless that would exceed the quota.
func (q *quota) addFile() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.files >= q.maxFiles {
		return false
	}
	q.files++
	return true
}

// reserve counts n more bytes of a file, unless that would exceed the quota. n
// may be negative.
func (q *quota) reserve(n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n > 0 && q.used+n > q.max {
		return false
	}
	q.used += n
	return true
}

// add counts an existing file of n bytes, which may exceed the quota.
func (q *quota) add(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.files++
	q.used += n
}

// remove stops counting a file of n bytes.
func (q *quota) remove(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.files--
	q.used -= n
}

// rename renames a file and stops counting the file that it replaces. The lock
// keeps two writers of the same file from both counting it.
func (q *quota) rename(from, to string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	replaced, errReplaced := os.Lstat(to)
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if errReplaced == nil {
		q.files--
		q.used -= onDiskSize(replaced)
	}
	return nil
}
