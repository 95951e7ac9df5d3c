package accesslog

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFieldsAreDocumented: docs/log.md lists the fields that the lines may have.
func TestFieldsAreDocumented(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			fields = append(fields, matches(t, file, "`,\"([a-z_-]+)\":`")...)
		}
	}
	slices.Sort(fields)
	documented := slices.Sorted(slices.Values(matches(t, "../../docs/log.md", "(?m)^\\| `([a-z_-]+)` \\|")))
	if diff := cmp.Diff(slices.Compact(fields), documented); diff != "" {
		t.Errorf("docs/log.md (-fields +documented):\n%s", diff)
	}
}

// matches returns the first groups of what matches in a file.
func matches(t *testing.T, file, pattern string) (groups []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		groups = append(groups, m[1])
	}
	return groups
}
