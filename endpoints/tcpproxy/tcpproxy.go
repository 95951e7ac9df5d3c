// Package tcpproxy passes TCP connections on to other services, and breaks them
// by the rules of a scenario.
package tcpproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// Module is the tcp-proxy module.
type Module struct {
	setting.ListenHost
	Targets        []string      `env:"TCP_PROXY" doc:"TCP services to pass connections on to, each with a name for match.tcp of fault rules" accepts:"a comma-separated list of name=host:port or, with the port to listen on, name=port:host:port; without one a free port is chosen and logged" takes:"NAME=[PORT:]ADDRESS,…"`
	ConnectTimeout time.Duration `env:"TCP_PROXY_CONNECT_TIMEOUT" envDefault:"10s" doc:"time limit for connecting to a TCP service" accepts:"a duration above zero"`
	ToxiproxyAPI   bool          `env:"TCP_PROXY_TOXIPROXY_API" doc:"serve the API of toxiproxy on the metrics port, behind the access control of the API of fault rules" enables:"true" needs:"PORT_METRICS"`

	// OnClose, when set, is called with every connection that has ended. A test
	// harness uses it.
	OnClose func(Connection) `env:"-"`

	host    *registry.Host
	rules   capability.ConnectionRules // nil without a module that has rules
	changer capability.FaultRules      // nil without a module that has rules
	set     *metrics.Set
	dial    func(ctx context.Context, addr string) (net.Conn, error)
	cuts    drain.Cuts
	clashed bool // the rules could not be applied to a port, so try again soon

	mu      sync.Mutex // guards the fields below, and those of proxies that say so
	proxies []*proxy   // in the order of their creation
	conns   map[*conn]struct{}
	opened  uint64 // connections so far
	gone    drain.Signal
	labels  map[string]bool // names of proxies in metrics
}

// Connection is a connection that has ended.
type Connection struct {
	Proxy, Client string
	In, Out       int64    // bytes passed to the target and to the client
	Rules         []string // rules that hit it, once each, in the order of their first hits
	Began, Ended  time.Time
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "tcp-proxy", Doc: "Pass TCP connections on to other services, and break them by the rules of a scenario.",
		OptIn: true, EnableVar: "TCP_PROXY", Unprefixed: true}
}

// target is one of the services in the setting.
type target struct {
	name, upstream string
	port           int
}

var (
	targetText = lazyregexp.New(`^([^=]+)=(?:(\d+):)?((?:[^:\[\]/@]+|\[[0-9A-Fa-f:.]+(?:%[^\]]+)?\]):\d+)$`)
	digits     = lazyregexp.New(`^\d+:`)
	proxyName  = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
)

// targets parses the setting.
func (m *Module) targets() (out []target, err error) {
	for _, text := range m.Targets {
		text = strings.TrimSpace(text)
		found := targetText().FindStringSubmatch(text)
		if found == nil || digits().MatchString(found[3]) || !proxyName().MatchString(found[1]) {
			return nil, errors.New("name=host:port or name=port:host:port, such as redis=localhost:6379 or redis=26379:localhost:6379")
		}
		t := target{name: found[1], upstream: found[3]}
		if t.port, err = portOf(found[2]); err == nil {
			_, port, _ := net.SplitHostPort(t.upstream)
			_, err = portOf(port)
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("ports from 1 to 65535 in %q", text)
		case slices.ContainsFunc(out, func(o target) bool { return o.name == t.name }):
			return nil, fmt.Errorf("one service with the name %s", t.name)
		case t.port > 0 && slices.ContainsFunc(out, func(o target) bool { return o.port == t.port }):
			return nil, fmt.Errorf("one service on the port %d", t.port)
		}
		out = append(out, t)
	}
	ports := m.ports(out)
	for i, t := range out {
		if serve.ComesBack(t.upstream, ports) {
			return nil, fmt.Errorf("another port in %q: the target is podinfo itself", strings.TrimSpace(m.Targets[i]))
		}
	}
	return out, nil
}

// ports returns the ports of services whose numbers are known.
func (m *Module) ports(targets []target) (out []capability.OwnPort) {
	for _, t := range targets {
		if t.port > 0 {
			out = append(out, capability.OwnPort{Listen: serve.Address(m.Host, t.port), Target: t.upstream})
		}
	}
	return out
}

// OwnPorts returns the ports in the setting.
func (m *Module) OwnPorts() []capability.OwnPort {
	targets, err := m.targets()
	if err != nil { // Validate reports it
		return nil
	}
	return m.ports(targets)
}

// TCPProxies implements [capability.TCPProxier].
func (m *Module) TCPProxies() []string {
	if m.ToxiproxyAPI {
		return nil
	}
	names := []string{}
	targets, _ := m.targets() // which Validate checked
	for _, t := range targets {
		names = append(names, t.name)
	}
	return names
}

// portOf parses a port. It returns 0 for an empty text.
func portOf(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	port, err := strconv.Atoi(text)
	if err == nil && (port < 1 || port > 65535) {
		err = strconv.ErrRange
	}
	return port, err
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if targets, err := m.targets(); err != nil {
		errs = append(errs, registry.Invalid("Targets", err.Error()))
	} else if len(targets) == 0 && !m.ToxiproxyAPI {
		errs = append(errs, registry.Invalid("Targets", "at least one name=host:port, because tcp-proxy is on"))
	}
	if m.ConnectTimeout <= 0 {
		errs = append(errs, registry.Invalid("ConnectTimeout", "a duration above zero"))
	}
	return errors.Join(errs...)
}

// Provision finds the rules.
func (m *Module) Provision(h *registry.Host) error {
	m.host, m.conns, m.gone, m.labels = h, map[*conn]struct{}{}, drain.New(), map[string]bool{}
	m.set = metrics.NewSet() // until a module exports metrics
	dialer := net.Dialer{Timeout: m.ConnectTimeout}
	m.dial = func(ctx context.Context, addr string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) }
	ruler, err := registry.Optional(h, capability.ConnectionRulers)
	if err != nil {
		return err
	}
	if ruler != nil {
		m.rules = ruler.ConnectionRules()
	}
	if !m.ToxiproxyAPI {
		return nil
	}
	owner, err := registry.Use(h, capability.FaultRulers)
	if err != nil {
		return fmt.Errorf("PODINFO_TCP_PROXY_TOXIPROXY_API=true needs fault rules, such as with PODINFO_FAULTS=true: %w", err)
	}
	m.changer = owner.FaultRules()
	return nil
}

// Start opens the ports of the services in the setting.
func (m *Module) Start(ctx context.Context) error {
	targets, err := m.targets()
	if err != nil {
		return err
	}
	m.mu.Lock()
	for _, t := range targets {
		p := m.newProxy(t.name, serve.Address(m.Host, t.port), t.upstream)
		m.proxies = append(m.proxies, p)
		if err = p.enable(ctx); err != nil {
			break
		}
	}
	m.mu.Unlock()
	if err != nil {
		return errors.Join(err, m.Stop(ctx))
	}
	if m.rules != nil {
		m.host.Go(m.watch)
	}
	return nil
}

// Intervals of the watch.
const (
	tick  = 50 * time.Millisecond // while rules depend on the clock
	again = time.Second           // after a port could not be opened
)

// watch applies changes of the rules to ports and open connections.
func (m *Module) watch(ctx context.Context) {
	for {
		changed, timed := m.rules.Engine().Changes()
		m.mu.Lock()
		m.refreshLocked(ctx)
		wait := tick
		if !timed {
			wait = again
		}
		var next <-chan time.Time
		if timed || m.clashed {
			next = time.After(wait)
		}
		m.mu.Unlock()
		select {
		case <-changed:
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// refreshLocked applies the rules to ports and open connections.
func (m *Module) refreshLocked(ctx context.Context) {
	m.clashed = false
	for _, p := range m.proxies {
		if err := p.apply(ctx); err != nil {
			m.clashed = true
		}
	}
	conns := slices.SortedFunc(maps.Keys(m.conns), func(a, b *conn) int { return cmp.Compare(a.number, b.number) })
	for _, c := range conns {
		c.update()
	}
}

// Sync applies the current rules to the ports and the open connections, oldest
// first. Without it they follow a moment after the rules have changed.
func (m *Module) Sync() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshLocked(m.host.Context())
	m.settleLocked()
}

// Cut resets the connections that are open.
func (m *Module) Cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		c.close(true)
	}
}

// settling is how long a change of the API waits for the data that the kernel is
// moving.
const settling = time.Second

// settleLocked waits until the open connections follow the rules. A piece of data
// that was moved by the kernel without stages may otherwise be one too many.
func (m *Module) settleLocked() {
	limit := time.After(settling)
	for c := range m.conns {
		for _, moved := range c.moving() {
			select {
			case <-moved:
			case <-limit:
				return
			}
		}
	}
}

// ruled reports whether there are rules, and their module is linked.
func (m *Module) ruled() bool {
	return m.rules != nil && m.host.Assembly().Linked("faults")
}

// Addr returns the address of the first service's port, or nil before Start.
func (m *Module) Addr() net.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.proxies) == 0 || m.proxies[0].listener == nil {
		return nil
	}
	return m.proxies[0].listener.Addr()
}

// AddrOf returns the address of a service's port, or nil while it is closed.
func (m *Module) AddrOf(name string) net.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.proxy(name); p != nil && p.listener != nil {
		return p.listener.Addr()
	}
	return nil
}

// proxy returns the proxy of a name, nil if the name is unknown. The caller must hold
// m.mu.
func (m *Module) proxy(name string) *proxy {
	i := slices.IndexFunc(m.proxies, func(p *proxy) bool { return p.name == name })
	if i < 0 {
		return nil
	}
	return m.proxies[i]
}

// Drain closes the ports and waits until clients and services have closed their
// connections. It cuts those that last longer than ctx and returns an error with
// their number.
func (m *Module) Drain(ctx context.Context) error {
	m.mu.Lock()
	m.gone.Start(len(m.conns))
	for _, p := range m.proxies {
		p.shut()
	}
	m.mu.Unlock()
	select {
	case <-m.gone.Empty():
		return nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	cut := len(m.conns)
	for c := range m.conns {
		c.close(false)
	}
	return m.cuts.Count(cut, "connections", ctx.Err())
}

// Stop closes the ports and all connections.
func (m *Module) Stop(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone.Start(len(m.conns))
	for _, p := range m.proxies {
		p.shut()
	}
	for c := range m.conns {
		c.close(false)
	}
	return nil
}
