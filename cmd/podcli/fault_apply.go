package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
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
	c.examples = []string{"podcli fault apply examples/scenarios/brown-out.yaml", "podcli fault apply --rule slow scenario.yaml --server pod-0:9797 --token-file token",
		"podcli fault apply scenario.yaml --selector app=podinfo -n test"}
	a := &applier{api: addFaultAPI(c.flags)}
	c.flags.StringVar(&a.rule, "rule", "", "apply only the rule with this `name` from the file")
	c.flags.StringVar(&a.tag, "if-match", "", "apply only if the rules on the server have this `etag`")
	a.out = addOutput(c.flags, "o")
	return a.api.command(c, func(ctx context.Context, args []string) error { return a.apply(ctx, args[0]) })
}

// read returns the path and the body of the request.
func (a *applier) read(name string) (path string, body []byte, err error) {
	f, err := faultclient.ReadFile(name, a.rule, scenario.Server{})
	if err != nil {
		return "", nil, err
	}
	f.Warn(os.Stderr)
	if a.rule != "" {
		if err := f.Select(a.rule); err != nil {
			return "", nil, err
		}
	}
	path, body = f.Request()
	return path, body, nil
}

func (a *applier) apply(ctx context.Context, file string) error {
	path, body, err := a.read(file)
	if err != nil {
		return err
	}
	before, err := a.api.Call(ctx, "GET", "", "", nil)
	if err != nil {
		return err
	}
	tag := before.ETag
	if a.tag != "" {
		tag = a.tag
	}
	after, err := a.api.Call(ctx, "PUT", path, tag, body)
	if errors.Is(err, faultclient.ErrChanged) {
		return fmt.Errorf("%s: %w; nothing was applied. Run \"podcli fault list\" for the current rules and their etag", a.api.Name, err)
	}
	if err != nil {
		return err
	}
	for _, w := range after.Warnings {
		fmt.Fprintln(os.Stderr, oneLine("warning: "+w))
	}
	return printChange(before, after, a.out)
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
		before, err := api.Call(ctx, "GET", "", "", nil)
		if err != nil {
			return err
		}
		after, err := api.Remove(ctx, before, names)
		if after != nil {
			err = errors.Join(printChange(before, after, out), err)
		}
		return err
	})
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
		rules, err := api.Call(ctx, "POST", "/"+name, "", nil)
		if err != nil {
			return err
		}
		if out.json {
			return printJSON(map[string]any{"paused": rules.Paused, "rules": len(rules.Rules)})
		}
		fmt.Printf("%sd: %s\n", name, faultclient.Plural(len(rules.Rules), "rule"))
		return nil
	})
}

// printChange prints the difference between two sets of rules.
func printChange(before, after *faultclient.Rules, out *output) error {
	c := faultclient.Compare(before, after)
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
		faultclient.Plural(len(c.Added)+len(c.Changed)+len(c.Kept), "rule"), len(c.Added), len(c.Changed), len(c.Removed), len(c.Kept))
	return nil
}
