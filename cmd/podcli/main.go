// Command podcli checks that something answers over HTTP, TCP, gRPC, WebSocket
// or TLS, talks to a WebSocket, puts a steady load on an address, and checks,
// tries and runs rules of faults.
//
// It runs as an exec probe, every few seconds and on a small share of a core,
// so it is made to start fast: no package that works much before main.
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

// errFailed ends the program with exit code 1 when what failed has been told.
var errFailed = errors.New("failed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().run(ctx, os.Args[1:])
	stop()
	if err == nil {
		return
	}
	if !errors.Is(err, errFailed) {
		fmt.Fprintln(os.Stderr, oneLine(err.Error()))
	}
	os.Exit(1)
}

// root is every command there is.
func root() *command {
	var all *command
	all = group("podcli", "Probe and client commands.", func() []*command {
		return []*command{
			group("check", "Check that something answers.", func() []*command {
				return []*command{checkHTTP(), checkTCP(), checkGRPC(), checkWS(), checkCert()}
			}),
			wsCommand(), loadCommand(), faultCommand(), versionCommand(),
			completionCommand(), completeCommand(all), helpCommand(all),
		}
	})
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
