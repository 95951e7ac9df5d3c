package podinfotest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/endpoints/tcpproxy"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// TCPServer is a TCP proxy in front of another server, such as a real Redis. It runs
// until its test ends.
type TCPServer struct {
	Addr string // address of the proxy: "127.0.0.1:40001"

	t      testing.TB
	server *Server
	module *tcpproxy.Module

	mu      sync.Mutex
	ended   []tcpproxy.Connection
	changed chan struct{} // closed when a connection ends
}

// TCPProxy starts a proxy on loopback for the address of a server. env configures it
// like the server of [Start]. The name of the proxy, for match.tcp of a scenario, is
// proxy.
func TCPProxy(t testing.TB, target string, env ...string) *TCPServer {
	t.Helper()
	p := &TCPServer{t: t, changed: make(chan struct{})}
	p.module = &tcpproxy.Module{ListenHost: setting.ListenHost{Host: "127.0.0.1"}, Targets: []string{"proxy=" + target}, OnClose: p.add}
	p.server = Config{Modules: []registry.Module{p.module}}.Start(t, env...)
	p.Addr = p.module.AddrOf("proxy").String()
	return p
}

func (p *TCPServer) add(c tcpproxy.Connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = append(p.ended, c)
	close(p.changed)
	p.changed = make(chan struct{})
}

// Script says what happens to each connection in turn. It replaces the script before.
// After the last step connections pass, unless that step is [Repeat].
//
// The steps are those of [Server.Script] that apply to connections: [Reset] and
// [Empty] at the accept, [Delay] before the connecting, [Bandwidth] and [Stall] of
// what the target sends, [Fault] with any kind for TCP, and [OK]. Connections that
// are open count too, oldest first, except for steps at the accept.
func (p *TCPServer) Script(steps ...Step) {
	p.t.Helper()
	attempts, per, repeat, err := attemptsOf(steps, false)
	for i, s := range attempts { // none after an error
		if s.reply != nil || s.fault != nil && s.fault.Kind(scenario.TCPConnections) == nil {
			err = fmt.Errorf("step %d: %s does not apply to TCP connections: use Reset, Empty, Delay, Stall, Bandwidth, Fault or OK", i+1, s.name)
		}
	}
	p.server.needsFaults()
	if err == nil {
		s := p.server
		s.mu.Lock()
		s.made++
		s.scripts = []script{{rules: rulesOf(fmt.Sprintf("script%d", s.made), scenario.Match{TCP: "proxy", Per: per}, attempts, repeat)}}
		err = s.applyLocked()
		s.mu.Unlock()
	}
	if err != nil {
		p.t.Fatalf("podinfotest: script of a TCP proxy: %v", err)
	}
	p.module.Sync()
}

// Scenario replaces the fault scenario, given as YAML or JSON. Its rules follow those
// of the script. Open connections follow them when Scenario returns.
func (p *TCPServer) Scenario(text string) {
	p.t.Helper()
	p.server.Scenario(text)
	p.module.Sync()
}

// Ended waits until n connections have ended, and returns all that have, in the order
// of their accepts. It fails the test if that takes more than 10 seconds.
func (p *TCPServer) Ended(n int) []tcpproxy.Connection {
	p.t.Helper()
	limit := time.After(stopping)
	for {
		p.mu.Lock()
		ended, changed := slices.Clone(p.ended), p.changed
		p.mu.Unlock()
		if len(ended) >= n {
			slices.SortFunc(ended, func(a, b tcpproxy.Connection) int { return a.Began.Compare(b.Began) })
			return ended
		}
		select {
		case <-changed:
		case <-limit:
			p.t.Fatalf("podinfotest: %d connections have ended, want %d: %+v", len(ended), n, ended)
		}
	}
}

// Cut resets all open connections, as a router that restarts does.
func (p *TCPServer) Cut() { p.module.Cut() }
