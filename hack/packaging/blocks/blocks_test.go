package blocks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/seed-4591fe7d/podinfo/hack/documents/pages"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/chart"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/manifests"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/packagingtest"
)

var (
	checker *manifests.Checker
	podcli  string
)

func TestMain(m *testing.M) {
	os.Exit(packagingtest.Main(m, func(program string, c *manifests.Checker) {
		checker, podcli = c, filepath.Join(filepath.Dir(program), "podcli")
		if out, err := exec.Command("go", "build", "-C", packagingtest.Root, "-o", podcli, "./cmd/podcli").CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%v\n%s", err, out))
		}
	}))
}

// kinds are the kinds of YAML that pages contain. The first whose key is in a block
// checks it.
var kinds = []struct {
	key   string // at the top level
	check func(text string) error
}{
	{"kind", checkManifest},
	{"jobs", checkWorkflow},
	{"services", checkCompose},
	{"resources", checkKustomization},
	{"rules", checkScenario},
	{"faults", checkValues}, // of the chart
}

// TestYAML checks every YAML block of the pages.
func TestYAML(t *testing.T) {
	all, err := pages.All()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		for _, b := range p.Blocks {
			if b.Language != "yaml" {
				continue
			}
			n++
			if err := check(b.Text); err != nil {
				t.Errorf("%s:%d: %v", p.Path, b.Line, err)
			}
		}
	}
	if n == 0 {
		t.Error("no blocks")
	}
}

// TestMistakes: each check finds a mistake.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"key: value": "no tool checks",
		"- a":        "no tool checks",
		"apiVersion: v1\nkind: Service\nmetadata: {nam: a}":                                                                                "'nam' not allowed",
		"apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: a}\nspec: {analyses: {}}":                                         "'analyses' not allowed",
		"apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: a}\nspec: {url: ghcr.io/a, interval: 1m}":          "pattern",
		"apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a}\nspec: {prune: true}":                        "missing properties",
		"apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a}\nspec: {interval: 1m, values: {replicaCount: two}}": "replicaCount",
		"on: push\njobs: {a: {runs-on: ubuntu-24.04, step: []}}":                                                                           `unexpected key "step"`,
		"services: {a: {image: b}}":                                        "examples/ci/compose.yaml",
		"resources: [a]\nconfigMapsGenerator: []":                          "configMapsGenerator",
		"rules: [{name: a, fault: {statsu: 503}}]":                         "statsu",
		"rules: [{name: a, match: {path: /readyz}, fault: {reset: true}}]": "internal route",
		"faults: {delays: true}":                                           "faults",
	} {
		if err := check(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot error %v, want %q", text, err, want)
		}
	}
}

func check(text string) error {
	var fields map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &fields); err != nil {
		return fmt.Errorf("no tool checks this: %w", err)
	}
	for _, k := range kinds {
		if _, ok := fields[k.key]; ok {
			return k.check(text)
		}
	}
	return fmt.Errorf("no tool checks this block: add its kind to the table in hack/packaging/blocks\n%s", text)
}

// checkManifest checks objects against the schemas of Kubernetes and of the CRDs, and
// the values of a HelmRelease against the chart.
func checkManifest(text string) error {
	var errs []error
	for _, version := range manifests.Versions {
		errs = append(errs, checker.CheckSchemas(version, []byte(text)))
	}
	var release struct {
		Kind string
		Spec struct{ Values map[string]any }
	}
	err := yaml.Unmarshal([]byte(text), &release)
	if err == nil && release.Kind == "HelmRelease" {
		err = render(release.Spec.Values)
	}
	return errors.Join(append(errs, err)...)
}

func checkValues(text string) error {
	values, err := chart.ParseValues([]byte(text))
	return errors.Join(err, render(values))
}

// render renders the chart with values and checks the manifest.
func render(values map[string]any) error {
	files, err := chart.Render("podinfo", "1.35", values)
	if err != nil {
		return err
	}
	return checker.Check("1.35", []byte(chart.Manifest(chart.Documents(files))))
}

func checkWorkflow(text string) error {
	return run(text, "go", "tool", "-C", packagingtest.Root, "-modfile=hack/tools/actionlint/go.mod", "actionlint", "-no-color", "-")
}

// checkCompose accepts the file that examples/ci loads with the library of Docker
// Compose.
func checkCompose(text string) error {
	const file = "examples/ci/compose.yaml"
	tested, err := os.ReadFile(filepath.Join(packagingtest.Root, file))
	if err == nil && string(tested) != text {
		err = fmt.Errorf("differs from %s, the only Compose file that a test loads", file)
	}
	return err
}

func checkKustomization(text string) error {
	return new(types.Kustomization).Unmarshal([]byte(text))
}

func checkScenario(text string) error {
	return run(text, podcli, "fault", "check", "-")
}

// run runs a program. A warning on standard error is an error.
func run(input, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		return fmt.Errorf("%s: %v\n%s%s", filepath.Base(name), err, &stdout, &stderr)
	}
	return nil
}
