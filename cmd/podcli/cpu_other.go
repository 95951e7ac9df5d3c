//go:build !unix

package main

import "time"

// cpuTime returns 0: the CPU time is not known.
func cpuTime() (user, system time.Duration) { return 0, 0 }
