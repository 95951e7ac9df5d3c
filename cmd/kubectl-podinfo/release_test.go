package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestRelease checks that a release builds the plugin, with the settings of the other
// programs, and that the plugin then says its version.
func TestRelease(t *testing.T) {
	text, err := os.ReadFile("../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type build struct {
		ID, Dir, Main, Binary string
		Ldflags               []string
	}
	var conf struct{ Builds []build }
	if err := yaml.Unmarshal(text, &conf); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(conf.Builds, func(b build) bool { return b.ID == "kubectl-podinfo" })
	if i < 0 || conf.Builds[i].Dir != "cmd/kubectl-podinfo" || conf.Builds[i].Main != "." || conf.Builds[i].Binary != "kubectl-podinfo" {
		t.Fatalf("%+v", conf.Builds)
	}
	file := filepath.Join(t.TempDir(), "kubectl-podinfo")
	ldflags := strings.ReplaceAll(conf.Builds[i].Ldflags[0], "{{ .Version }}", "1.2.3")
	if out, err := exec.Command("go", "build", "-ldflags="+ldflags, "-o", file, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(file, "--version").Output(); err != nil || string(out) != "kubectl podinfo version 1.2.3\n" {
		t.Errorf("%v %q", err, out)
	}
}
