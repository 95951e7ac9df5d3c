package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
)

// execute runs the program, and ends this process with its exit code. Ctrl-C reaches
// both: only the program acts on it.
func execute(path string, args []string) error {
	signal.Ignore(os.Interrupt)
	cmd := &exec.Cmd{Path: path, Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(exit.ExitCode())
	}
	return err
}
