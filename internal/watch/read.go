package watch

import (
	"errors"
	"io"
	"os"
)

// ErrDirectory is the error of ReadFile for a directory.
var ErrDirectory = errors.New("is a directory")

// ReadFile reads a regular file, or the one that a link points to. It refuses
// anything else: opening a pipe could block forever. Of a file larger than limit it
// reads one byte more than that, so that the caller can tell.
func ReadFile(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, ErrDirectory
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}
