package registry

import (
	"fmt"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// Memory is how much memory the process may use.
type Memory struct {
	Limit int64  // bytes
	From  string // who says so: "the limit of the cgroup"
}

// share describes a part of the memory as the source of a setting.
func (m Memory) share(parts int) Source {
	return Source(fmt.Sprintf("1/%d of %v (%s)", parts, budget.Size(m.Limit), m.From))
}

// derive records a default that depends on the machine.
func derive(fields []field, name string, value any, from Source) {
	for i := range fields {
		if fields[i].name == name && fields[i].Source == FromDefault {
			fields[i].Value, fields[i].Source = fmt.Sprint(value), from
		}
	}
}

// Memory returns how much memory the process may use.
func (h *Host) Memory() Memory { return h.app.memory }

// Budget returns the App's budget of the bytes that requests hold.
func (h *Host) Budget() *budget.Budget { return h.app.budget }

// DeriveSize returns the size that a module uses for a setting: as it is, if it
// was set, else at most 1/parts of the memory. field is the name of the setting's
// struct field, whose value and source [App.Settings] then shows. Call it in
// Provision.
func (h *Host) DeriveSize(field string, parts int, size budget.Size) budget.Size {
	share := budget.Size(h.app.memory.Limit / int64(parts))
	for _, f := range h.entry.fields {
		if f.name == field && f.Source == FromDefault && share < size {
			derive(h.entry.fields, field, share, h.app.memory.share(parts))
			return share
		}
	}
	return size
}
