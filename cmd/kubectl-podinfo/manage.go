package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"
)

func listCommand() *cobra.Command {
	c, _ := command("list", "List the pods with the counters of their rules.", `SEEN counts the requests that rules matched, HITS those that they delayed or broke. The
pods are compared with each other: the exit code is 1 if one does not respond, is
paused or has other rules than most.`, "  kubectl podinfo fault list --selector app=podinfo -o json", func(c *cobra.Command, f *flags, _ []string) error {
		fl, err := openFleet(c.Context(), f, os.Stderr)
		if err != nil {
			return err
		}
		defer fl.close()
		fl.compare(c.Context())
		return fl.same().print()
	})
	c.Args = exactly(0, "")
	return c
}

// same reports which pods have the same rules.
func (f *fleet) same() *report {
	return &report{fleet: f, state: follows, summary: "%d of %d have the same rules"}
}

func watchCommand() *cobra.Command {
	w := new(watchFlags)
	c, _ := command("watch", "Show the pods and the counters of their rules until interrupted.", `The table is drawn again after each poll. If the output is no terminal, it is printed
when the state of a pod changes. The exit code is 0.`, "  kubectl podinfo fault watch --selector app=podinfo", func(c *cobra.Command, f *flags, _ []string) error {
		if err := w.check(); err != nil {
			return usageError{err}
		}
		fl, err := openFleet(c.Context(), f, os.Stderr)
		if err != nil {
			return err
		}
		defer fl.close()
		s := newScreen()
		return fl.watch(c.Context(), w, func() {
			fl.compare(context.WithoutCancel(c.Context()))
			s.show(fl.same())
		})
	})
	c.Args = exactly(0, "")
	w.add(c.Flags())
	return c
}

func removeCommand() *cobra.Command {
	var all bool
	c, _ := command("rm [NAME]...", "Remove rules from all pods.", `The rules are also removed from pods that are being deleted, which do not count. A pod
without a rule of that name counts as done.`, "  kubectl podinfo fault rm --all --selector app=podinfo", func(c *cobra.Command, f *flags, names []string) error {
		if all == (len(names) > 0) {
			return usageError{errors.New("give the names of rules, or --all")}
		}
		return changeAll(c, f, removed, "removed from %d of %d", func(ctx context.Context, m *member) { m.remove(ctx, names) })
	})
	c.Flags().BoolVar(&all, "all", false, "remove every rule")
	return c
}

func switchCommand(name, doc string) *cobra.Command {
	state := name + "d"
	c, _ := command(name, doc, "", "  kubectl podinfo fault "+name+" --selector app=podinfo", func(c *cobra.Command, f *flags, _ []string) error {
		return changeAll(c, f, state, state+" on %d of %d", func(ctx context.Context, m *member) {
			if m.saw(m.client.Call(ctx, "POST", "/"+name, "", nil)) {
				m.set(state, nil)
			}
		})
	})
	c.Args = exactly(0, "")
	return c
}

// changeAll changes the rules of all pods, after reading them, and reports the state.
func changeAll(c *cobra.Command, f *flags, state, summary string, change func(context.Context, *member)) error {
	fl, err := openFleet(c.Context(), f, os.Stderr)
	if err != nil {
		return err
	}
	defer fl.close()
	ctx := context.WithoutCancel(c.Context())
	each(fl.readable(ctx, fl.sorted()), func(m *member) { change(ctx, m) })
	return (&report{fleet: fl, state: state, summary: summary}).print()
}
