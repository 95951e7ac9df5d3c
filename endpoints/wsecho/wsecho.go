// Package wsecho serves /ws/echo, a WebSocket (RFC 6455) that echoes each message
// and regularly sends a status message with the name of the server.
//
// A connection has one goroutine, its reader, which is also its only writer.
// Other goroutines that want something written set a flag and interrupt the
// reader with a read deadline. A client that does not read can therefore block
// only its own reader.
package wsecho

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
	"github.com/seed-4591fe7d/podinfo/internal/origin"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// Module is the ws-echo module.
type Module struct {
	setting.TrustedOrigins
	MaxConnections int           `env:"WS_ECHO_MAX_CONNECTIONS" envDefault:"10000" doc:"maximum number of open connections; further ones get 503" accepts:"a whole number above zero"`
	MaxMessage     int           `env:"WS_ECHO_MAX_MESSAGE_BYTES" envDefault:"1048576" doc:"size limit of a message; a larger one closes the connection" accepts:"a number of bytes above zero"`
	StatusInterval time.Duration `env:"WS_ECHO_STATUS_INTERVAL" envDefault:"5s" doc:"time between two status messages" accepts:"a duration of at least 1ms"`
	PingInterval   time.Duration `env:"WS_ECHO_PING_INTERVAL" envDefault:"30s" doc:"time between two pings from the server" accepts:"a duration of at least 1ms"`
	IdleTimeout    time.Duration `env:"WS_ECHO_IDLE_TIMEOUT" envDefault:"60s" doc:"time after which a client that sends nothing, not even pongs, is disconnected" accepts:"a duration longer than the ping interval"`
	Subprotocols   []string      `env:"WS_ECHO_SUBPROTOCOLS" doc:"subprotocols that clients may ask for; the first one that a client offers is selected" accepts:"a comma-separated list of names, or * for any" takes:"NAME,…"`

	origins  *origin.Policy
	host     *registry.Host
	hostname string
	clients  clients
	messages sync.Pool              // of *message
	pieces   sync.Pool              // of *piece
	status   atomic.Pointer[[]byte] // the current status frame, shared by all connections
	refused  atomic.Pointer[metrics.Counter]
	stalled  atomic.Pointer[metrics.Counter]
	cuts     drain.Cuts
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "ws-echo", Doc: "Echo WebSocket messages, and send a status message every few seconds.", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() (err error) {
	var errs []error
	if m.origins, err = origin.New(m.Trusted); err != nil {
		errs = append(errs, registry.Invalid("Trusted", origin.Format))
	}
	for i, p := range m.Subprotocols {
		if m.Subprotocols[i] = strings.TrimSpace(p); !isToken(m.Subprotocols[i]) {
			errs = append(errs, registry.Invalid("Subprotocols", "a comma-separated list of names, or * for any"))
			break
		}
	}
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
	m.refused.Store(new(metrics.Counter))
	m.stalled.Store(new(metrics.Counter))
	return nil
}

// ContributeMetrics adds the numbers of open connections, and of those that were
// refused, whose client read nothing or that were cut, to set.
func (m *Module) ContributeMetrics(set *metrics.Set) {
	counter := func(reason string) *metrics.Counter {
		return set.GetOrCreateCounter(`podinfo_requests_refused_total{reason="` + reason + `"}`)
	}
	m.refused.Store(counter(record.RefusedConnections))
	m.stalled.Store(counter(record.RefusedStall))
	m.cuts.ContributeMetrics(set, "websocket")
	set.NewGauge("podinfo_websocket_connections", func() float64 { return float64(m.clients.count()) })
}

// DescribeMetrics describes the metric.
func (*Module) DescribeMetrics() map[string]string {
	return map[string]string{"podinfo_websocket_connections": "WebSocket connections that are open."}
}

// Start starts the goroutine whose timers all connections share.
func (m *Module) Start(context.Context) (err error) {
	if m.hostname, err = os.Hostname(); err != nil {
		return err
	}
	m.host.Go(m.tick)
	return nil
}

// tick triggers status messages and pings while there are clients. Without
// clients no timer runs.
func (m *Module) tick(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.clients.arrived:
			m.tickFor(ctx)
		}
	}
}

// tickFor runs the timers until one fires when there is no client.
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
			m.clients.requestAll(sendStatus)
		case <-ping.C:
			if m.clients.count() == 0 {
				return
			}
			m.clients.requestAll(sendPing)
		}
	}
}

// Drain rejects new connections, sends every client a close frame with code 1001
// (going away) and waits until all connections are closed. It cuts those that
// are open when ctx is done and returns an error with their number.
func (m *Module) Drain(ctx context.Context) error {
	m.clients.drain()
	select {
	case <-m.clients.drained.Empty():
		return nil
	case <-ctx.Done():
	}
	n := m.clients.cut()
	<-m.clients.drained.Empty()
	return m.cuts.Count(n, "connections", ctx.Err())
}
