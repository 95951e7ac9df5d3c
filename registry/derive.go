package registry

import (
	"fmt"
	"slices"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// Derive records the value that a module uses for a setting that was not set and
// that follows from others. It returns false if the setting was set. name is that
// of the setting's struct field, and how says where the value comes from. Call it
// in Provision.
func (h *Host) Derive(name string, value any, how string) bool {
	i := slices.IndexFunc(h.entry.fields, func(f field) bool { return f.name == name && f.Source == FromDefault })
	if i < 0 {
		return false
	}
	derive(h.entry.fields, name, value, Source(how))
	return true
}

// DeriveCount returns the number that a module uses for a setting that limits how
// many of something there are: n if it was set, else as many of a size each as fit
// in 1/parts of the memory, within least and most.
func (h *Host) DeriveCount(name string, n, parts int, each budget.Size, least, most int) int {
	memory := h.app.memory
	count := int(memory.Limit / int64(parts) / int64(each))
	how := fmt.Sprintf("1/%d of %v at %v each (%s)", parts, budget.Size(memory.Limit), each, memory.From)
	if count < least {
		count, how = least, "the smallest default"
	}
	if count > most {
		count, how = most, "the largest default"
	}
	if h.Derive(name, count, how) {
		return count
	}
	return n
}
