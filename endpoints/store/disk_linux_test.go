package store_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-4591fe7d/podinfo/endpoints/store"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// TestFullDisk fills a disk that is smaller than the quota. It runs itself again
// where it may mount one: in namespaces of its own.
func TestFullDisk(t *testing.T) {
	const disk = "STORE_TEST_DISK"
	if dir := os.Getenv(disk); dir != "" {
		if err := syscall.Mount("none", dir, "tmpfs", 0, "size=64k,nr_inodes=12"); err != nil {
			t.Skipf("cannot mount a tmpfs: %v", err)
		}
		fillDisk(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), disk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch _, ran := errors.AsType[*exec.ExitError](err); {
	case err != nil && !ran:
		t.Skipf("no user namespaces: %v", err)
	case err != nil:
		t.Errorf("%s", out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
}

func fillDisk(t *testing.T, dir string) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_DATA_PATH": dir}, new(store.Module))
	post := func(content string) (int, string) {
		res, body := s.Call(t, "POST", "/store", content)
		return res.StatusCode, body
	}
	fill := func(content func(int) string) (last string) {
		for i := range 100 {
			switch code, body := post(content(i)); {
			case code == 202:
				last = content(i)
			case code == 507 && strings.Contains(body, "the disk is full") && strings.Contains(s.Log.String(), "no space left on device"):
				return last
			default:
				t.Fatalf("file %d: %d %s", i, code, body)
			}
		}
		t.Fatal("the disk takes more than it has room for")
		return ""
	}
	for name, content := range map[string]func(int) string{
		"blocks": func(i int) string { return strings.Repeat(fmt.Sprint(i), 3*block) },
		"inodes": func(i int) string { return strings.Repeat("x", i) },
	} {
		stored := fill(content)
		if code, body := post(stored); code != 202 {
			t.Errorf("%s: a file that exists: %d %s", name, code, body)
		}
		for file := range files(t, dir) {
			if len(file) != 40 {
				t.Errorf("%s: %s is left", name, file)
			}
			if err := os.Remove(filepath.Join(dir, file)); err != nil {
				t.Error(err)
			}
		}
		if code, body := post(stored); code != 202 {
			t.Errorf("%s: with room again: %d %s", name, code, body)
		}
	}
}
