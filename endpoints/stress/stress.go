// Package stress keeps processors busy and memory taken, to see what a
// cluster does about it.
package stress

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is stress.
type Module struct {
	CPU    int `env:"CPU" envDefault:"0" doc:"processors to keep busy" accepts:"a whole number, not negative"`
	Memory int `env:"MEMORY" envDefault:"0" doc:"memory to take, in MB of 1,000,000 bytes" accepts:"a whole number, not negative"`

	host  *registry.Host
	taken [][]byte
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "stress", Doc: "Keep processors busy and memory taken, if told how much."}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if m.CPU < 0 {
		errs = append(errs, registry.Invalid("CPU", "a whole number, not negative"))
	}
	if m.Memory < 0 {
		errs = append(errs, registry.Invalid("Memory", "a whole number, not negative"))
	}
	return errors.Join(errs...)
}

// Provision keeps the host.
func (m *Module) Provision(h *registry.Host) error { m.host = h; return nil }

// Start takes the memory and occupies the processors.
func (m *Module) Start(ctx context.Context) error {
	if m.CPU > 0 || m.Memory > 0 {
		m.host.Log.WithField("cpu", m.CPU).WithField("memory_mb", m.Memory).Info("Starting stress.")
	}
	for range m.Memory {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), m.Stop(ctx))
		}
		m.taken = append(m.taken, resident())
	}
	for range m.CPU {
		m.host.Go(spin)
	}
	return nil
}

// resident is 1 MB that the kernel has had to give: a page is not there before
// it is written to.
func resident() []byte {
	b := make([]byte, 1_000_000)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	return b
}

func spin(ctx context.Context) {
	for ctx.Err() == nil {
		for range 1 << 16 { // rarely asked, so that the time is not spent on asking
		}
	}
}

// Stop gives the memory back.
func (m *Module) Stop(context.Context) error {
	if m.taken != nil {
		m.taken = nil
		debug.FreeOSMemory()
	}
	return nil
}
