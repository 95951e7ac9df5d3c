package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
)

// Limits of a file.
const (
	MaxBytes = 1 << 20
	MaxRules = 10000

	maxAliased = 100_000 // values: aliases of aliases multiply
)

// Error is one mistake in a scenario.
type Error struct {
	File         string
	Line, Column int    // 0 when unknown
	Rule         string // quoted name, or "#3" for the third rule when it has none
	Field        string // path below the rule: "fault.status"
	Problem      string
}

// Error returns one line with the position, the rule, the field and the
// problem.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Rule != "" {
		fmt.Fprintf(&b, "rule %s: ", e.Rule)
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Problem)
	return b.String()
}

// Parse reads a scenario in YAML or JSON. file is its name in errors. The error
// joins an [*Error] for every mistake.
func Parse(file string, b []byte) (*Scenario, error) {
	s := new(Scenario)
	d, root, err := open(file, b)
	if err != nil {
		return s, err
	}
	d.read(root, s)
	return s, errors.Join(d.errs...)
}

// Checked returns a copy of a scenario that was built in Go, after the checks of
// Parse. The error joins an [*Error] for every mistake.
func (s *Scenario) Checked() (*Scenario, error) {
	whole := *s
	if whole.Rules == nil {
		whole.Rules = []*Rule{}
	}
	b, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	d, root, err := open("scenario", b)
	if err != nil {
		return nil, err
	}
	out := new(Scenario)
	d.unplaced = true
	d.read(root, out)
	return out, errors.Join(d.errs...)
}

// read decodes a document into s and collects its mistakes.
func (d *decoder) read(root *yaml.Node, s *Scenario) {
	d.value(root, reflect.ValueOf(s).Elem(), "", "")
	d.check(s)
}

// RuleKeys returns the keys of a rule.
func RuleKeys() []string { return keysOf(reflect.TypeFor[Rule]()) }

// ParseRule reads a single rule, such as the body of a request or the value of
// a header. name is the name of a rule that does not contain one.
func ParseRule(file, name string, b []byte) (*Rule, error) {
	r := new(Rule)
	d, root, err := open(file, b)
	if err != nil {
		return r, err
	}
	d.named = name
	d.rule = strconv.Quote(name)
	d.value(root, reflect.ValueOf(r).Elem(), "", "")
	if r.Name == "" {
		r.Name = name
	}
	if len(d.errs) == 0 {
		d.checkRule(r)
	}
	return r, errors.Join(d.errs...)
}

// decoder walks a document and collects every mistake.
type decoder struct {
	file         string
	named        string // default name of a single rule
	rule         string // the rule being read, as errors name it
	under        string // field of the rule that checks are for, with a dot
	errs         []error
	bad          map[int]bool          // rules with mistakes, by index
	instructions int                   // of regular expressions
	limited      bool                  // the rule being checked has a limit
	unplaced     bool                  // leave lines and columns out of errors
	inAlias      int                   // depth of aliases being read
	aliased      int                   // values read through aliases
	at           map[string]*yaml.Node // nodes of fields, by rule and path
}

var yamlLine = lazyregexp.New(`^yaml: (?:line (\d+)(?:, column (\d+))?: )?`)

func open(file string, b []byte) (*decoder, *yaml.Node, error) {
	d := &decoder{file: file, bad: map[int]bool{}, at: map[string]*yaml.Node{}}
	if len(b) > MaxBytes {
		return d, nil, &Error{File: file, Problem: fmt.Sprintf("larger than %d bytes", MaxBytes)}
	}
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	err := dec.Decode(&doc)
	if err == nil && dec.Decode(&more) != io.EOF && !empty(&more) {
		return d, nil, &Error{File: file, Line: more.Line, Column: more.Column, Problem: "more than one YAML document; remove the --- between them"}
	}
	if err != nil && err != io.EOF {
		text := strings.ReplaceAll(err.Error(), "\n", " ")
		e := &Error{File: file, Problem: yamlLine().ReplaceAllString(text, "")}
		if m := yamlLine().FindStringSubmatch(text); m != nil && m[1] != "" {
			e.Line, _ = strconv.Atoi(m[1])
			e.Column = 1
		}
		return d, nil, e
	}
	if len(doc.Content) == 0 || empty(&doc) {
		return d, nil, &Error{File: file, Problem: "empty, as while it is being written; use rules: [] for no rules"}
	}
	return d, doc.Content[0], nil
}

// empty reports whether a document has no content, as after a --- at the end.
func empty(doc *yaml.Node) bool {
	return len(doc.Content) == 1 && doc.Content[0].Tag == "!!null"
}

func (d *decoder) fail(n *yaml.Node, field, format string, args ...any) {
	e := &Error{File: d.file, Rule: d.rule, Field: field, Problem: fmt.Sprintf(format, args...)}
	if n != nil && !d.unplaced {
		e.Line, e.Column = n.Line, n.Column
	}
	d.errs = append(d.errs, e)
}
