package pages

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLinks follows each link between the pages, and to other files.
func TestLinks(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		for _, l := range p.Links {
			if strings.Contains(l.Target, "://") || strings.HasPrefix(l.Target, "mailto:") {
				continue
			}
			path, fragment, _ := strings.Cut(l.Target, "#")
			file := p.Path
			if path != "" {
				file = filepath.Join(filepath.Dir(p.Path), path)
			}
			if _, err := os.Stat(filepath.Join(Root, file)); err != nil {
				t.Errorf("%s:%d: %s does not exist", p.Path, l.Line, l.Target)
				continue
			}
			i := slices.IndexFunc(all, func(q Page) bool { return q.Path == file })
			if fragment != "" && i >= 0 && !slices.Contains(all[i].Headings, fragment) {
				t.Errorf("%s:%d: %s has no heading %q", p.Path, l.Line, file, fragment)
			}
		}
	}
}

// TestLanguages: a block without a language, or an indented one, would escape the
// other tests.
func TestLanguages(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Path == "CHANGELOG.md" {
			continue
		}
		for _, b := range p.Blocks {
			if b.Language == "" {
				t.Errorf("%s:%d: a code block without a language: write sh, yaml, go, json or text", p.Path, b.Line)
			}
		}
		for _, n := range p.Indented {
			t.Errorf("%s:%d: an indented code block: use a fence with a language", p.Path, n)
		}
	}
}
