//go:build unix

package main

import (
	"os"
	"syscall"
)

// execute replaces this process by the program, so that signals reach it once.
func execute(path string, args []string) error { return syscall.Exec(path, args, os.Environ()) }
