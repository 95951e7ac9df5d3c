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

// TestHalfWrittenFileIsNotServed writes a file in two steps and checks the
// response after each.
func TestHalfWrittenFileIsNotServed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	synctest.Test(t, func(t *testing.T) {
		m := new(Module)
		if _, err := registry.New([]registry.Module{m}); err != nil {
			t.Fatal(err)
		}
		m.Path = dir // set after New, so that the module does not watch it itself
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
		serves := func(want string) {
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
		serves("{}")
		time.Sleep(time.Millisecond)
		serves("half, and the rest")

		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		errs <- fsnotify.ErrEventOverflow // the event of the removal is lost
		time.Sleep(watch.Settled)
		serves("{}")
		stop()
		<-done
	})
}
