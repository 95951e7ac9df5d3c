// Package cache serves /cache: values by key, in memory or on a Redis or
// memcached server.
package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// Module is cache.
type Module struct {
	Server   string        `env:"SERVER" doc:"server that keeps the values, none keeps them in memory" accepts:"tcp://, redis:// or rediss://[user:password@]host[:port],…[/db][?master_name=…], or memcached://host[:port],…"`
	Timeout  time.Duration `env:"TIMEOUT" envDefault:"500ms" doc:"time the server has for an operation" accepts:"a duration above zero"`
	TTL      time.Duration `env:"TTL" envDefault:"0s" doc:"how long a value is kept, 0 for as long as there is room" accepts:"0, or a duration of 1ms or more"`
	MaxBytes int64         `env:"MAX_BYTES" envDefault:"67108864" doc:"size limit of what is kept in memory; an entry counts with its key and 128 bytes" accepts:"a number of bytes above zero"`
	Required bool          `env:"REQUIRED" doc:"not ready while the server does not answer"`

	host     *registry.Host
	name     string        // of this machine, for the heartbeat
	every    time.Duration // between two heartbeats
	store    store
	tracers  []capability.DatabaseTracer
	state    atomic.Int32
	counters map[operation]map[string]*metrics.Counter
}

// A store keeps the values. Errors other than the ones below mean that it
// cannot be used now.
type store interface {
	get(ctx context.Context, key string) ([]byte, error)
	set(ctx context.Context, key string, value []byte) error
	delete(ctx context.Context, key string) error // no error when absent
	ping(ctx context.Context) error
	beat(ctx context.Context, name, version string) error // says to others that this instance lives
	close() error
}

// What can be wrong with one key alone.
var (
	errMiss     = errors.New("no such key")
	errTooLarge = errors.New("value too large")
	errForeign  = errors.New("the key holds something that is not a value")
)

// Heartbeats, as upstream sends them.
const (
	beatEvery = 30 * time.Second
	beatLasts = 60 * time.Second
)

// What is known of the server.
const (
	unknown int32 = iota
	up
	down
)

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "cache", Doc: "Keep request bodies by key, in memory or on a Redis or memcached server."}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if _, err := m.opener(); err != nil {
		errs = append(errs, err)
	}
	if m.Timeout <= 0 {
		errs = append(errs, registry.Invalid("Timeout", "a duration above zero"))
	}
	if m.TTL != 0 && m.TTL < time.Millisecond {
		errs = append(errs, registry.Invalid("TTL", "0, or a duration of 1ms or more"))
	}
	if m.MaxBytes <= 0 {
		errs = append(errs, registry.Invalid("MaxBytes", "a number of bytes above zero"))
	}
	return errors.Join(errs...)
}

// Provision keeps the host and finds who traces.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host, m.every, m.tracers = h, cmp.Or(m.every, beatEvery), registry.All(h, capability.DatabaseTracers)
	m.name, err = os.Hostname()
	return err
}

// Start opens the store. A server need not be there yet.
func (m *Module) Start(context.Context) error {
	open, err := m.opener()
	if err != nil {
		return err
	}
	m.store = open()
	if m.Server == "" {
		m.state.Store(up)
		return nil
	}
	m.host.Go(func(ctx context.Context) {
		for m.beat(ctx); registry.Sleep(ctx, m.every); {
			m.beat(ctx)
		}
	})
	return nil
}

func (m *Module) beat(ctx context.Context) {
	m.ask(ctx, func(ctx context.Context) error {
		return m.store.beat(ctx, m.name, m.host.Build().Version)
	})
}

// Stop closes the store.
func (m *Module) Stop(context.Context) error { return m.store.close() }

// Ready fails while a server that is required does not answer.
func (m *Module) Ready(ctx context.Context) error {
	if !m.Required {
		return nil
	}
	if err := m.ask(ctx, m.store.ping); err != nil {
		return fmt.Errorf("server %s: %w", m.address(), err)
	}
	return nil
}

// ask runs an operation for as long as it may take, and learns from it whether
// the server is up.
func (m *Module) ask(parent context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(parent, m.Timeout)
	defer cancel()
	err := f(ctx)
	now := up
	switch {
	case err == nil, errors.Is(err, errMiss), errors.Is(err, errTooLarge), errors.Is(err, errForeign):
	case parent.Err() != nil: // the client gave up, which says nothing of the server
		return err
	default:
		now = down
	}
	if before := m.state.Swap(now); before != now {
		log := m.host.Log.WithField("server", m.address())
		if now == up {
			log.Info("cache server answers")
		} else {
			log.WithError(err).Warn("cache server is unavailable")
		}
	}
	return err
}

// address is Server without user and password.
func (m *Module) address() string { return m.Server[strings.LastIndexByte(m.Server, '@')+1:] }
