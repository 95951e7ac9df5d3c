// Package cache serves /cache, which stores values by key in memory or on a
// Redis or memcached server.
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
	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// Module is the cache module.
type Module struct {
	Server   string        `env:"SERVER" secret:"part" doc:"server that stores the values; empty stores them in memory" accepts:"tcp://, redis:// or rediss://[user:password@]host[:port],…[/db][?master_name=…], or memcached://host[:port],…" takes:"URL"`
	Timeout  time.Duration `env:"TIMEOUT" envDefault:"500ms" doc:"time limit of an operation on the server" accepts:"a duration above zero" needs:"CACHE_SERVER"`
	TTL      time.Duration `env:"TTL" envDefault:"0s" doc:"lifetime of a value; 0 means until it is deleted or evicted" accepts:"0, or a duration of 1ms or more"`
	MaxBytes budget.Size   `env:"MAX_BYTES" envDefault:"64MiB" doc:"size limit of the values in memory, by default at most an eighth of the memory limit; an entry counts as its key, its value and 128 bytes" accepts:"a size above zero such as 20MiB, 20M or 20000000"`
	Required bool          `env:"REQUIRED" doc:"fail readiness while the server is unavailable" needs:"CACHE_SERVER"`

	host         *registry.Host
	hostname     string // key of the heartbeat
	beatInterval time.Duration
	store        store
	tracers      []capability.DatabaseTracer
	database     capability.DatabaseOperation // without the name
	serverState  atomic.Int32                 // unknown, up or down
	refusal      atomic.Pointer[error]        // of writes, nil while the server accepts them
	counters     map[operation]map[string]*metrics.Counter
}

// A store stores values by key. It returns errMiss, errTooLarge, errBusy or
// errForeign for a problem with one key, and errFull or errReadOnly if the server
// refuses to write. Any other error means that the store is unavailable.
type store interface {
	get(ctx context.Context, key string) (value, error) // to be released
	set(ctx context.Context, key string, value []byte) error
	delete(ctx context.Context, key string) error // nil when the key is absent
	ping(ctx context.Context) error
	beat(ctx context.Context, hostname, version string) error // stores a heartbeat of this instance
	close() error
}

var (
	errMiss     = errors.New("no such key")
	errTooLarge = errors.New("value too large")
	errBusy     = errors.New("too many removed values are still being sent")
	errForeign  = errors.New("the key holds a Redis type other than string")
	errFull     = errors.New("the server is full")
	errReadOnly = errors.New("the server is read-only")
)

// A value is the value of a key.
type value struct {
	data  []byte
	entry *entry // that data belongs to, nil if the caller has a copy
	of    *embedded
}

// release must be called when the data is not needed any more.
func (v value) release() {
	if v.entry != nil {
		v.of.release(v.entry)
	}
}

// The interval and the lifetime of heartbeats are upstream's.
const (
	defaultBeatInterval = 30 * time.Second
	beatTTL             = 60 * time.Second
)

const (
	unknown int32 = iota
	up
	down
)

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "cache", Doc: "Store request bodies by key, in memory or on a Redis or memcached server."}
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
		errs = append(errs, registry.Invalid("MaxBytes", "a size above zero such as 20MiB, 20M or 20000000"))
	}
	return errors.Join(errs...)
}

// Provision stores the host, finds the tracers and derives the size limit from
// the memory.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host, m.tracers = h, registry.All(h, capability.DatabaseTracers)
	m.database = m.describe()
	m.MaxBytes = h.DeriveSize("MaxBytes", 8, m.MaxBytes)
	m.beatInterval = cmp.Or(m.beatInterval, defaultBeatInterval)
	m.hostname, err = os.Hostname()
	return err
}

// Start opens the store. It does not fail when the server is unavailable.
func (m *Module) Start(context.Context) error {
	open, err := m.opener()
	if err != nil {
		return err
	}
	m.store = open()
	if m.Server == "" {
		m.serverState.Store(up)
		return nil
	}
	m.host.Go(func(ctx context.Context) {
		for m.beat(ctx); registry.Sleep(ctx, m.beatInterval); {
			m.beat(ctx)
		}
	})
	return nil
}

func (m *Module) beat(ctx context.Context) {
	m.noteWrite(ctx, m.withTimeout(ctx, func(ctx context.Context) error {
		return m.store.beat(ctx, m.hostname, m.host.Build().Version)
	}))
}

// Stop closes the store.
func (m *Module) Stop(context.Context) error { return m.store.close() }

// Ready returns an error while a required server is unavailable.
func (m *Module) Ready(ctx context.Context) error {
	if !m.Required {
		return nil
	}
	if err := m.withTimeout(ctx, m.store.ping); err != nil {
		return fmt.Errorf("server %s: %w", m.address(), err)
	}
	return nil
}

// withTimeout runs an operation with the time limit and updates the state of
// the server from its result.
func (m *Module) withTimeout(parent context.Context, operation func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(parent, m.Timeout)
	defer cancel()
	err := operation(ctx)
	now := up
	switch {
	case err == nil, errors.Is(err, errMiss), errors.Is(err, errTooLarge), errors.Is(err, errBusy), errors.Is(err, errForeign), refused(err) != nil:
	case parent.Err() != nil: // the client disconnected: the server may still be up
		return err
	default:
		now = down
	}
	if before := m.serverState.Swap(now); before != now {
		log := m.log(parent)
		if now == up {
			log.Info("cache server is available")
		} else {
			log.WithError(err).Warn("cache server is unavailable")
		}
	}
	return err
}

func (m *Module) log(ctx context.Context) *logrus.Entry {
	return m.host.Log.WithContext(ctx).WithField("server", m.address())
}

// refused returns errFull or errReadOnly if err is one of them.
func refused(err error) error {
	for _, why := range []error{errFull, errReadOnly} {
		if errors.Is(err, why) {
			return why
		}
	}
	return nil
}

// noteWrite logs when the server begins or stops to refuse writes, by the result
// of storing a value.
func (m *Module) noteWrite(ctx context.Context, err error) {
	why := refused(err)
	if err != nil && why == nil {
		return
	}
	var now *error
	if why != nil {
		now = &why
	}
	before := m.refusal.Swap(now)
	switch {
	case why == nil && before != nil:
		m.log(ctx).Info("cache server accepts writes again")
	case why != nil && (before == nil || *before != why):
		m.log(ctx).WithError(err).Warn("cache " + strings.TrimPrefix(why.Error(), "the "))
	}
}

// address returns the part of Server that follows the user and password, with
// the values of its query redacted.
func (m *Module) address() string {
	shown := redact.Setting(m.Server)
	return shown[strings.LastIndexByte(shown, '@')+1:]
}
