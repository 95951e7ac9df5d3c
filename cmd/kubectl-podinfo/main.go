// Command kubectl-podinfo is a plugin of kubectl that changes the fault rules of all
// pods with given labels at the same time. It reaches the pods through the API server.
// podcli runs it for podcli fault … --selector.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// Set by the linker: -X main.release=6.15.0.
var release = "6.15.0"

// usageError is a mistake in the command line or in a file that it names. Nothing was
// sent to the pods, and the exit code is 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	klog.SetLogger(klog.Logger{}) // client-go logs there what it also returns
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process
	os.Exit(code(root().ExecuteContext(ctx)))
}

// code prints err and returns the exit code.
func code(err error) int {
	if err == nil {
		return 0
	}
	if mistakes, ok := errors.AsType[faultclient.Mistakes](err); ok {
		mistakes.Print(os.Stderr)
	} else if !errors.Is(err, errFailed) {
		fmt.Fprintln(os.Stderr, "kubectl podinfo: "+faultclient.OneLine(err.Error()))
	}
	if _, usage := errors.AsType[usageError](err); usage {
		return 2
	}
	return 1
}

func root() *cobra.Command {
	all := &cobra.Command{
		Use: "kubectl-podinfo", Short: "Change the fault rules of all pods with given labels.", Version: release,
		SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl podinfo"},
	}
	all.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	all.RunE = help
	faults := &cobra.Command{Use: "fault", Short: "Manage rules that delay and break requests.", RunE: help}
	faults.AddCommand(applyCommand(), listCommand(), watchCommand(), removeCommand(),
		switchCommand("pause", "Pause all rules. Their timers keep running."), switchCommand("resume", "Resume the rules."))
	all.AddCommand(faults)
	return all
}

// help prints the help of a group of commands. Without it, cobra does so for an
// unknown command too, and exits with 0.
func help(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q in %s", args[0], c.CommandPath())}
	}
	return c.Help()
}
