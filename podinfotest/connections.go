package podinfotest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// The outcomes of connections, as [Requests.WantAnswers] writes them.
const (
	outcomeRefused   = "refused"
	outcomeDown      = "down"
	outcomeNoAnswer  = "no answer"
	outcomeFull      = "backlog full"
	outcomeNoHost    = "no such host"
	outcomeBadDNS    = "resolver failed"
	outcomeSilentDNS = "resolver silent"
	outcomeDead      = "dead connection"

	outcomeSlow        = "handshake slow"
	outcomeStalled     = "handshake stalled"
	outcomeBroken      = "handshake broken"
	outcomeUncertified = "no client certificate" // the others are those of scenario.Certificate
)

// connectionWords returns all outcomes, and how HTTP/2 ends without a frame.
func connectionWords() []string {
	out := []string{
		outcomeRefused, outcomeDown, outcomeNoAnswer, outcomeFull, outcomeNoHost, outcomeBadDNS, outcomeSilentDNS,
		outcomeDead, outcomeSlow, outcomeStalled, outcomeBroken, outcomeUncertified, new(scenario.HTTP2).Ending(),
	}
	for _, c := range scenario.Certificates() {
		out = append(out, string(c))
	}
	return out
}

// link is what a step does to the establishing of a connection.
type link struct {
	outcome string
	d       time.Duration
}

func (l *link) resolves() bool {
	return l.outcome == outcomeNoHost || l.outcome == outcomeBadDNS || l.outcome == outcomeSilentDNS
}

func linked(name, outcome string, d time.Duration) Step {
	s := Step{name: name, times: 1, link: &link{outcome, d}}
	if d < 0 {
		s.wrong = fmt.Sprintf("%s for %v: want a duration that is not negative", name, d)
	}
	return s
}

// Refuse refuses the connection: the client gets syscall.ECONNREFUSED. A client over
// TCP that does not use [Server.DialContext] has already connected when the server
// sees it, and gets syscall.ECONNRESET.
func Refuse() Step { return linked("refuse", outcomeRefused, 0) }

// Blackhole does not answer the attempt to connect, which ends with the client's
// deadline, or with syscall.ETIMEDOUT after 127 seconds, as on Linux. A client over TCP
// that does not use [Server.DialContext] connects and gets no response.
func Blackhole() Step { return linked("blackhole", outcomeNoAnswer, 0) }

// FullBacklog does not accept the connection for d. The client's kernel tries again
// after 1, 3, 7, 15, 31 and 63 seconds, so that connecting takes at least one second.
func FullBacklog(d time.Duration) Step { return linked("full-backlog", outcomeFull, d) }

// Down refuses the connection and all others for d, and resets those that are open, as
// a server that restarts does. Over TCP the ports are closed for that time.
func Down(d time.Duration) Step { return linked("down", outcomeDown, d) }

// NoSuchHost makes the name lookup fail: the client gets a *net.DNSError with
// IsNotFound. The client must use [Server.DialContext] or [Server.Resolver].
func NoSuchHost() Step { return linked("no-such-host", outcomeNoHost, 0) }

// ResolverFailure makes the name lookup fail: the client gets a *net.DNSError with
// IsTemporary, as for SERVFAIL.
func ResolverFailure() Step { return linked("resolver-failure", outcomeBadDNS, 0) }

// ResolverTimeout does not answer the name lookup: the client gets a *net.DNSError with
// IsTimeout after 10 seconds, or at its own deadline.
func ResolverTimeout() Step { return linked("resolver-timeout", outcomeSilentDNS, 0) }

// IdleClose closes the connection after d without data in either direction, as load
// balancers do, even while a request is being handled.
func IdleClose(d time.Duration) Step {
	return broken("idle-close", scenario.Fault{Connection: &scenario.Connection{Idle: scenario.Duration(d)}})
}

// Silent accepts the connection, and then reads and sends nothing until the client
// leaves.
func Silent() Step {
	return broken("silent", scenario.Fault{Connection: &scenario.Connection{Silent: true}})
}

// ScriptConnections says what happens to each connection in turn, on both ports. It
// replaces the script before. After the last step connections are made normally,
// unless that step is [Repeat].
//
// The steps are [Refuse], [Blackhole], [FullBacklog], [Down], [NoSuchHost],
// [ResolverFailure], [ResolverTimeout], [IdleClose], [Silent], those of a TLS handshake
// such as [ExpiredCertificate], [Fault] with the kinds connection and tls, [Delay],
// which delays the connecting, and [OK]. [Server.Attempts] returns the connections that
// failed among the requests.
func (s *Server) ScriptConnections(steps ...Step) {
	s.t.Helper()
	attempts, per, repeat, err := attemptsOf(steps, false)
	for i, a := range attempts {
		if problem := s.unconnectable(a); problem != "" && err == nil {
			err = fmt.Errorf("step %d: %s", i+1, problem)
		}
	}
	conditional := slices.ContainsFunc(steps, func(a Step) bool { return a.match != nil })
	if (per != "" || conditional) && err == nil {
		err = errors.New("Per and conditions such as MatchHeader do not apply to connections, which have no request yet: remove them")
	}
	if err == nil {
		s.needsFaults()
		s.mu.Lock()
		s.made++
		name := fmt.Sprintf("script%d", s.made)
		s.mu.Unlock()
		s.links.set(name, attempts, repeat)
		return
	}
	s.t.Fatalf("podinfotest: script of connections: %v", err)
}

// unconnectable says why a step does not apply to connections, "" if it does.
func (s *Server) unconnectable(a Step) string {
	f := a.fault
	switch {
	case a.reply != nil || a.wired != nil || f != nil && f.Connection == nil && f.TLS == nil:
		return a.name + " applies to requests: use Script, or a step such as Refuse, Blackhole or ExpiredCertificate"
	case f != nil && f.TLS != nil && s.pool == nil:
		return a.name + " needs TLS: start the server with StartTLS or Config.TLS"
	}
	return ""
}

// links is the script of connections.
type links struct {
	ended chan struct{} // closed at the end of the test

	mu      sync.Mutex
	changed chan struct{} // closed when a field below changes
	name    string
	steps   []Step // one for each connection
	next    int
	taken   int // steps, of all rounds
	repeat  bool
	down    time.Time // until when the server refuses connections
	apart   time.Time // until when it is partitioned
	dialing int       // dials of DialContext that have a step and no connection yet
	given   map[string]planned
	asked   map[string]asked // by name
}

// planned is the step of a connection.
type planned struct {
	Step
	rule string
}

func newLinks() *links {
	return &links{ended: make(chan struct{}), changed: make(chan struct{}), given: map[string]planned{}}
}

func (l *links) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *links) set(name string, attempts []Step, repeat bool) {
	l.change(func() {
		l.name, l.steps, l.next, l.taken, l.repeat = name, nil, 0, 0, repeat
		for i, s := range attempts {
			p := s
			p.name = fmt.Sprintf("%s.%d.%s", name, i+1, s.name)
			l.steps = append(l.steps, slices.Repeat([]Step{p}, s.times)...)
		}
	})
}

// used returns how many steps were used, and of how many. With Repeat the first round
// counts.
func (l *links) used() (used, of int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken, len(l.steps)
}

// takeLocked returns the step of the next connection. With lookup it only takes one for
// a name lookup.
func (l *links) takeLocked(lookup bool) planned {
	if l.repeat && l.next == len(l.steps) {
		l.next = 0
	}
	if l.next >= len(l.steps) || lookup && (l.steps[l.next].link == nil || !l.steps[l.next].link.resolves()) {
		return planned{}
	}
	s := l.steps[l.next]
	l.next++
	l.taken++
	return planned{s, s.name}
}

// unreachable returns until when the server refuses connections, or does not answer.
func (l *links) unreachable() (down, apart time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down, l.apart
}

// wait waits for d, or until ctx or the test ends.
func (l *links) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ended:
		return net.ErrClosed
	}
}

// connect connects to an entrance as the script says. host is what the client looks up.
func (s *Server) connect(ctx context.Context, e *entrance, host string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, timedOut(ctx, e)
	}
	l := s.links
	l.mu.Lock()
	p := l.takeLocked(false)
	l.mu.Unlock()
	if p.delay > 0 {
		if l.wait(ctx, p.delay) != nil {
			return nil, timedOut(ctx, e)
		}
	}
	if p.link != nil {
		failed := s.record.connecting(p.link.outcome, p.rule)
		if err := s.establish(ctx, e, host, p.link); err != nil {
			s.record.failed(failed)
			return nil, err
		}
		s.record.forget(failed)
		p = planned{}
	}
	if down, apart := l.unreachable(); time.Now().Before(down) {
		s.record.failed(s.record.connecting(outcomeDown, ""))
		return nil, refused(e)
	} else if left := time.Until(apart); left > 0 {
		failed := s.record.connecting(outcomeNoAnswer, "")
		if l.wait(ctx, retransmitted(left)) != nil {
			s.record.failed(failed)
			return nil, timedOut(ctx, e)
		}
		s.record.forget(failed)
	}
	l.change(func() { l.dialing++ })
	c, err := e.dial(ctx)
	l.change(func() {
		l.dialing--
		if err == nil {
			l.given[c.LocalAddr().String()] = p
		}
	})
	return c, err
}

// establish waits or fails as l says. It returns nil if the connection can be made.
func (s *Server) establish(ctx context.Context, e *entrance, host string, l *link) error {
	switch l.outcome {
	case outcomeRefused:
		return refused(e)
	case outcomeDown:
		s.goDown(l.d)
		return refused(e)
	case outcomeFull:
		if s.links.wait(ctx, retransmitted(l.d)) != nil {
			return timedOut(ctx, e)
		}
		return nil
	case outcomeNoAnswer:
		if s.links.wait(ctx, synRetries) != nil {
			return timedOut(ctx, e)
		}
		return failedDial(e, os.NewSyscallError("connect", syscall.ETIMEDOUT))
	}
	err := &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	switch l.outcome {
	case outcomeBadDNS:
		err = &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	case outcomeSilentDNS:
		s.links.wait(ctx, dnsTimeout)
		err = &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true, IsTemporary: true}
	}
	return &net.OpError{Op: "dial", Net: "tcp", Err: err}
}

const (
	synRetries = 127 * time.Second // the time of 6 retransmissions of a SYN (tcp(7), tcp_syn_retries)
	dnsTimeout = 10 * time.Second  // 2 attempts of 5 seconds (resolv.conf(5))
)

// retransmitted returns the time of the first SYN at d or later.
func retransmitted(d time.Duration) time.Duration {
	at := time.Duration(0)
	for step := time.Second; at < d; step *= 2 {
		at += step
	}
	return at
}

func failedDial(e *entrance, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: e.Addr(), Err: err}
}

func refused(e *entrance) error {
	return failedDial(e, os.NewSyscallError("connect", syscall.ECONNREFUSED))
}

// timedOut returns the error of package net for a dial whose context has ended.
func timedOut(ctx context.Context, e *entrance) error {
	if ctx.Err() == nil { // the test ends
		return failedDial(e, net.ErrClosed)
	}
	_, err := new(net.Dialer).DialContext(ctx, "tcp", e.Addr().String()) // sends nothing
	return err
}

// goDown resets all connections, and refuses further ones for d.
func (s *Server) goDown(d time.Duration) {
	s.links.change(func() { s.links.down = time.Now().Add(d) })
	for i := range s.entrances {
		if l, ok := s.entrances[i].Listener.(*reopening); ok {
			l.down(d)
		}
	}
	for _, w := range s.record.allWires() {
		w.reset()
	}
}

// Partition cuts the network between the server and its clients for d: nothing arrives
// in either direction, on open connections and on new ones, and nothing is lost. See
// the step [Partition] for one in the middle of a response.
func (s *Server) Partition(d time.Duration) {
	s.links.change(func() { s.links.apart = time.Now().Add(d) })
	for _, w := range s.record.allWires() {
		w.partition(d)
	}
}

// accepting is a port that numbers its connections and breaks them as the script says.
type accepting struct {
	net.Listener
	s *Server
}

// Accept implements net.Listener.
func (a accepting) Accept() (net.Conn, error) {
	for {
		c, err := a.Listener.Accept()
		if err != nil {
			return nil, err
		}
		w := newWire(c)
		w.ended = a.s.links.ended
		if served := a.begin(w); served != nil {
			return served, nil
		}
	}
}

// begin returns the connection to serve, or nil.
func (a accepting) begin(w *wire) net.Conn {
	p, foreign := a.s.links.accepted(w)
	a.s.record.open(w, p)
	down, apart := a.s.links.unreachable()
	if left := time.Until(apart); left > 0 {
		w.partition(left)
	}
	switch {
	case foreign && p.link != nil:
		return a.breakForeign(w, p)
	case time.Now().Before(down):
		w.reset()
		return nil
	case p.fault == nil || p.fault.Connection == nil:
		return w
	}
	if p.fault.Connection.Refuse || p.fault.Connection.Silent {
		outcome := outcomeNoAnswer
		if p.fault.Connection.Refuse {
			outcome = outcomeRefused
		}
		a.s.record.failed(a.s.record.connecting(outcome, p.rule))
	}
	return a.s.faults.BreakConnection(p.rule, p.fault.Connection, w)
}

// breakForeign breaks a connection that the kernel has made already.
func (a accepting) breakForeign(w *wire, p planned) net.Conn {
	if p.link.resolves() { // the client has looked up its name elsewhere
		return w
	}
	a.s.record.failed(a.s.record.connecting(p.link.outcome, p.rule))
	switch p.link.outcome {
	case outcomeDown:
		a.s.goDown(p.link.d)
	case outcomeFull:
		w.partition(retransmitted(p.link.d))
		return w
	case outcomeNoAnswer:
		return a.s.faults.BreakConnection(p.rule, &scenario.Connection{Silent: true}, w)
	}
	w.reset()
	return nil
}

// accepted returns the step of a connection, and whether it was made without
// DialContext. In that case it takes the next step.
func (l *links) accepted(w *wire) (p planned, foreign bool) {
	addr := w.RemoteAddr().String()
	for {
		l.mu.Lock()
		p, ok := l.given[addr]
		delete(l.given, addr)
		changed := l.changed
		if !ok && l.dialing == 0 {
			p = l.takeLocked(false)
		}
		dialing := l.dialing
		l.mu.Unlock()
		if ok || dialing == 0 {
			return p, !ok
		}
		<-changed
	}
}

// reopening is a TCP listener that can be closed for a while.
type reopening struct {
	addr net.Addr
	t    interface{ Errorf(string, ...any) }

	mu      sync.Mutex
	current net.Listener // nil while it is closed
	back    chan struct{}
	timer   *time.Timer
	closed  bool
}

func newReopening(l net.Listener, t interface{ Errorf(string, ...any) }) *reopening {
	return &reopening{addr: l.Addr(), t: t, current: l, back: make(chan struct{})}
}

// Addr implements net.Listener.
func (r *reopening) Addr() net.Addr { return r.addr }

// Accept implements net.Listener.
func (r *reopening) Accept() (net.Conn, error) {
	for {
		r.mu.Lock()
		l, back, closed := r.current, r.back, r.closed
		r.mu.Unlock()
		if closed {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: r.addr, Err: net.ErrClosed}
		}
		if l == nil {
			<-back
			continue
		}
		c, err := l.Accept()
		r.mu.Lock()
		same := r.current == l
		r.mu.Unlock()
		if err == nil || same {
			return c, err
		}
	}
}

// down closes the port for d.
func (r *reopening) down(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if r.current != nil {
		r.current.Close()
		r.current = nil
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.timer = time.AfterFunc(d, r.reopen)
}

func (r *reopening) reopen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.current != nil {
		return
	}
	l, err := net.Listen("tcp", r.addr.String())
	if err != nil {
		r.t.Errorf("podinfotest: the server does not come back: %v", err)
		return
	}
	r.current = l
	close(r.back)
	r.back = make(chan struct{})
}

// Close implements net.Listener.
func (r *reopening) Close() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
	if r.current != nil {
		err = r.current.Close()
	}
	r.current = nil
	close(r.back)
	return err
}

// unconnected returns an error if a step is one for connections, which have no path.
func unconnected(steps []Step) error {
	for i, s := range steps {
		if s.link != nil || s.fault != nil && (s.fault.Connection != nil || s.fault.TLS != nil) {
			return fmt.Errorf("step %d: %s applies to connections, which have no path: use ScriptConnections", i+1, s.name)
		}
	}
	return nil
}
