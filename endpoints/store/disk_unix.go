//go:build unix

package store

import (
	"io/fs"
	"syscall"
)

// onDiskSize returns what a file takes on the disk, in bytes.
func onDiskSize(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * 512 // whatever the block size of the file system is (stat(2))
	}
	return blocks(info.Size())
}
