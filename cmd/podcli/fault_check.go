package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// printMistakes prints mistakes, one per line, and returns errFailed. It returns
// any other error unchanged.
func printMistakes(err error) error {
	m, ok := errors.AsType[faultclient.Mistakes](err)
	if !ok {
		return err
	}
	m.Print(os.Stderr)
	return errFailed
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
	f, err := faultclient.ReadFile(name, "", on)
	if asJSON {
		m, wrong := errors.AsType[faultclient.Mistakes](err)
		o := map[string]any{"file": f.Name, "ok": !wrong, "rules": len(f.Scenario.Rules), "errors": mistakeObjects(m), "warnings": mistakeObjects(f.Warnings)}
		if err := printJSON(o); err != nil || !wrong {
			return err
		}
		return errFailed
	}
	if err != nil {
		return printMistakes(err)
	}
	f.Warn(os.Stderr)
	fmt.Printf("%s: %s\n", oneLine(f.Name), faultclient.Plural(len(f.Scenario.Rules), "rule"))
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
