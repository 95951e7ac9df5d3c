// Package reload keeps what was read from files, and reads it again when the files
// change, as cert-manager and the kubelet replace them while the server runs.
package reload

import (
	"os"
	"slices"
	"sync"
	"time"
)

// A Value is what was read from files. It is safe for concurrent use.
type Value[T any] struct {
	files  []string
	read   func() (T, error)
	report func(error)

	mu       sync.Mutex
	checked  time.Time // of the last look at the files
	loaded   []stamp   // of the files that value was read from
	reported []stamp   // of the files that could not be read
	value    T
}

// stamp identifies a version of a file. It is zero for a file that is absent.
type stamp struct {
	size     int64
	modified int64 // in Unix nanoseconds
}

// CheckEvery is the shortest time between two looks at the files. Get looks at them
// when this time has passed since the last look.
const CheckEvery = time.Second

// Load returns what read makes of the files. When read fails for a later version of
// the files, the Value calls report once with the error and keeps what it has.
func Load[T any](read func() (T, error), report func(error), files ...string) (*Value[T], error) {
	v := &Value[T]{files: files, read: read, report: report}
	now := v.stamps()
	value, err := read()
	if err != nil {
		return nil, err
	}
	v.loaded, v.value = now, value
	return v, nil
}

// stamps must be called before the files are read, so that a change after that is
// seen the next time.
func (v *Value[T]) stamps() []stamp {
	out := make([]stamp, len(v.files))
	for i, name := range v.files {
		if info, err := os.Stat(name); err == nil {
			out[i] = stamp{info.Size(), info.ModTime().UnixNano()}
		}
	}
	return out
}

// Get returns the current value. It never fails.
func (v *Value[T]) Get() T {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := time.Now(); now.Sub(v.checked) >= CheckEvery {
		v.checked = now
		v.refreshLocked()
	}
	return v.value
}

// refreshLocked reads the files if they have changed. The caller must hold v.mu.
func (v *Value[T]) refreshLocked() {
	now := v.stamps()
	if slices.Equal(now, v.loaded) {
		return
	}
	value, err := v.read()
	if err == nil {
		v.value, v.loaded, v.reported = value, now, nil
		return
	}
	if !slices.Equal(now, v.reported) {
		v.reported = now
		v.report(err)
	}
}
