// Package memory finds out how much memory the process may use.
package memory

import (
	"github.com/KimMachineGun/automemlimit/memlimit"
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

// RuntimeLimit returns the soft limit for the Go runtime, at which the garbage
// collector works harder: nine tenths of the memory. The rest is for what the
// runtime does not see, such as the program itself.
func RuntimeLimit(bytes int64) int64 { return bytes - bytes/10 }
