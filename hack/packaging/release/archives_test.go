package release

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestArchives: the archive of each program contains its manual pages, all that
// hack/man writes for it and no others.
func TestArchives(t *testing.T) {
	var conf struct {
		Before   struct{ Hooks []string }
		Builds   []struct{ ID, Binary string }
		Archives []struct {
			IDs   []string
			Files []struct{ Src string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, ".goreleaser.yaml")), &conf); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(conf.Before.Hooks, "hack/man man") {
		t.Errorf("the hooks %q do not write the manual pages", conf.Before.Hooks)
	}
	dir := filepath.Join(t.TempDir(), "man")
	repository{T: t}.run(root, "hack/man", dir)
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	want, got := map[string][]string{}, map[string][]string{}
	for _, page := range all {
		name := filepath.Base(page)
		for _, b := range conf.Builds {
			if strings.HasPrefix(name, b.Binary+".") || strings.HasPrefix(name, b.Binary+"-") {
				want[b.ID] = append(want[b.ID], name)
			}
		}
	}
	for _, a := range conf.Archives {
		for _, f := range a.Files {
			packed, err := filepath.Glob(filepath.Join(filepath.Dir(dir), f.Src))
			if err != nil {
				t.Fatal(err)
			}
			if f.Src == "LICENSE" {
				_, err := os.Stat(filepath.Join(root, f.Src))
				if err != nil {
					t.Error(err)
				}
				continue
			}
			for _, page := range packed {
				got[a.IDs[0]] = append(got[a.IDs[0]], filepath.Base(page))
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != len(conf.Builds) {
		t.Errorf("pages by archive, of %d programs: %q (-want +got):\n%s", len(conf.Builds), slices.Sorted(maps.Keys(got)), diff)
	}
}
