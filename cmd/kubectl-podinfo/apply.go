package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// applier is the command fault apply.
type applier struct {
	watchFlags
	rule                    string
	watch, untilInterrupted bool

	file  *faultclient.File
	fleet *fleet
}

func applyCommand() *cobra.Command {
	a := new(applier)
	c, _ := command("apply FILE", "Replace the rules of all pods, or a single one.", `FILE is a scenario, which replaces all rules, or a single rule, which replaces the rule
with the same name or is added after the others; - means standard input. The file is
checked first. Then the rules of all pods are read, and then they are changed at the
same time. Pods that are being deleted get no rules.

With --watch the command goes on: it shows the pods, and gives the same rules to pods
that start later. It does not change the rules of a pod back if another client changes
them. With --until-interrupted it also removes the rules from all pods at the end,
which is Ctrl-C, SIGTERM, SIGHUP or the end of --duration.

The exit code is 0 if all pods follow, 1 if one does not, and 2 if nothing was sent
because of the command line.`, `  kubectl podinfo fault apply scenario.yaml --selector app=podinfo -n test
  kubectl podinfo fault apply scenario.yaml -l app=podinfo --until-interrupted --token-secret podinfo-faults/token`, a.run)
	c.Args = exactly(1, "FILE")
	c.Flags().StringVar(&a.rule, "rule", "", "apply only the rule with this `name` from the file")
	c.Flags().BoolVar(&a.watch, "watch", false, "show the pods, and give the rules to pods that start later")
	c.Flags().BoolVar(&a.untilInterrupted, "until-interrupted", false, "--watch, and remove the rules from all pods at the end")
	a.watchFlags.add(c.Flags())
	return c
}

// exactly accepts a number of arguments.
func exactly(n int, name string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n && n > 0 {
			return usageError{fmt.Errorf("%s takes one %s, got %d arguments", c.Name(), name, len(args))}
		}
		if len(args) != n {
			return usageError{fmt.Errorf("%s takes no arguments, got %q", c.Name(), args[0])}
		}
		return nil
	}
}

func (a *applier) run(c *cobra.Command, f *flags, args []string) (err error) {
	a.watch = a.watch || a.untilInterrupted
	err = a.check()
	if !a.watch && (c.Flags().Changed("interval") || c.Flags().Changed("duration")) {
		err = errors.New("--interval and --duration have no effect without --watch or --until-interrupted")
	}
	if err != nil {
		return usageError{err}
	}
	if a.file, err = faultclient.ReadFile(args[0], a.rule, scenario.Server{}); err != nil {
		return usageError{err}
	}
	a.file.Warn(os.Stderr)
	if a.rule != "" {
		if err := a.file.Select(a.rule); err != nil {
			return usageError{err}
		}
	}
	ctx := c.Context()
	if a.fleet, err = openFleet(ctx, f, os.Stderr); err != nil {
		return err
	}
	defer a.fleet.close()
	if a.watch {
		return a.keep(ctx)
	}
	return a.report(a.apply(ctx)).print()
}

// apply sends the rules to the pods that have not got them. An interruption does not
// end it, so that it is known which pods have them.
func (a *applier) apply(ctx context.Context) time.Duration {
	path, body := a.file.Request()
	return a.fleet.apply(context.WithoutCancel(ctx), path, body)
}

func (a *applier) report(took time.Duration) *report {
	r := &report{fleet: a.fleet, state: follows, summary: "%d of %d follow"}
	if took > 0 {
		r.suffix = fmt.Sprintf(", changed within %s", took.Round(time.Millisecond))
	}
	return r
}

// keep applies the rules until ctx ends.
func (a *applier) keep(ctx context.Context) error {
	if a.untilInterrupted {
		signal.Ignore(syscall.SIGPIPE) // Ctrl-C ends the reader of the output too, and the rules must be removed
	}
	s := newScreen()
	watchErr := a.fleet.watch(ctx, &a.watchFlags, func() {
		a.apply(ctx)
		s.show(a.report(0))
	})
	if !a.untilInterrupted {
		if watchErr != nil {
			return watchErr
		}
		a.fleet.tell(fmt.Sprintf("the rules stay; remove them with: kubectl podinfo fault rm --all --selector %s --namespace %s", a.fleet.flags.selector, a.fleet.cluster.namespace))
		if n, of := a.fleet.count(follows); n < of {
			return errFailed
		}
		return nil
	}
	if err := a.end(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return watchErr
}

// end removes the rules from all pods that got them, also from those that are being
// deleted. Rules of others stay.
func (a *applier) end(ctx context.Context) error {
	f := a.fleet
	if err := f.find(ctx); err != nil {
		a.fleet.tell("cannot list the pods, their last known ones are used: " + err.Error())
	}
	var names []string
	if a.file.Rule != nil {
		names = []string{a.file.Rule.Name}
	}
	got := slices.DeleteFunc(f.sorted(), func(m *member) bool {
		if m.sent != "" && m.sent == running(m.pod) {
			return false
		}
		m.set(removed, nil) // it has never had them, or its container has started anew without them
		return true
	})
	each(f.readable(ctx, got), func(m *member) {
		if m.etag != "" && m.etag != m.rules.ETag {
			m.set(otherRules, fmt.Errorf("%s has other rules than were applied: they stay", m.name()))
			return
		}
		m.remove(ctx, names)
	})
	return (&report{fleet: f, state: removed, summary: "removed from %d of %d"}).print()
}
