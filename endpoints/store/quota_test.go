package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

func (q *quota) state() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return fmt.Sprint(q.files, " files, ", q.used>>10, " KiB")
}

// TestQuotaCountsWhatTheDiskTakes compares the quota with what the file system
// says of the files.
func TestQuotaCountsWhatTheDiskTakes(t *testing.T) {
	dir, failed := t.TempDir(), errors.New("failed")
	m := new(Module)
	registrytest.New(t, map[string]string{"PODINFO_DATA_PATH": dir}, m)
	onDisk := func() string {
		files, err := m.list()
		if err != nil {
			t.Fatal(err)
		}
		var used int64
		for _, info := range files {
			used += onDiskSize(info)
		}
		return fmt.Sprint(len(files), " files, ", used>>10, " KiB")
	}
	for i := range 64 {
		if _, err := m.save(strings.NewReader(fmt.Sprintf("%04d", i)), new(budget.Buffer)); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.quota.state(); got != "64 files, 256 KiB" || got != onDisk() {
		t.Errorf("64 files of 4 bytes count as %s and are %s", got, onDisk())
	}
	for _, body := range []io.Reader{
		strings.NewReader(""), strings.NewReader(strings.Repeat("x", 100_000)), strings.NewReader("0001"),
		io.MultiReader(strings.NewReader(strings.Repeat("y", 100_000)), iotest.ErrReader(failed)), iotest.ErrReader(failed),
	} {
		if _, err := m.save(body, new(budget.Buffer)); err != nil && err != failed {
			t.Error(err)
		}
		if got := m.quota.state(); got != onDisk() {
			t.Errorf("counted as %s, are %s", got, onDisk())
		}
	}
	again := new(Module)
	registrytest.New(t, map[string]string{"PODINFO_DATA_PATH": dir}, again)
	if got, want := again.quota.state(), m.quota.state(); got != want {
		t.Errorf("%s are counted at the start, want %s", got, want)
	}
}

// TestTemporaryFilesOfACrashCount has a store find the temporary files of another
// process. They count until they are gone or stale.
func TestTemporaryFilesOfACrashCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := func(i int) string { return filepath.Join(dir, temporaryPrefix+fmt.Sprint(i)) }
		touch := func(i int) {
			if err := os.Chtimes(path(i), time.Time{}, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			if err := os.WriteFile(path(i), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
			touch(i)
		}
		m := new(Module)
		registrytest.New(t, map[string]string{"PODINFO_DATA_PATH": dir}, m)
		for _, step := range []struct {
			what func()
			want string
		}{
			{func() {}, "3 files, 12 KiB"},
			{func() {
				os.Rename(path(0), filepath.Join(dir, "renamed"))
				touch(1)
				time.Sleep(staleAfter / 2)
				touch(1)
			}, "3 files, 12 KiB"},
			{func() { time.Sleep(staleAfter) }, "1 files, 4 KiB"}, // 0 is renamed, 2 is stale
			{func() { time.Sleep(staleAfter) }, "0 files, 0 KiB"},
		} {
			step.what()
			synctest.Wait()
			if got := m.quota.state(); got != step.want {
				t.Errorf("%s count, want %s", got, step.want)
			}
		}
		if left, _ := filepath.Glob(path(1)[:len(path(1))-1] + "*"); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	})
}

func TestIsFull(t *testing.T) {
	for err, want := range map[error]bool{errFull: true, syscall.ENOSPC: true, syscall.EDQUOT: true, syscall.EIO: false, fs.ErrPermission: false} {
		if got := isFull(onDisk(errors.Join(&fs.PathError{Op: "write", Path: "f", Err: err}, nil))); got != want {
			t.Errorf("%v: %t, want %t", err, got, want)
		}
	}
}
