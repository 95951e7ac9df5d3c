package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/seed-4591fe7d/podinfo/internal/suggest"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// applier is the command fault apply.
type applier struct {
	api       *faultAPI
	rule, tag string
	out       *output
}

func faultApply() *command {
	c := newCommand("apply", "FILE", "Replace all rules of a server, or a single one.")
	c.details = `FILE is either a scenario, which replaces all rules, or a single rule, which
replaces the rule with the same name or is added after the others; - means
standard input. The file is checked first, as with "podcli fault check". Nothing
is applied if another client changes the rules at the same time or, with
--if-match, has changed them since "podcli fault list" printed that etag. A rule
that does not change keeps its counters.`
	c.examples = []string{"podcli fault apply examples/scenarios/brown-out.yaml", "podcli fault apply --rule slow scenario.yaml --server pod-0:9797 --token-file token"}
	a := &applier{api: addFaultAPI(c.flags)}
	c.flags.StringVar(&a.rule, "rule", "", "apply only the rule with this `name` from the file")
	c.flags.StringVar(&a.tag, "if-match", "", "apply only if the rules on the server have this `etag`")
	a.out = addOutput(c.flags, "o")
	return a.api.command(c, func(ctx context.Context, args []string) error { return a.apply(ctx, args[0]) })
}

// read returns the path and the body of the request.
func (a *applier) read(name string) (path string, body []byte, err error) {
	f, err := readFaults(name, a.rule, scenario.Server{})
	if err != nil {
		return "", nil, err
	}
	f.warn()
	switch {
	case a.rule != "":
		at := slices.IndexFunc(f.scenario.Rules, func(r *scenario.Rule) bool { return r.Name == a.rule })
		if at < 0 {
			return "", nil, fmt.Errorf("%s has no rule %q%s", f.name, a.rule, suggest.Word(a.rule, ruleNames(f.scenario)))
		}
		f.rule = f.scenario.Rules[at]
	case f.rule == nil:
		return "", f.text, nil
	}
	return rulePath(f.rule.Name), f.rule.JSON(), nil
}

func ruleNames(s *scenario.Scenario) (names []string) {
	for _, r := range s.Rules {
		names = append(names, r.Name)
	}
	return names
}

func (a *applier) apply(ctx context.Context, file string) error {
	path, body, err := a.read(file)
	if err != nil {
		return err
	}
	before, err := a.api.call(ctx, "GET", "", "", nil)
	if err != nil {
		return err
	}
	tag := before.ETag
	if a.tag != "" {
		tag = a.tag
	}
	after, err := a.api.call(ctx, "PUT", path, tag, body)
	if errors.Is(err, errChanged) {
		return fmt.Errorf("%s: %w; nothing was applied. Run \"podcli fault list\" for the current rules and their etag", a.api.base.Redacted(), err)
	}
	if err != nil {
		return err
	}
	for _, w := range after.Warnings {
		fmt.Fprintln(os.Stderr, oneLine("warning: "+w))
	}
	return compare(before, after).print(a.out)
}

func faultRemove() *command {
	c := newCommand("rm", "[NAME]...", "Remove rules from a server.")
	c.examples = []string{"podcli fault rm checkout-is-slow", "podcli fault rm --all"}
	api := addFaultAPI(c.flags)
	all := c.flags.Bool("all", false, "remove every rule")
	out := addOutput(c.flags, "o")
	return api.command(c, func(ctx context.Context, names []string) error {
		if *all == (len(names) > 0) {
			return usage(errors.New("give the names of rules, or --all; example: " + c.examples[0]))
		}
		before, err := api.call(ctx, "GET", "", "", nil)
		if err != nil {
			return err
		}
		after, err := api.remove(ctx, before, names)
		if after != nil {
			err = errors.Join(compare(before, after).print(out), err)
		}
		return err
	})
}

// remove removes the named rules, or all rules when there are no names. It removes
// nothing if one of the rules does not exist. If it fails after removing some
// rules, it returns the remaining ones together with the error.
func (a *faultAPI) remove(ctx context.Context, rules *faultRules, names []string) (left *faultRules, err error) {
	if len(names) == 0 {
		return a.call(ctx, "DELETE", "", "", nil)
	}
	existing := rules.names()
	for _, name := range names {
		if !slices.Contains(existing, name) {
			return nil, fmt.Errorf("%s has no rule %q%s", a.base.Redacted(), name, suggest.Word(name, existing))
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		next, err := a.call(ctx, "DELETE", rulePath(name), rules.ETag, nil)
		if err != nil {
			return left, fmt.Errorf("removing %s: %w", name, err)
		}
		left, rules = next, next
	}
	return left, nil
}

func faultPause() *command {
	return faultSwitch("pause", "Pause all rules of a server. Their timers keep running.")
}

func faultResume() *command { return faultSwitch("resume", "Resume the rules of a server.") }

func faultSwitch(name, doc string) *command {
	c := newCommand(name, "", doc)
	c.examples = []string{"podcli fault " + name}
	api := addFaultAPI(c.flags)
	out := addOutput(c.flags, "o")
	return api.command(c, func(ctx context.Context, _ []string) error {
		rules, err := api.call(ctx, "POST", "/"+name, "", nil)
		if err != nil {
			return err
		}
		if out.json {
			return printJSON(map[string]any{"paused": rules.Paused, "rules": len(rules.Rules)})
		}
		fmt.Printf("%sd: %s\n", name, plural(len(rules.Rules), "rule"))
		return nil
	})
}

// change is the difference between two sets of rules.
type change struct {
	ETag    string   `json:"etag"`
	Added   []string `json:"added"`
	Changed []string `json:"changed"`
	Removed []string `json:"removed"`
	Kept    []string `json:"kept"`
}

func compare(before, after *faultRules) *change {
	c := &change{ETag: after.ETag, Added: []string{}, Changed: []string{}, Removed: []string{}, Kept: []string{}}
	old := map[string][]byte{}
	for _, s := range before.Rules {
		old[s.name] = s.Rule
	}
	for _, s := range after.Rules {
		rule, was := old[s.name]
		delete(old, s.name)
		switch {
		case !was:
			c.Added = append(c.Added, s.name)
		case bytes.Equal(rule, s.Rule):
			c.Kept = append(c.Kept, s.name)
		default:
			c.Changed = append(c.Changed, s.name)
		}
	}
	for _, s := range before.Rules {
		if _, gone := old[s.name]; gone {
			c.Removed = append(c.Removed, s.name)
		}
	}
	return c
}

func (c *change) print(out *output) error {
	if out.json {
		return printJSON(c)
	}
	for _, part := range []struct {
		sign  string
		names []string
	}{{"+", c.Added}, {"~", c.Changed}, {"-", c.Removed}} {
		for _, name := range part.names {
			fmt.Println(part.sign, oneLine(name))
		}
	}
	fmt.Printf("%s now: %d added, %d changed, %d removed, %d unchanged\n",
		plural(len(c.Added)+len(c.Changed)+len(c.Kept), "rule"), len(c.Added), len(c.Changed), len(c.Removed), len(c.Kept))
	return nil
}
