package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestRelease checks that a release builds the plugin as it builds podcli, into an
// archive of its own, and that the plugin then says its version.
func TestRelease(t *testing.T) {
	text, err := os.ReadFile("../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type build struct {
		ID, Dir, Main, Binary             string
		Env, Goos, Goarch, Flags, Ldflags []string
		ModTimestamp                      string `yaml:"mod_timestamp"`
	}
	type archive struct {
		ID              string
		IDs             []string
		NameTemplate    string   `yaml:"name_template"`
		BuildsInfo      any      `yaml:"builds_info"`
		Files           []any    `yaml:"files"`
		FormatOverrides []any    `yaml:"format_overrides"`
		Formats         []string `yaml:"formats"`
	}
	var conf struct {
		Builds   []build
		Archives []archive
	}
	if err := yaml.Unmarshal(text, &conf); err != nil || len(conf.Builds) != 2 || len(conf.Archives) != 2 {
		t.Fatal(err, conf)
	}
	const name = "kubectl-podinfo"
	wantBuild, wantArchive := conf.Builds[0], conf.Archives[0]
	wantBuild.ID, wantBuild.Dir, wantBuild.Main, wantBuild.Binary = name, "cmd/"+name, "", name
	wantArchive.ID, wantArchive.IDs, wantArchive.NameTemplate = name, []string{name}, strings.Replace(wantArchive.NameTemplate, "podcli", name, 1)
	if diff := cmp.Diff(wantBuild, conf.Builds[1]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(wantArchive, conf.Archives[1]); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(conf.Archives[0].IDs, []string{"podcli"}) {
		t.Errorf("the archives of podcli contain %q", conf.Archives[0].IDs)
	}
	file := filepath.Join(t.TempDir(), name)
	ldflags := strings.ReplaceAll(conf.Builds[1].Ldflags[0], "{{ .Version }}", "1.2.3")
	if out, err := exec.Command("go", "build", "-ldflags="+ldflags, "-o", file, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(file, "--version").Output(); err != nil || string(out) != "kubectl podinfo version 1.2.3\n" {
		t.Errorf("%v %q", err, out)
	}
}
