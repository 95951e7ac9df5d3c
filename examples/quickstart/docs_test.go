package quickstart

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the code of docs/podinfotest.md and docs/coming-from.md")

var block = regexp.MustCompile(`(?s)<!-- (examples/quickstart/\w+_test\.go) -->\n.*?<!-- end -->`)

// The pages show the files of this folder, whole.
func TestPages(t *testing.T) {
	for _, page := range []string{"../../docs/podinfotest.md", "../../docs/coming-from.md"} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		want := block.ReplaceAllStringFunc(string(b), func(old string) string {
			name := block.FindStringSubmatch(old)[1]
			code, err := os.ReadFile(filepath.Base(name))
			if err != nil {
				t.Fatal(err)
			}
			shown++
			return "<!-- " + name + " -->\n\n```go\n" + string(code) + "```\n\n<!-- end -->"
		})
		if shown != 3 || strings.Count(want, "```go") != shown {
			t.Errorf("%s shows %d files, and %d pieces of code: show whole files of examples/quickstart", page, shown, strings.Count(want, "```go"))
		}
		if *update {
			if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if want != string(b) {
			t.Errorf("%s is out of date: run `go test ./examples/quickstart -update` and review the change", page)
		}
	}
}

// Each file compiles by itself, as a reader pastes it.
func TestFilesCompileAlone(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) < 7 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if out, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}
