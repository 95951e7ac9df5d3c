package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-4591fe7d/podinfo/internal/suggest"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// applier is the apply command.
type applier struct {
	api       *faultAPI
	rule, tag string
	out       *output
}

func faultApply() *command {
	c := newCommand("apply", "FILE", "Replace the rules of a server, or one of them.")
	c.more = `FILE is a scenario, which replaces all rules, or a single rule, which replaces
the one of its name or is added behind the others; - is the standard input. It is
checked first, as "podcli fault check" does. Nothing is changed when somebody
else changed the rules at the same time, or since "podcli fault list" told the
etag that is given by --if-match. A rule that stays as it was goes on counting.`
	c.examples = []string{"podcli fault apply examples/scenarios/brown-out.yaml", "podcli fault apply --rule slow scenario.yaml --server pod-0:9797 --token-file token"}
	a := &applier{api: addFaultAPI(c.flags)}
	c.flags.StringVar(&a.rule, "rule", "", "`name` of the only rule of the file to apply")
	c.flags.StringVar(&a.tag, "if-match", "", "`etag` that the rules on the server must still have")
	a.out = addOutput(c.flags, "o")
	return a.api.command(c, func(ctx context.Context, args []string) error { return a.apply(ctx, args[0]) })
}

// read is what to send, and where.
func (a *applier) read(name string) (path string, body []byte, err error) {
	f, err := readFaults(name, a.rule)
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
	before, err := a.api.ask(ctx, "GET", "", "", nil)
	if err != nil {
		return err
	}
	tag := before.ETag
	if a.tag != "" {
		tag = a.tag
	}
	after, err := a.api.ask(ctx, "PUT", path, tag, body)
	if errors.Is(err, errChanged) {
		return fmt.Errorf("%s: %w; nothing was applied. \"podcli fault list\" shows them, with the etag that they have now", a.api.base.Redacted(), err)
	}
	if err != nil {
		return err
	}
	return compare(before, after).print(a.out)
}

func faultRemove() *command {
	c := newCommand("rm", "[NAME]...", "Remove rules of a server.")
	c.examples = []string{"podcli fault rm checkout-is-slow", "podcli fault rm --all"}
	api := addFaultAPI(c.flags)
	all := c.flags.Bool("all", false, "remove every rule")
	out := addOutput(c.flags, "o")
	return api.command(c, func(ctx context.Context, names []string) error {
		if *all == (len(names) > 0) {
			return errors.New("want names of rules, or --all; for example: " + c.examples[0])
		}
		before, err := api.ask(ctx, "GET", "", "", nil)
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

// remove removes the rules that have these names, or all. When it fails on the
// way it also returns what is left. Nothing is removed when there is no rule of
// one of the names.
func (a *faultAPI) remove(ctx context.Context, rules *faultRules, names []string) (left *faultRules, err error) {
	if len(names) == 0 {
		return a.ask(ctx, "DELETE", "", "", nil)
	}
	there := rules.names()
	for _, name := range names {
		if !slices.Contains(there, name) {
			return nil, fmt.Errorf("%s has no rule %q%s", a.base.Redacted(), name, suggest.Word(name, there))
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		next, err := a.ask(ctx, "DELETE", rulePath(name), rules.ETag, nil)
		if err != nil {
			return left, fmt.Errorf("removing %s: %w", name, err)
		}
		left, rules = next, next
	}
	return left, nil
}

func faultPause() *command {
	return faultSwitch("pause", "Stop all rules of a server for now. Their clocks go on.")
}

func faultResume() *command { return faultSwitch("resume", "Let the rules of a server go on.") }

func faultSwitch(word, doc string) *command {
	c := newCommand(word, "", doc)
	c.examples = []string{"podcli fault " + word}
	api := addFaultAPI(c.flags)
	out := addOutput(c.flags, "o")
	return api.command(c, func(ctx context.Context, _ []string) error {
		rules, err := api.ask(ctx, "POST", "/"+word, "", nil)
		if err != nil {
			return err
		}
		if out.json {
			return printJSON(map[string]any{"paused": rules.Paused, "rules": len(rules.Rules)})
		}
		fmt.Printf("%sd: %s\n", word, plural(len(rules.Rules), "rule"))
		return nil
	})
}

// change is what has become of the rules.
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
	fmt.Printf("%s now: %d added, %d changed, %d removed, %d as before\n",
		plural(len(c.Added)+len(c.Changed)+len(c.Kept), "rule"), len(c.Added), len(c.Changed), len(c.Removed), len(c.Kept))
	return nil
}
