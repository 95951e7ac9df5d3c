package configs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/seed-4591fe7d/podinfo/internal/watch"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// TestHalfIsNotSeen writes a file in two steps and follows what is served.
func TestHalfIsNotSeen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	synctest.Test(t, func(t *testing.T) {
		m := new(Module)
		if _, err := registry.New([]registry.Module{m}); err != nil {
			t.Fatal(err)
		}
		m.Path = dir // only now: nothing else is to watch it
		ctx, stop := context.WithCancel(t.Context())
		events, errs := make(chan fsnotify.Event), make(chan error)
		done := make(chan struct{})
		go func() { watch.Follow(ctx, "dir", events, errs, m.load, m.missed); close(done) }()

		write := func(content string) {
			if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			events <- fsnotify.Event{Name: file, Op: fsnotify.Write}
		}
		shows := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := string(*m.reply.Load()); !strings.Contains(got, want) {
				t.Errorf("%s, want %s", got, want)
			}
		}
		write("half")
		time.Sleep(watch.Settled - time.Millisecond)
		write("half, and the rest")
		time.Sleep(watch.Settled - time.Millisecond)
		shows("{}")
		time.Sleep(time.Millisecond)
		shows("half, and the rest")

		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		errs <- fsnotify.ErrEventOverflow // the event is lost
		time.Sleep(watch.Settled)
		shows("{}")
		stop()
		<-done
	})
}
