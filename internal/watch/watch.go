// Package watch reports changes in a directory whose files are replaced while
// the program runs, by hand or by the kubelet.
package watch

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// DataLink is the symbolic link that the kubelet swaps to replace all files of
// a mounted ConfigMap or Secret in one step. It points to the directory with
// the files; the visible names are links through it.
const DataLink = "..data"

// Settled is how long a directory must see no further event before a change is
// reported: editors seldom write a file in one step.
const Settled = 50 * time.Millisecond

// ErrLost means that the watch ended and no further change will be reported.
var ErrLost = errors.New("the watch is lost")

// Directory starts to watch dir and returns a function that reports its changes
// as [Follow] does. The watch is active when Directory returns, so read the
// directory after that: no later change is missed.
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

// Follow calls changed for the events of a watched directory until ctx ends:
// immediately when the kubelet swaps a volume, otherwise once the directory has
// settled. It calls missed when a change may have gone unseen. When dir itself
// is removed, it calls missed with [ErrLost] and returns.
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
		case err := <-errs: // the event queue overflowed, some events are lost
			if err != nil {
				missed(err)
				quiet = time.After(Settled)
			}
		case <-quiet:
			changed()
		}
	}
}
