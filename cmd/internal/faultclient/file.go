package faultclient

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/internal/suggest"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// File is a file with a scenario, or with a single rule if Rule is not nil.
type File struct {
	Name     string
	Text     []byte
	Scenario *scenario.Scenario
	Rule     *scenario.Rule
	Warnings []*scenario.Error
}

// Mistakes are the mistakes in a file, sorted by line.
type Mistakes []*scenario.Error

func (m Mistakes) Error() string { return Plural(len(m), "mistake") }

// Print prints the mistakes, one per line.
func (m Mistakes) Print(out io.Writer) {
	for _, e := range m {
		fmt.Fprintln(out, OneLine(e.Error()))
	}
}

// ReadFile reads and parses a file, or standard input for "-". rule is the name of a
// single rule that does not contain its name. The error is of type [Mistakes].
func ReadFile(name, rule string, on scenario.Server) (*File, error) {
	f := &File{Name: name, Scenario: new(scenario.Scenario)}
	if name == "-" {
		f.Name = "stdin"
	}
	var err error
	if f.Text, err = readInput(name); err != nil {
		if path, ok := errors.AsType[*os.PathError](err); ok {
			err = path.Err
		}
		return f, mistakesOf(f.Name, err)
	}
	if isRule(f.Text) {
		f.Rule, err = scenario.ParseRule(f.Name, rule, f.Text)
		f.Scenario.Rules = []*scenario.Rule{f.Rule}
		if err == nil {
			f.Warnings = scenario.Warnings(f.Name, f.Scenario, on)
		}
	} else {
		f.Scenario, f.Warnings, err = scenario.Lint(f.Name, f.Text, on)
	}
	return f, mistakesOf(f.Name, err)
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
	var out Mistakes
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

// Warn prints the warnings about the file.
func (f *File) Warn(out io.Writer) {
	for _, w := range f.Warnings {
		e := *w
		e.Problem = "warning: " + e.Problem
		fmt.Fprintln(out, OneLine(e.Error()))
	}
}

// Select makes the rule with the given name the file's single rule.
func (f *File) Select(rule string) error {
	var names []string
	for _, r := range f.Scenario.Rules {
		if r.Name == rule {
			f.Rule = r
			return nil
		}
		names = append(names, r.Name)
	}
	return fmt.Errorf("%s has no rule %q%s", f.Name, rule, suggest.Word(rule, names))
}

// Request returns the path and the body of the PUT request that applies the file:
// the single rule, or the whole scenario.
func (f *File) Request() (path string, body []byte) {
	if f.Rule == nil {
		return "", f.Text
	}
	return RulePath(f.Rule.Name), f.Rule.JSON()
}
