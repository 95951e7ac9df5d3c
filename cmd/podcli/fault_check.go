package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// faultFile is a file with a scenario, or with a single rule if rule is not nil.
type faultFile struct {
	name     string
	text     []byte
	scenario *scenario.Scenario
	rule     *scenario.Rule
	warnings []*scenario.Error
}

// mistakes are the mistakes in a file, sorted by line.
type mistakes []*scenario.Error

func (m mistakes) Error() string { return plural(len(m), "mistake") }

// readFaults reads and parses a file, or standard input for "-". rule is the name
// of a single rule that does not contain its name. The error is of type mistakes.
func readFaults(name, rule string, on scenario.Server) (*faultFile, error) {
	f := &faultFile{name: name, scenario: new(scenario.Scenario)}
	if name == "-" {
		f.name = "stdin"
	}
	var err error
	if f.text, err = readInput(name); err != nil {
		if path, ok := errors.AsType[*os.PathError](err); ok {
			err = path.Err
		}
		return f, mistakesOf(f.name, err)
	}
	if isRule(f.text) {
		f.rule, err = scenario.ParseRule(f.name, rule, f.text)
		f.scenario.Rules = []*scenario.Rule{f.rule}
		if err == nil {
			f.warnings = scenario.Warnings(f.name, f.scenario, on)
		}
	} else {
		f.scenario, f.warnings, err = scenario.Lint(f.name, f.text, on)
	}
	return f, mistakesOf(f.name, err)
}

// readInput reads at most one byte more than is allowed, so that the parser detects
// a file that is too large.
func readInput(name string) ([]byte, error) {
	in := os.Stdin
	if name != "-" {
		var err error
		if in, err = os.Open(name); err != nil {
			return nil, err
		}
		defer in.Close()
	}
	return io.ReadAll(io.LimitReader(in, scenario.MaxBytes+1))
}

// isRule reports whether text is a single rule: it has keys of a rule and none of a
// scenario.
func isRule(text []byte) bool {
	var keys map[string]yaml.Node
	if len(text) > scenario.MaxBytes || yaml.Unmarshal(text, &keys) != nil {
		return false
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { _, ok := keys[name]; return ok })
	}
	return has(scenario.RuleKeys()...) && !has("seed", "rules")
}

// mistakesOf splits a parser's error into mistakes.
func mistakesOf(file string, err error) error {
	if err == nil {
		return nil
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	var out mistakes
	for _, err := range all {
		m, ok := errors.AsType[*scenario.Error](err)
		if !ok {
			m = &scenario.Error{File: file, Problem: err.Error()}
		}
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b *scenario.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Problem, b.Problem))
	})
	return out
}

// printMistakes prints mistakes, one per line, and returns errFailed. It returns
// any other error unchanged.
func printMistakes(err error) error {
	m, ok := errors.AsType[mistakes](err)
	if !ok {
		return err
	}
	for _, e := range m {
		fmt.Fprintln(os.Stderr, oneLine(e.Error()))
	}
	return errFailed
}

// warn prints the warnings about the file.
func (f *faultFile) warn() {
	for _, w := range f.warnings {
		e := *w
		e.Problem = "warning: " + e.Problem
		fmt.Fprintln(os.Stderr, oneLine(e.Error()))
	}
}

// server describes the server that a scenario is for, which podcli does not know: it
// may have routes besides those of podinfo.
func server(maxDelay time.Duration) scenario.Server {
	return scenario.Server{MaxDelay: maxDelay, Routes: stockRoutes(), Others: true}
}

// addMaxDelay adds the flag for a server's longest delay.
func addMaxDelay(flags *pflag.FlagSet) *time.Duration {
	return flags.Duration("max-delay", time.Minute, "longest delay; the server's setting is PODINFO_FAULTS_MAX_DELAY")
}

func faultCheck() *command {
	c := newCommand("check", "FILE...", "Check scenario files and report every mistake.")
	c.details = `The check needs no server. FILE is a scenario or a single rule, in YAML or JSON; -
means standard input. A mistake is reported with FILE:LINE:COLUMN, the rule, the
field and the accepted values. A warning is printed for a rule that will not do
what it says: one that can never hit, because earlier rules hit all requests that
it matches, one whose delay is longer than a server allows, or one that needs
internal: true to match an internal path such as /readyz. A server itself also warns
of paths that it does not serve, in its log and in podinfo check. The exit code is 1
if there is a mistake.`
	c.examples = []string{"podcli fault check examples/scenarios/*.yaml", `kubectl get configmap faults -o jsonpath="{.data.scenario\.yaml}" | podcli fault check -`}
	out := addOutput(c.flags, "o")
	most := addMaxDelay(c.flags)
	c.do = func(_ context.Context, files []string) error {
		if len(files) == 0 {
			return c.usagef("give at least one FILE; example: %s", c.examples[0])
		}
		var failed error
		for _, name := range files {
			if err := checkFaults(name, server(*most), out.json); err != nil {
				failed = err
			}
		}
		return c.finish(failed)
	}
	return c
}

func checkFaults(name string, on scenario.Server, asJSON bool) error {
	f, err := readFaults(name, "", on)
	if asJSON {
		m, wrong := errors.AsType[mistakes](err)
		o := map[string]any{"file": f.name, "ok": !wrong, "rules": len(f.scenario.Rules), "errors": mistakeObjects(m), "warnings": mistakeObjects(f.warnings)}
		if err := printJSON(o); err != nil || !wrong {
			return err
		}
		return errFailed
	}
	if err != nil {
		return printMistakes(err)
	}
	f.warn()
	fmt.Printf("%s: %s\n", oneLine(f.name), plural(len(f.scenario.Rules), "rule"))
	return nil
}

func mistakeObjects(list []*scenario.Error) []map[string]any {
	out := []map[string]any{}
	for _, e := range list {
		rule, err := strconv.Unquote(e.Rule)
		if err != nil {
			rule = e.Rule // "#3"
		}
		out = append(out, map[string]any{"line": e.Line, "column": e.Column, "rule": rule, "field": e.Field, "problem": e.Problem})
	}
	return out
}
