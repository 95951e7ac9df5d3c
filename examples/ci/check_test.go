package ci

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the files into docs/in-ci.md")

// scenario matches the rules in a file of any of the languages here, with their
// indentation.
var scenario = regexp.MustCompile(`(?m)^( *)rules:\n(?: *- name: .*\n(?: *(?:match|when|fault): .*\n)+)+`)

// TestScenarios: all files have the same rules, which podinfo accepts.
func TestScenarios(t *testing.T) {
	podinfo := program(t)
	var first string
	for _, file := range []string{"service-container.yml", "compose.yaml", "PodinfoTest.java", "podinfo_test.go"} {
		rules := scenarioOf(t, file)
		if first == "" {
			first = rules
		}
		if rules != first {
			t.Errorf("%s: the scenario\n%sdiffers from\n%s", file, rules, first)
		}
	}
	cmd := exec.CommandContext(t.Context(), podinfo, "check")
	cmd.Env = append(os.Environ(), "PODINFO_FAULTS="+first)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("podinfo check: %v\n%s", err, out)
	}
}

func scenarioOf(t *testing.T, file string) string {
	t.Helper()
	m := scenario.FindStringSubmatch(read(t, file))
	if m == nil {
		t.Fatalf("%s has no scenario", file)
	}
	return regexp.MustCompile(`(?m)^`+m[1]).ReplaceAllString(m[0], "")
}

// TestWorkflow checks the workflow with actionlint, and runs the commands of its
// steps against podinfo with its environment.
func TestWorkflow(t *testing.T) {
	lint := exec.CommandContext(t.Context(), "go", "tool", "-modfile=hack/tools/actionlint/go.mod", "actionlint", "examples/ci/service-container.yml")
	lint.Dir = "../.."
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
	var workflow struct {
		Jobs map[string]struct {
			Services map[string]struct{ Env map[string]string }
			Steps    []struct{ Run string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "service-container.yml")), &workflow); err != nil {
		t.Fatal(err)
	}
	job := workflow.Jobs["test"]
	address := serve(t, job.Services["podinfo"].Env)
	if len(job.Steps) < 2 {
		t.Fatalf("%d steps", len(job.Steps))
	}
	for _, step := range job.Steps {
		shell(t, address, step.Run)
	}
}

// TestCompose loads the file with the library of docker compose, which validates
// it against the schema, and runs the command of the health check.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"compose.yaml"}, cli.WithName("ci"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	podinfo := project.Services["podinfo"]
	environment := map[string]string{}
	for name, value := range podinfo.Environment {
		environment[name] = *value
	}
	address := serve(t, environment)
	check := podinfo.HealthCheck.Test
	if len(check) < 2 || check[0] != "CMD" {
		t.Fatalf("health check %q: the image has no shell, so it has to begin with CMD", check)
	}
	shell(t, address, strings.Join(check[1:], " "))
}

// TestTiltfile runs the Tiltfile with the interpreter of Tilt. Its functions only
// record what they are called with.
func TestTiltfile(t *testing.T) {
	calls := map[string]string{} // resources by function
	record := func(_ *starlark.Thread, f *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		name, _ := starlark.AsString(args[0])
		calls[f.Name()] = name
		return starlark.None, nil
	}
	functions := starlark.StringDict{}
	for _, name := range []string{"docker_compose", "dc_resource", "local_resource"} { // https://docs.tilt.dev/api.html
		functions[name] = starlark.NewBuiltin(name, record)
	}
	if _, err := starlark.ExecFileOptions(&syntax.FileOptions{}, new(starlark.Thread), "Tiltfile", nil, functions); err != nil {
		t.Fatal(err)
	}
	if calls["docker_compose"] != "compose.yaml" || calls["dc_resource"] != "podinfo" || calls["local_resource"] != "retries" {
		t.Errorf("calls %v", calls)
	}
	command := regexp.MustCompile(`cmd='(.*)'`).FindStringSubmatch(read(t, "Tiltfile"))
	shell(t, serve(t, map[string]string{"PODINFO_FAULTS": scenarioOf(t, "compose.yaml")}), command[1])
}

// TestJava parses the file. Compiling it takes libraries that come from Maven.
func TestJava(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("no java: install default-jdk-headless")
	}
	if out, err := exec.CommandContext(t.Context(), java, "testdata/Parse.java", "PodinfoTest.java").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDocs: docs/in-ci.md shows each file. With -update it writes them into it.
func TestDocs(t *testing.T) {
	const page = "../../docs/in-ci.md"
	before, shown := read(t, page), []string{}
	block := regexp.MustCompile("(?s)<!-- file: examples/ci/(\\S+) -->\n\n(```\\w+\n)(.*?)```\n")
	after := block.ReplaceAllStringFunc(before, func(text string) string {
		m := block.FindStringSubmatch(text)
		shown = append(shown, m[1])
		return strings.Replace(text, m[2]+m[3]+"```\n", m[2]+read(t, m[1])+"```\n", 1)
	})
	for _, file := range []string{"service-container.yml", "compose.yaml", "Tiltfile", "PodinfoTest.java", "podinfo_test.go"} {
		if !slices.Contains(shown, file) {
			t.Errorf("%s does not show %s", page, file)
		}
	}
	switch {
	case after == before:
	case *update:
		if err := os.WriteFile(page, []byte(after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is out of date: run `go test -run TestDocs . -update` in examples/ci", page)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
