package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// flags are the flags of all commands.
type flags struct {
	selector, namespace, context, kubeconfig string

	token, tokenFile, tokenSecret string
	port                          int
	timeout                       time.Duration
	output                        string
}

func (f *flags) add(set *pflag.FlagSet) {
	set.StringVarP(&f.selector, "selector", "l", "", "`labels` of the pods, such as app=podinfo")
	set.StringVarP(&f.namespace, "namespace", "n", "", "`namespace` of the pods (default: that of the kubeconfig)")
	set.StringVar(&f.context, "context", "", "`name` of the kubeconfig's context")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "`file` with the address of the API server")
	set.StringVar(&f.tokenFile, "token-file", "", "`file` with the bearer token of the faults API")
	set.StringVar(&f.tokenSecret, "token-secret", "", "Secret with the token, as `NAME/KEY` in the namespace of the pods; KEY is token by default")
	set.StringVar(&f.token, "token", "", "the token itself; other users can see it in the process list")
	set.IntVar(&f.port, "port", 0, "metrics port of the pods (default: that of the container port fault-metrics or http-metrics, or 9797)")
	set.DurationVar(&f.timeout, "timeout", 5*time.Second, "time limit of each request to a pod or to the API server")
	set.StringVarP(&f.output, "output", "o", "text", "format of the result: text, or json on standard output")
}

// check returns the first mistake in the flags, and reads the token's file.
func (f *flags) check() (err error) {
	given := 0
	for _, text := range []string{f.token, f.tokenFile, f.tokenSecret} {
		if text != "" {
			given++
		}
	}
	switch {
	case f.selector == "":
		return errors.New("--selector is missing: give the labels of the pods, such as --selector app=podinfo")
	case f.timeout <= 0:
		return errors.New("--timeout must be above 0")
	case f.port < 0 || f.port > 65535:
		return errors.New("--port must be 1 to 65535")
	case f.output != "text" && f.output != "json":
		return fmt.Errorf("--output %q: want text or json", f.output)
	case given > 1:
		return errors.New("--token, --token-file and --token-secret cannot be combined")
	case f.tokenFile != "":
		f.token, err = faultclient.ReadToken(f.tokenFile)
	}
	return err
}

// watchFlags are the flags of commands that keep watching.
type watchFlags struct{ interval, duration time.Duration }

func (w *watchFlags) add(set *pflag.FlagSet) {
	set.DurationVar(&w.interval, "interval", time.Second, "time between two polls of the pods")
	set.DurationVar(&w.duration, "duration", 0, "time after which to stop watching; 0 means never")
}

func (w *watchFlags) check() error {
	if w.interval <= 0 || w.duration < 0 {
		return errors.New("--interval must be above 0, --duration must not be negative")
	}
	return nil
}

// command returns a command that runs do after checking the flags.
func command(use, short, long, example string, do func(c *cobra.Command, f *flags, args []string) error) (*cobra.Command, *flags) {
	f := new(flags)
	c := &cobra.Command{Use: use, Short: short, Long: long, Example: example}
	f.add(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return usageError{err}
		}
		return do(c, f, args)
	}
	return c, f
}
