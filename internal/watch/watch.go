// Package watch follows a directory whose files are replaced while they are
// read, by people or by the kubelet.
package watch

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// DataLink is what the kubelet swaps to replace all files of a mounted
// ConfigMap or Secret in one step. It points to the directory that holds them;
// the names next to it are links through it.
const DataLink = "..data"

// Settled is how long a directory must be quiet before it counts as changed: a
// file that is edited is seldom written in one step.
const Settled = 50 * time.Millisecond

// ErrLost says that no further change will be seen.
var ErrLost = errors.New("the watch is lost")

// Directory watches dir and returns what follows it, see [Follow]. From its
// return on no change goes unseen, so what dir holds is best read then.
func Directory(dir string) (follow func(ctx context.Context, changed func(), missed func(error)), err error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := w.Add(dir); err != nil {
		w.Close()
		return nil, err
	}
	return func(ctx context.Context, changed func(), missed func(error)) {
		defer w.Close()
		Follow(ctx, filepath.Clean(dir), w.Events, w.Errors, changed, missed)
	}, nil
}

// Follow calls changed, until ctx ends, when the events of a watched directory
// say so: at once when the kubelet swaps a volume, and else when the directory
// has settled. missed is told when a change may go unseen, the last time with
// [ErrLost] when dir itself is gone.
func Follow(ctx context.Context, dir string, events <-chan fsnotify.Event, errs <-chan error, changed func(), missed func(error)) {
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				missed(ErrLost)
				return
			}
			if e.Name == dir && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) {
				changed()
				missed(ErrLost)
				return
			}
			if filepath.Base(e.Name) == DataLink && e.Has(fsnotify.Create) {
				changed()
			}
			quiet = time.After(Settled)
		case err := <-errs: // too many changes at once, some were lost
			if err != nil {
				missed(err)
				quiet = time.After(Settled)
			}
		case <-quiet:
			changed()
		}
	}
}
