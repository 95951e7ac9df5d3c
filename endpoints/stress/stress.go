// Package stress keeps processors busy and holds memory, to test how a cluster
// reacts.
package stress

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is the stress module.
type Module struct {
	CPU    int `env:"CPU" envDefault:"0" doc:"number of processors to keep busy" accepts:"a whole number of 0 or more"`
	Memory int `env:"MEMORY" envDefault:"0" doc:"memory to hold, in MB of 1,000,000 bytes" accepts:"a whole number of 0 or more"`

	host *registry.Host
	held [][]byte
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "stress", Doc: "Keep processors busy and hold memory."}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if m.CPU < 0 {
		errs = append(errs, registry.Invalid("CPU", "a whole number of 0 or more"))
	}
	if m.Memory < 0 {
		errs = append(errs, registry.Invalid("Memory", "a whole number of 0 or more"))
	}
	return errors.Join(errs...)
}

// Provision stores the host.
func (m *Module) Provision(h *registry.Host) error { m.host = h; return nil }

// Start allocates the memory and starts a goroutine for each processor. If ctx
// ends, it frees the memory and returns the error of ctx.
func (m *Module) Start(ctx context.Context) error {
	if m.CPU > 0 || m.Memory > 0 {
		m.host.Log.WithField("cpu", m.CPU).WithField("memory_mb", m.Memory).Info("starting stress")
	}
	for range m.Memory {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), m.Stop(ctx))
		}
		m.held = append(m.held, residentMB())
	}
	for range m.CPU {
		m.host.Go(spin)
	}
	return nil
}

// residentMB returns 1,000,000 bytes of resident memory. It writes to every
// page, because the kernel allocates a page on the first write.
func residentMB() []byte {
	b := make([]byte, 1_000_000)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	return b
}

func spin(ctx context.Context) {
	for ctx.Err() == nil {
		for range 1 << 16 { // spin here rather than in ctx.Err
		}
	}
}

// Stop frees the memory.
func (m *Module) Stop(context.Context) error {
	if m.held != nil {
		m.held = nil
		debug.FreeOSMemory()
	}
	return nil
}
