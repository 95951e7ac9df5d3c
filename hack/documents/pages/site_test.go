package pages

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// runMake runs a target of the Makefile.
func runMake(t *testing.T, target string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", "--no-print-directory", target)
	cmd.Dir = Root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestSite builds the site, which fails for a link that leads nowhere. It looks for
// what a page would load from another host, and for code blocks that became text.
func TestSite(t *testing.T) {
	runMake(t, "site")
	foreign := regexp.MustCompile(`(?:src=|<link[^>]* href=)"(https?:)?//[^"]*"`)
	mangled := regexp.MustCompile("<code>(sh|yaml|go|json|text)\n|```")
	site := filepath.Join(Root, "dist/site")
	pages := 0
	err := filepath.WalkDir(site, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".html" {
			return err
		}
		pages++
		b, err := os.ReadFile(path)
		if found := mangled.Find(b); found != nil {
			t.Errorf("%s shows a code block as text: %q", path, found)
		}
		for _, found := range foreign.FindAllString(string(b), -1) {
			if !strings.Contains(found, `rel="canonical"`) {
				t.Errorf("%s loads %s", path, found)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := filepath.Glob(filepath.Join(Root, "docs/*.md"))
	if err != nil || pages < len(docs) {
		t.Errorf("%d pages of %d, %v", pages, len(docs), err)
	}
}

// TestIndex: the index, from which the site takes its navigation, has every page.
func TestIndex(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(p Page) bool { return p.Path == "docs/README.md" })
	for _, p := range all {
		name, ok := strings.CutPrefix(p.Path, "docs/")
		if !ok || name == "README.md" || strings.Contains(name, "/") {
			continue
		}
		if !slices.ContainsFunc(all[i].Links, func(l Link) bool { return l.Target == name }) {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}

// TestExamples: each example has a README with a title, and the index lists it.
func TestExamples(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	readmes := map[string]Page{}
	for _, p := range all {
		readmes[p.Path] = p
	}
	entries, err := os.ReadDir(filepath.Join(Root, "examples"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		path := "examples/" + e.Name() + "/README.md"
		if p, ok := readmes[path]; !ok || len(p.Headings) == 0 {
			t.Errorf("%s does not exist, or has no title", path)
		}
		if !slices.ContainsFunc(readmes["examples/README.md"].Links, func(l Link) bool { return l.Target == e.Name() }) {
			t.Errorf("examples/README.md does not list %s", e.Name())
		}
	}
}

// TestManualPages: each command of podcli that docs/podcli.md lists has a manual
// page with all its flags. The programs have one each.
func TestManualPages(t *testing.T) {
	runMake(t, "man")
	text, err := os.ReadFile(filepath.Join(Root, "docs/podcli.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(podcli [a-z ]+)` \\|.*\\| (.*) \\|$").FindAllStringSubmatch(string(text), -1)
	for _, row := range rows {
		if row[1] == "podcli version" {
			continue
		}
		page, err := os.ReadFile(filepath.Join(Root, "dist/man", strings.ReplaceAll(row[1], " ", "-")+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		plain := strings.ReplaceAll(string(page), `\-`, "-")
		for _, flag := range strings.Fields(strings.ReplaceAll(row[2], "`", "")) {
			if !strings.Contains(plain, flag) {
				t.Errorf("the page of %s does not have %s", row[1], flag)
			}
		}
	}
	if len(rows) == 0 {
		t.Error("docs/podcli.md lists no commands")
	}
	for _, name := range []string{"podinfo", "podinfo-proxy", "kubectl-podinfo", "kubectl-podinfo-fault-apply"} {
		if _, err := os.Stat(filepath.Join(Root, "dist/man", name+".1")); err != nil {
			t.Error(err)
		}
	}
}
