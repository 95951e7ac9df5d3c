// Package scenarios_test runs the scenarios of this folder.
package scenarios_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write schema.json and README.md")

// enough is the number of scenarios that the documentation promises.
const enough = 30

// names returns the names of the scenarios, which are the files without .yaml.
func names(t *testing.T) (out []string) {
	t.Helper()
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < enough {
		t.Fatalf("%d scenarios, want at least %d: %v", len(files), enough, err)
	}
	for _, file := range files {
		out = append(out, strings.TrimSuffix(file, ".yaml"))
	}
	return out
}

// TestScenarios runs each scenario against real connections and compares what
// clients see.
func TestScenarios(t *testing.T) {
	all := names(t)
	for name := range runs {
		if !slices.Contains(all, name) {
			t.Errorf("no scenario %s", name)
		}
	}
	for _, name := range all {
		if len(runs[name]) == 0 {
			t.Errorf("no run of scenario %s: add one", name)
		}
		for i, r := range runs[name] {
			t.Run(fmt.Sprint(name, "/", i+1), func(t *testing.T) {
				t.Parallel()
				r.test(t, name+".yaml")
			})
		}
	}
}

// test serves the scenario and runs the steps.
func (r run) test(t *testing.T, file string) {
	steps := func(t *testing.T) {
		on := r.on
		if on == nil {
			on = inMemory
		}
		c := on(t, file, r.env)
		defer c.close()
		for i, s := range r.steps {
			if problem := s.run(c); problem != "" {
				t.Errorf("step %d: %s", i+1, problem)
			}
		}
	}
	if r.loopback {
		steps(t)
	} else {
		synctest.Test(t, steps)
	}
}

// schema.json is the schema that editors use to complete the files.
func TestSchema(t *testing.T) {
	golden(t, "schema.json", scenario.Schema())
}

// golden compares a generated file, or writes it.
func golden(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != string(want) {
		t.Errorf("%s is out of date: run `go test ./examples/scenarios -update`: %v", name, err)
	}
}
