package main

import (
	"os/exec"
	"strings"
	"sync"
)

// counters reports whether the machine lets perf count instructions. Virtual machines
// often do not.
var counters = sync.OnceValue(func() bool {
	out, err := exec.Command("perf", "stat", "-x,", "-e", "instructions", "true").CombinedOutput()
	return err == nil && !strings.HasPrefix(string(out), "<not")
})
