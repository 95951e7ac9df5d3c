// Package packagingtest holds the helpers that the packaging tests share:
// building podinfo, comparing golden files, and describing how one manifest
// differs from another.
package packagingtest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/hack/packaging/manifests"
)

// Root is the root of the repository, relative to a package of this module.
const Root = "../../.."

var update = flag.Bool("update", false, "write the golden files and the generated tables")

// Update reports whether the tests write generated files instead of comparing
// them.
func Update() bool { return *update }

// Main builds podinfo, passes the program's path and a checker to setup, runs
// the tests and returns the exit code.
func Main(m *testing.M, setup func(program string, checker *manifests.Checker)) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "podinfo")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "podinfo")
	if err := manifests.Build(Root, program); err != nil {
		return fail(err)
	}
	checker, err := manifests.New(program)
	if err != nil {
		return fail(err)
	}
	setup(program, checker)
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// Golden compares got with testdata/name. With -update it writes the file
// first.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is out of date: run the test with -update and review the change (-want +got):\n%s", file, diff)
	}
}

// NoOtherGoldens fails for each file in testdata that is not in names.
func NoOtherGoldens(t *testing.T, names ...string) {
	t.Helper()
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() && !slices.Contains(names, e.Name()) {
			t.Errorf("no test renders testdata/%s: delete it", e.Name())
		}
	}
}

// Read returns the text of a file.
func Read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
