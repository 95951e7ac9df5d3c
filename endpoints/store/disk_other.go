//go:build !unix

package store

import "io/fs"

// onDiskSize returns what a file most likely takes on the disk, in bytes.
func onDiskSize(info fs.FileInfo) int64 { return blocks(info.Size()) }
