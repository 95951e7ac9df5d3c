package release

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A workflow is what the tests read of a GitHub workflow.
type workflow struct {
	Jobs map[string]struct {
		Steps []struct {
			Name string
			Run  string
			Uses string
		}
	}
}

var (
	script = regexp.MustCompile(`(?:^|[\s("])((?:hack|\.ci)/[\w./-]+)`)
	target = regexp.MustCompile(`(?:^|[\s("])make ([\w-]+)`)
)

// TestWorkflowsAreThin: a step runs one line, which a developer can run too. The
// scripts that it calls can be executed, and know the step that is named; make has
// the target.
func TestWorkflowsAreThin(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yml"))
	if err != nil {
		t.Fatal(err)
	}
	makefile := read(t, "Makefile")
	called := map[string]bool{}
	for _, file := range files {
		var w workflow
		if text, err := os.ReadFile(file); err != nil {
			t.Fatal(err)
		} else if err := yaml.Unmarshal(text, &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for job, j := range w.Jobs {
			for _, step := range j.Steps {
				where := filepath.Base(file) + ", job " + job + ", " + step.Name
				line := strings.TrimSpace(step.Run)
				if strings.ContainsAny(line, "\n;") || strings.Contains(line, "&&") || strings.Contains(line, "|") {
					t.Errorf("%s: more than one command: move them to a script in hack/", where)
				}
				for _, m := range script.FindAllStringSubmatch(line, -1) {
					called[m[1]] = true
					checkScript(t, where, m[1], strings.Fields(line))
				}
				for _, m := range target.FindAllStringSubmatch(line, -1) {
					if !strings.Contains("\n"+makefile, "\n"+m[1]+":") {
						t.Errorf("%s: the Makefile has no target %s", where, m[1])
					}
				}
			}
		}
	}
	for _, name := range []string{"hack/release", "hack/publish", "hack/deps", ".ci/run"} {
		if !called[name] {
			t.Errorf("no workflow calls %s, or this test does not see it", name)
		}
	}
}

// checkScript checks that a script runs here, by its permission and its syntax. A
// script that has steps has the one that the workflow names.
func checkScript(t *testing.T, where, name string, command []string) {
	t.Helper()
	info, err := os.Stat(filepath.Join(root, name))
	if err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("%s: %s is no executable file: %v", where, name, err)
		return
	}
	text := read(t, name)
	interpreter := strings.TrimPrefix(strings.SplitN(text, "\n", 2)[0], "#!")
	if _, err := (repository{T: t}).try(root, interpreter, "-n", name); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	if len(command) > 1 && strings.Contains(text, "case $1 in") && !strings.Contains(text, "\n"+command[1]+") ") {
		t.Errorf("%s: %s has no step %s", where, name, command[1])
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPublishRefuses: a wrong call publishes nothing.
func TestPublishRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		`want a version such as 6.15.0, not "v6.15.0"`: {"image", "v6.15.0"},
		`want a version such as 6.15.0, not ""`:        {"image"},
		"unknown step picture":                         {"picture", "6.15.0"},
	} {
		out, err := repository{T: t}.try(root, append([]string{"hack/publish"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%v: %q, error %v; want %q", args, out, err, want)
		}
	}
}
