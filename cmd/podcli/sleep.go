package main

import (
	"context"
	"os"
	"time"
)

// sleepCommand does what a Job of a test needs: to take a while, and to succeed or
// fail. The image has no shell for it.
func sleepCommand() *command {
	c := newCommand("sleep", "DURATION", "Wait, then exit with a code.")
	c.details = "An interrupt or SIGTERM ends the wait with exit code 1."
	c.examples = []string{"podcli sleep 5s", "podcli sleep 0s --exit-code 3"}
	code := c.flags.Int("exit-code", 0, "exit code after the wait, from 0 to 255")
	c.do = func(ctx context.Context, args []string) error {
		wait, err := time.ParseDuration(args[0])
		if err != nil || wait < 0 {
			return c.usagef("%q is not a duration: want one such as 5s or 1m30s", args[0])
		}
		if *code < 0 || *code > 255 {
			return c.usagef("--exit-code %d: want a number from 0 to 255", *code)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return c.errorf("interrupted")
		}
		if *code != 0 {
			os.Exit(*code)
		}
		return nil
	}
	return c
}
