//go:build linux

package survival_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// cgroup is a control group for memory, of version 1 or 2.
type cgroup struct {
	dir    string
	events string // the file that counts the processes that were killed for lack of memory
}

// newCgroup makes a group below the one of the test. It skips the test where that
// is not possible.
func newCgroup(t *testing.T, limit int) *cgroup {
	t.Helper()
	parent, version := ownGroup(t)
	g := &cgroup{dir: filepath.Join(parent, fmt.Sprintf("podinfo-survival-%d", os.Getpid()))}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Skipf("no control group can be made here: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(g.dir); err != nil {
			t.Error(err)
		}
	})
	files := map[string]string{"memory.limit_in_bytes": strconv.Itoa(limit)}
	g.events = "memory.oom_control"
	if version == 2 {
		files = map[string]string{"memory.max": strconv.Itoa(limit), "memory.swap.max": "0"}
		g.events = "memory.events"
	}
	for name, value := range files {
		err := os.WriteFile(filepath.Join(g.dir, name), []byte(value), 0o644)
		if err != nil && !(os.IsNotExist(err) && name == "memory.swap.max") {
			t.Skipf("the memory of a control group cannot be limited here: %v", err)
		}
	}
	return g
}

// ownGroup returns the directory of the test's group for memory.
func ownGroup(t *testing.T) (dir string, version int) {
	t.Helper()
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skipf("no control groups: %v", err)
	}
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path, as in cgroups(7); "0::" is version 2.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root := ""
		switch {
		case strings.Contains(","+parts[1]+",", ",memory,"):
			root, version = "/sys/fs/cgroup/memory", 1
		case parts[0] == "0" && hasController("/sys/fs/cgroup"):
			root, version = "/sys/fs/cgroup", 2
		default:
			continue
		}
		for _, dir := range []string{filepath.Join(root, parts[2]), root} { // the path may be outside the namespace
			if _, err := os.Stat(dir); err == nil {
				return dir, version
			}
		}
	}
	t.Skip("no control group limits memory here")
	return "", 0
}

// hasController reports whether groups below dir can limit memory.
func hasController(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	return err == nil && bytes.Contains(b, []byte("memory"))
}

// kills returns how many processes of the group were killed for lack of memory.
func (g *cgroup) kills(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(g.dir, g.events))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}
