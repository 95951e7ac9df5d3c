package podinfo_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)

// TestDocumentLinks looks for the files that the documents link to.
func TestDocumentLinks(t *testing.T) {
	docs, err := os.ReadDir("docs")
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, d := range docs {
		if strings.HasSuffix(d.Name(), ".md") {
			files = append(files, "docs/"+d.Name())
		}
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		folder := f[:strings.LastIndex(f, "/")+1]
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(folder + m[1]); err != nil {
				t.Errorf("%s links to %s, which does not exist: correct the link", f, m[1])
			}
		}
	}
}
