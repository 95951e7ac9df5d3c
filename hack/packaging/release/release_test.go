// Package release tests hack/release, the steps of the release workflow, on
// copies of the repository with a local remote.
package release

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	root   = "../../.."
	module = "github.com/seed-4591fe7d/podinfo"
)

// A repository is a copy of this one as it is now, in one commit, and its
// remote.
type repository struct {
	*testing.T
	dir, remote string
	env         []string
}

// skipped is what no step of a release reads, to copy less.
var skipped = []string{".git", "dist", "docs/screenshots", "hack/browser", "hack/packaging"}

// clone copies the files of the repository, after edit has changed their texts.
func clone(t *testing.T, edit map[string]func(string) string) repository {
	t.Helper()
	r := repository{T: t, dir: t.TempDir(), remote: filepath.Join(t.TempDir(), "podinfo.git")}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, err := filepath.Rel(root, name)
		to := filepath.Join(r.dir, path)
		switch {
		case err != nil:
			return err
		case slices.Contains(skipped, filepath.ToSlash(path)):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil // .git of a worktree
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		}
		text, err := os.ReadFile(name)
		info, errInfo := d.Info()
		if err := errors.Join(err, errInfo); err != nil {
			return err
		}
		if change, ok := edit[filepath.ToSlash(path)]; ok {
			text = []byte(change(string(text)))
		}
		return os.WriteFile(to, text, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	// Only the modules that podinfo depends on come from the proxy, which is the
	// module cache. podinfo itself comes from the remote, by its usual address.
	cache := strings.TrimSpace(r.run(".", "go", "env", "GOMODCACHE"))
	r.env = []string{
		"GOPROXY=file://" + filepath.ToSlash(cache) + "/cache/download", "GONOPROXY=" + module, "GOSUMDB=off", "GOWORK=off",
		"GOFLAGS=-mod=mod -modcacherw", "GOMODCACHE=" + t.TempDir(), "GOVCS=*:git",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=url.file://" + filepath.ToSlash(r.remote) + ".insteadOf", "GIT_CONFIG_VALUE_0=https://" + module,
		"GIT_AUTHOR_NAME=Test", "GIT_AUTHOR_EMAIL=test@example.com", "GIT_COMMITTER_NAME=Test", "GIT_COMMITTER_EMAIL=test@example.com",
	}
	r.git("init", "--quiet", "--initial-branch=main")
	r.git("add", "--all")
	r.git("commit", "--quiet", "--message=Release")
	r.git("init", "--quiet", "--bare", "--initial-branch=main", r.remote)
	r.git("remote", "add", "origin", r.remote)
	r.git("push", "--quiet", "origin", "main")
	return r
}

// run runs a program and returns its standard output.
func (r repository) run(dir string, args ...string) string {
	r.Helper()
	out, err := r.try(dir, args...)
	if err != nil {
		r.Fatalf("%q: %v", args, err)
	}
	return out
}

func (r repository) try(dir string, args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), r.env...)
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}

func (r repository) git(args ...string) string {
	r.Helper()
	return strings.TrimSpace(r.run(r.dir, append([]string{"git"}, args...)...))
}

func (r repository) release(args ...string) (string, error) {
	return r.try(r.dir, append([]string{"hack/release"}, args...)...)
}

func TestGoVersion(t *testing.T) {
	for version, want := range map[string]string{
		"6.15.0":    "v0.15.0",
		"6.99.12":   "v0.99.12",
		"7.0.0":     "v0.100.0",
		"7.2.1":     "v0.102.1",
		"6.100.0":   "", // that of 7.0.0
		"5.1.0":     "",
		"v6.15.0":   "",
		"6.15":      "",
		"6.15.0-rc": "",
		"":          "",
	} {
		out, err := repository{T: t}.try(root, "hack/release", "go-version", version)
		if got := strings.TrimSpace(out); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", version, got, err, want)
		}
	}
}

// TestDocs: the table in docs/go.md has the versions that the script prints.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/go.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d\S+) \| (v\S+) \|$`).FindAllSubmatch(doc, -1)
	if len(rows) < 3 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows {
		out, err := repository{T: t}.try(root, "hack/release", "go-version", string(row[1]))
		if err != nil || strings.TrimSpace(out) != string(row[2]) {
			t.Errorf("docs/go.md says %s for %s; the script says %s, %v", row[2], row[1], out, err)
		}
	}
}

const version = "9.8.7" // no file has it before the test

// ready turns the repository into one that is ready to be released.
func ready(t *testing.T) map[string]func(string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, "podinfo.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(source), `release  = "`)
	now, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatal("podinfo.go has no release")
	}
	edit := map[string]func(string) string{
		"CHANGELOG.md": func(s string) string {
			return strings.Replace(s, "## [Unreleased]\n", "## [Unreleased]\n\n## ["+version+"] - 2030-01-02\n\n- Something.\n\n## [older]\n", 1)
		},
	}
	for _, file := range []string{"podinfo.go", "cmd/podcli/main.go", "cmd/kubectl-podinfo/main.go", "Dockerfile", "charts/podinfo/Chart.yaml", "kustomize/base/deployment.yaml", "kustomize/components/fault-proxy/kustomization.yaml",
		"timoni/podinfo/values.cue", "timoni/podinfo/debug_values.cue", "timoni/podinfo/debug_tool.cue", "timoni/podinfo/README.md",
		"docs/flagger.md", "docs/in-ci.md", "docs/verify.md",
		"examples/ci/service-container.yml", "examples/ci/compose.yaml", "examples/ci/PodinfoTest.java", "examples/ci/podinfo_test.go"} {
		edit[file] = func(s string) string { return strings.ReplaceAll(s, now, version) }
	}
	return edit
}

func TestCheck(t *testing.T) {
	r := clone(t, ready(t))
	for name, tc := range map[string]struct {
		file string
		edit func(string) string
		want string
	}{
		"ready":               {"LICENSE", func(s string) string { return s }, ""},
		"other version":       {"Dockerfile", func(s string) string { return s + "\n# 9.0.1\n" }, "Dockerfile names 9.0.1\n9.8.7, not only 9.8.7"},
		"no version":          {"docs/verify.md", func(string) string { return "" }, "docs/verify.md names no version"},
		"no entries":          {"CHANGELOG.md", func(s string) string { return strings.Replace(s, "["+version+"]", "[next]", 1) }, "no entries for 9.8.7"},
		"unreleased entries":  {"CHANGELOG.md", func(s string) string { return strings.Replace(s, "## [Unreleased]\n", "## [Unreleased]\n- Late.\n", 1) }, "unreleased entries"},
		"not even unreleased": {"CHANGELOG.md", func(string) string { return "" }, "no entries for 9.8.7"},
	} {
		file := filepath.Join(r.dir, tc.file)
		before, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(tc.edit(string(before))), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.release("check", version); tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
		if err := os.WriteFile(file, before, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNotes(t *testing.T) {
	r := repository{T: t, dir: t.TempDir()}
	script, err := os.ReadFile(filepath.Join(root, "hack/release"))
	if err != nil {
		t.Fatal(err)
	}
	log := "# Changelog\n\n## [Unreleased]\n\n- Later.\n\n## [6.2.0] - 2030-01-02\n\n### Added\n\n- A.\n\n## [6.1.0] - 2029-01-02\n\n- B.\n\n[6.1.0]: https://example.com/\n"
	if err := errors.Join(os.Mkdir(filepath.Join(r.dir, "hack"), 0o755), os.WriteFile(filepath.Join(r.dir, "hack/release"), script, 0o755),
		os.WriteFile(filepath.Join(r.dir, "CHANGELOG.md"), []byte(log), 0o644)); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{"6.2.0": "\n### Added\n\n- A.\n\n", "6.1.0": "\n- B.\n\n", "6.0.0": ""} {
		if got, err := r.release("notes", version); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", version, got, err, want)
		}
	}
}

// TestGoTag releases two versions and resolves them with the go command, as a
// program does that depends on podinfo.
func TestGoTag(t *testing.T) {
	r := clone(t, nil)
	r.git("tag", "6.15.0")
	for range 2 { // the workflow can be run again
		if out, err := r.release("go-tag", "6.15.0"); err != nil || out != module+" v0.15.0\n" {
			t.Fatalf("%q, %v", out, err)
		}
	}
	r.git("push", "--quiet", "--tags")
	first := r.git("rev-parse", "HEAD")

	r.git("commit", "--quiet", "--allow-empty", "--message=Next")
	for _, args := range [][]string{{"go-tag", "6.15.0"}, {"check", "6.15.0"}} {
		_, err := r.release(args...)
		if err == nil || args[0] == "go-tag" && !strings.Contains(err.Error(), "v0.15.0 already tags "+first) {
			t.Errorf("%v on another commit: %v", args, err)
		}
	}
	r.git("push", "--quiet", "origin", "main")
	r.git("tag", "6.16.0")
	if newest, err := r.release("newest", "6.16.0"); err != nil || newest != "newest=true\n" {
		t.Errorf("6.16.0 is the newest: %q, %v", newest, err)
	}
	if newest, err := r.release("newest", "6.15.0"); err != nil || newest != "newest=false\n" {
		t.Errorf("6.15.0 is the newest: %q, %v", newest, err)
	}
	if _, err := r.release("go-tag", "6.16.0"); err != nil {
		t.Fatal(err)
	}
	r.git("push", "--quiet", "--tags")

	dir := t.TempDir()
	files := map[string]string{
		"go.mod": "module example.com/program\n\ngo 1.26.0\n",
		"main.go": "package main\n\nimport (\n\t\"" + module + "/middleware/randomdelay\"\n\t\"" + module + "/registry\"\n)\n\n" +
			"func main() {\n\tregistry.New([]registry.Module{new(randomdelay.Module)})\n}\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.run(dir, "go", "list", "-m", "-versions", module); got != module+" v0.15.0 v0.16.0\n" {
		t.Errorf("versions: %q", got)
	}
	resolved := map[string]string{}
	for _, query := range []string{"latest", "v0.15.0", "v0.15", "6.15.0", "main"} {
		got := r.run(dir, "go", "list", "-m", "-f", "{{.Version}} {{.Origin.Hash}}", module+"@"+query)
		resolved[query] = strings.TrimSpace(got)
	}
	second := r.git("rev-parse", "HEAD")
	want := map[string]string{
		"latest": "v0.16.0 " + second, "main": "v0.16.0 " + second,
		"v0.15.0": "v0.15.0 " + first, "v0.15": "v0.15.0 " + first, "6.15.0": "v0.15.0 " + first,
	}
	if diff := cmp.Diff(want, resolved); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.run(dir, "go", "get", module+"/middleware/randomdelay@latest")
	r.run(dir, "go", "build", "-o", os.DevNull, ".")
	if deps := strings.Fields(r.run(dir, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}@{{.Version}}{{end}}", ".")); !slices.Contains(deps, module+"@v0.16.0") {
		t.Errorf("the program does not link v0.16.0: %v", deps)
	}
}
