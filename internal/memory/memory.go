// Package memory finds out how much memory the process may use.
package memory

import (
	"fmt"
	"strconv"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// Limit returns the memory that the process may use in bytes, and who says so:
// the limit of its cgroup (version 1 or 2) if there is one that is smaller than
// the machine's memory. It returns 0 if neither is known.
func Limit() (bytes int64, from string) {
	system, errSystem := memlimit.FromSystem()
	cgroup, err := memlimit.FromCgroup()
	switch {
	case err == nil && cgroup > 0 && (errSystem != nil || cgroup < system):
		return int64(cgroup), "the limit of the cgroup"
	case errSystem == nil:
		return int64(system), "the memory of the machine"
	}
	return 0, ""
}

// program is about what the pages of the program itself take that are in use. They
// count towards the limit of a cgroup. If the heap displaces them, the kernel reads
// them from the disk again and again before it kills the process.
const program = 20 << 20

// Data returns the part of the memory from which the sizes of budgets and caches
// are derived, and where it comes from: the memory without the program, and at
// least half of the memory.
func Data(bytes int64, from string) (int64, string) {
	if bytes < 2*program {
		return bytes / 2, "half of " + from
	}
	return bytes - program, fmt.Sprintf("%s, %v, without %v for the program", from, budget.Size(bytes), budget.Size(program))
}

// RuntimeLimit returns the soft limit for the Go runtime, at which the garbage
// collector works harder: nine tenths of the memory without the program, and at
// least half of the memory.
func RuntimeLimit(bytes int64) int64 { return max(bytes-bytes/10-program, bytes/2) }

// RuntimeSettings describes what the Go runtime uses: the number of processors procs,
// and RuntimeLimit(limit) unless the environment says otherwise. limit is 0 if it is
// not known.
func RuntimeSettings(limit int64, from string, procs int, getenv func(string) string) []registry.Setting {
	soft := "off"
	if limit == 0 {
		from = "the memory is not known"
	} else {
		soft = fmt.Sprintf("%dMiB", RuntimeLimit(limit)>>20)
		from = fmt.Sprintf("9/10 of %v (%s), without %v for the program", budget.Size(limit), from, budget.Size(program))
	}
	settings := []registry.Setting{
		{Key: "GOMAXPROCS", Value: strconv.Itoa(procs), Source: "the processors, or the limit of the cgroup", Doc: "number of threads that run Go code at the same time"},
		{Key: "GOMEMLIMIT", Value: soft, Source: registry.Source(from), Doc: "memory at which the garbage collector works harder"},
	}
	for i := range settings {
		if v := getenv(settings[i].Key); v != "" {
			settings[i].Value, settings[i].Source = v, registry.FromEnvironment
		}
	}
	return settings
}
