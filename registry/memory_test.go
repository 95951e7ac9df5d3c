package registry_test

import (
	"errors"
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// sized is a module with a size that is derived from the memory.
type sized struct {
	Room budget.Size `env:"ROOM" envDefault:"100MiB"`

	budget *budget.Budget
}

func (*sized) Info() registry.Info { return registry.Info{Name: "sized"} }
func (s *sized) Provision(h *registry.Host) error {
	s.Room, s.budget = h.DeriveSize("Room", 2, s.Room), h.Budget()
	return nil
}

func TestSizesFollowFromTheMemory(t *testing.T) {
	for name, c := range map[string]struct {
		memory       int64 // 0 for no option
		module       sized
		env          map[string]string
		budget, room string
	}{
		"cgroup":  {64 << 20, sized{}, nil, "16MiB 1/4 of 64MiB (the cgroup)", "32MiB 1/2 of 64MiB (the cgroup)"},
		"large":   {1 << 30, sized{}, nil, "256MiB 1/4 of 1GiB (the cgroup)", "100MiB default"},
		"unknown": {0, sized{}, nil, "128MiB 1/4 of 512MiB (an assumed limit)", "100MiB default"},
		"code":    {64 << 20, sized{Room: 60 << 20}, nil, "16MiB 1/4 of 64MiB (the cgroup)", "60MiB code"},
		"environment": {64 << 20, sized{}, map[string]string{"PODINFO_MEMORY_BUDGET": "20M", "PODINFO_SIZED_ROOM": "100MiB"},
			"20000000 environment", "100MiB environment"},
		"off": {64 << 20, sized{}, map[string]string{"PODINFO_SIZED_ENABLED": "false"}, "16MiB 1/4 of 64MiB (the cgroup)", "100MiB default"},
	} {
		opts := []registry.Option{registry.Env(c.env)}
		if c.memory > 0 {
			opts = append(opts, registry.MemoryLimit(c.memory, "the cgroup"))
		}
		app, err := registry.New(mods(&c.module), opts...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range app.Settings() {
			want := map[string]string{"PODINFO_MEMORY_BUDGET": c.budget, "PODINFO_SIZED_ROOM": c.room}[s.Key]
			if got := s.Value + " " + string(s.Source); want != "" && got != want {
				t.Errorf("%s: %s is %s, want %s", name, s.Key, got, want)
			}
		}
		if b := c.module.budget; b != nil && budget.Size(b.Limit()).String() != c.budget[:len(budget.Size(b.Limit()).String())] {
			t.Errorf("%s: the budget is %d bytes, want %s", name, b.Limit(), c.budget)
		}
	}
}

func TestInvalidMemoryBudget(t *testing.T) {
	for _, value := range []string{"0", "0MiB", "-1", "much"} {
		_, err := registry.New(nil, registry.Env(map[string]string{"PODINFO_MEMORY_BUDGET": value}))
		if e, ok := errors.AsType[*registry.SettingError](err); !ok || e.Key != "PODINFO_MEMORY_BUDGET" {
			t.Errorf("%q: %v", value, err)
		}
	}
}
