// Command podcli checks servers over HTTP, TCP, gRPC, WebSocket and TLS, opens
// interactive WebSocket sessions, generates load, and checks, simulates and
// manages fault rules.
//
// It runs as an exec probe every few seconds on a small share of a core, so it
// must start fast: it uses no package with expensive initialization.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Set by the linker: -X main.release=6.15.0.
var release = "6.15.0"

// errFailed makes the program exit with code 1 after the failure was printed.
var errFailed = errors.New("failed")

// runPodcli is the program, but for its main function.
func runPodcli() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().run(ctx, os.Args[1:])
	stop()
	if err == nil {
		return
	}
	if !errors.Is(err, errFailed) {
		fmt.Fprintln(os.Stderr, oneLine(err.Error()))
	}
	if _, usage := errors.AsType[usageError](err); usage {
		os.Exit(2)
	}
	os.Exit(1)
}

// usageError is a mistake in the command line. The program then exits with code
// 2, so that a probe that was never sent differs from one that failed.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usage marks err as a mistake in the command line.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// root returns the tree of all commands.
func root() *command {
	var all *command
	all = group("podcli", "Probe and client commands.", func() []*command {
		return []*command{
			group("check", "Check a server, a port or a certificate.", func() []*command {
				return []*command{checkHTTP(), checkTCP(), checkGRPC(), checkWS(), checkCert()}
			}),
			wsCommand(), loadCommand(), faultCommand(), sleepCommand(), versionCommand(),
			completionCommand(), completeCommand(all), helpCommand(all),
		}
	})
	all.flags.BoolP("version", "v", false, "print the version")
	return all
}

func versionCommand() *command {
	c := newCommand("version", "", "Print the version.")
	out := addOutput(c.flags, "o")
	c.do = func(context.Context, []string) error {
		if out.json {
			return printJSON(map[string]string{"version": release})
		}
		fmt.Println(release)
		return nil
	}
	return c
}
