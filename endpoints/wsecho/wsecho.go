// Package wsecho serves /ws/echo: a WebSocket (RFC 6455) that says back what
// it is told, and now and then who it is.
//
// A connection costs one goroutine, its reader, which is also the only one
// that writes to it. What others want written they ask of the reader: they set
// a flag and end its wait for input with a read deadline. So nobody ever waits
// for a client that does not read but that client's own reader.
package wsecho

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is ws-echo.
type Module struct {
	MaxConnections int           `env:"MAX_CONNECTIONS" envDefault:"10000" doc:"open connections, above which new ones get 503" accepts:"a whole number above zero"`
	MaxMessage     int           `env:"MAX_MESSAGE_BYTES" envDefault:"1048576" doc:"size limit of a message, above which the connection is closed" accepts:"a number of bytes above zero"`
	StatusInterval time.Duration `env:"STATUS_INTERVAL" envDefault:"5s" doc:"time between the messages that name the server" accepts:"a duration of at least 1ms"`
	PingInterval   time.Duration `env:"PING_INTERVAL" envDefault:"30s" doc:"time between the server's pings" accepts:"a duration of at least 1ms"`
	IdleTimeout    time.Duration `env:"IDLE_TIMEOUT" envDefault:"60s" doc:"time after which a client that sends nothing and answers no ping is dropped" accepts:"a duration longer than the ping interval"`

	host     *registry.Host
	hostname string
	clients  clients
	messages sync.Pool              // of *message
	status   atomic.Pointer[[]byte] // the frame that names the server, made once a tick for all
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "ws-echo", Doc: "Echo WebSocket messages, with a status message every few seconds."}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if m.MaxConnections < 1 {
		errs = append(errs, registry.Invalid("MaxConnections", "a whole number above zero"))
	}
	if m.MaxMessage < 1 {
		errs = append(errs, registry.Invalid("MaxMessage", "a number of bytes above zero"))
	}
	if m.StatusInterval < time.Millisecond {
		errs = append(errs, registry.Invalid("StatusInterval", "a duration of at least 1ms"))
	}
	if m.PingInterval < time.Millisecond {
		errs = append(errs, registry.Invalid("PingInterval", "a duration of at least 1ms"))
	}
	if m.IdleTimeout <= m.PingInterval {
		errs = append(errs, registry.Invalid("IdleTimeout", fmt.Sprintf("a duration longer than the ping interval, %v", m.PingInterval)))
	}
	return errors.Join(errs...)
}

// Provision keeps the host.
func (m *Module) Provision(h *registry.Host) error {
	m.host = h
	m.clients.init()
	return nil
}

// ContributeMetrics adds the number of open connections to set.
func (m *Module) ContributeMetrics(set *metrics.Set) {
	set.NewGauge("podinfo_websocket_connections", func() float64 { return float64(m.clients.count()) })
}

// Start starts the clock that all connections share.
func (m *Module) Start(context.Context) (err error) {
	if m.hostname, err = os.Hostname(); err != nil {
		return err
	}
	m.host.Go(m.tick)
	return nil
}

// tick ticks while there are clients.
func (m *Module) tick(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.clients.came:
			m.tickFor(ctx)
		}
	}
}

// tickFor ticks until a tick finds no client.
func (m *Module) tickFor(ctx context.Context) {
	status, ping := time.NewTicker(m.StatusInterval), time.NewTicker(m.PingInterval)
	defer status.Stop()
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-status.C:
			if m.clients.count() == 0 {
				return
			}
			frame := statusFrame(now, m.hostname)
			m.status.Store(&frame)
			m.clients.ask(sendStatus)
		case <-ping.C:
			if m.clients.count() == 0 {
				return
			}
			m.clients.ask(sendPing)
		}
	}
}

// Drain takes no new connections, tells every client that the server is going
// away and waits for them to close. Those that have not when ctx is done are
// cut, and counted in the error.
func (m *Module) Drain(ctx context.Context) error {
	m.clients.drain()
	select {
	case <-m.clients.drained.Empty():
		return nil
	case <-ctx.Done():
	}
	n := m.clients.cut()
	<-m.clients.drained.Empty()
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d connections cut: %w", n, ctx.Err())
}
