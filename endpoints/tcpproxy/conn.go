package tcpproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/hangup"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// The directions, as indices.
const (
	in  = iota // from the client to the target
	out        // from the target to the client
)

// conn is a client's connection and the one to the target.
type conn struct {
	proxy    *proxy
	number   uint64
	client   net.Conn
	upstream string
	ctx      context.Context // done when the connections are closed
	cancel   context.CancelFunc
	began    time.Time
	bytes    [2]atomic.Int64

	mu      sync.Mutex
	rules   *scenario.TCPConnection // nil without rules, and before the accept is decided
	effects []*effect               // of the rules, in their order
	hits    []string
	target  net.Conn // nil until it is connected
	flows   [2]*flow // nil until the target is connected
	closed  bool
	ends    bool // the client is to see the end of the data, not a reset
}

func newConn(p *proxy, client net.Conn) *conn {
	p.m.opened++
	c := &conn{proxy: p, number: p.m.opened, client: client, upstream: p.upstream, began: time.Now()}
	c.ctx, c.cancel = context.WithCancel(p.m.host.Context())
	return c
}

// peer is the client as rules see it.
type peer struct{ addr net.Addr }

func (peer) Header(string) []string { return nil }
func (peer) Query(string) []string  { return nil }
func (p peer) Client() string {
	host, _, err := net.SplitHostPort(p.addr.String())
	if err != nil {
		return p.addr.String()
	}
	return host
}

// run passes data until both directions have ended.
func (c *conn) run() {
	defer c.end()
	delay, answer := c.accept()
	if delay > 0 && !c.wait(delay) {
		return
	}
	if answer != nil {
		c.mu.Lock()
		answer(c)
		c.mu.Unlock()
		if c.ends {
			hangup.Close(c.client)
		}
		return
	}
	if c.silent() {
		target, nobody := net.Pipe() // the rule drops everything
		defer nobody.Close()
		c.pass(target)
		return
	}
	target, err := c.proxy.m.dial(c.ctx, c.upstream)
	if err != nil {
		if c.ctx.Err() == nil {
			c.proxy.refused.Inc()
			c.proxy.m.host.Log.WithField("proxy", c.proxy.name).WithError(err).Warn("cannot connect to the target of a TCP proxy")
		}
		return
	}
	c.pass(target)
}

// accept decides what the rules do to the connection. It returns how long to wait
// before the target is connected, or before answer ends the connection.
func (c *conn) accept() (delay time.Duration, answer func(*conn)) {
	if !c.proxy.m.ruled() {
		return 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = c.proxy.m.rules.Engine().Connect(c.proxy.name, peer{c.client.RemoteAddr()})
	strikes := c.rules.Update()
	for _, s := range strikes {
		if delay += s.Delay; s.Delay > 0 {
			c.hitLocked(s, "delay")
		}
		if k := s.Kind(scenario.TCPConnections); k != nil && breakers[k.Name].accept != nil && answer == nil {
			c.hitLocked(s, k.Name)
			answer = breakers[k.Name].accept
		}
	}
	if answer == nil {
		c.applyLocked(strikes)
	}
	return min(delay, c.proxy.m.rules.Engine().Limits().Delay), answer
}

// wait delays the connecting. It returns false if the connection is closed
// meanwhile. When too many others are delayed, it does not wait.
func (c *conn) wait(delay time.Duration) bool {
	e := c.proxy.m.rules.Engine()
	if !e.Hold() {
		return true
	}
	defer e.Release()
	return registry.Sleep(c.ctx, delay)
}

// silent reports whether rules drop all data in both directions, so that no target
// is needed.
func (c *conn) silent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var drops [2]bool
	for _, e := range c.effects {
		for way, st := range e.stages {
			drops[way] = drops[way] || st != nil && st.drops
		}
	}
	return drops[in] && drops[out]
}

// pass passes data between the client and the target.
func (c *conn) pass(target net.Conn) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		target.Close()
		return
	}
	c.target = target
	c.flows = [2]*flow{newFlow(c, in, c.client, target), newFlow(c, out, target, c.client)}
	c.arrangeLocked()
	c.mu.Unlock()
	var both sync.WaitGroup
	both.Go(c.flows[in].run)
	c.flows[out].run()
	both.Wait()
}

// update applies changed rules to the open connection.
func (c *conn) update() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rules == nil || c.closed {
		return
	}
	var strikes []*scenario.Strike
	if c.proxy.m.ruled() {
		strikes = c.rules.Update()
	}
	c.applyLocked(strikes)
}

// applyLocked replaces the effects on the connection by those of the strikes.
func (c *conn) applyLocked(strikes []*scenario.Strike) {
	old := c.effects
	c.effects = nil
	for _, s := range strikes {
		if i := slices.IndexFunc(old, func(e *effect) bool { return e.strike == s }); i >= 0 {
			c.effects = append(c.effects, old[i])
			continue
		}
		k := s.Kind(scenario.TCPConnections)
		if k == nil || breakers[k.Name].effect == nil {
			continue
		}
		e := breakers[k.Name].effect(c, s)
		e.strike = s
		c.hitLocked(s, k.Name)
		c.effects = append(c.effects, e)
	}
	over := false
	for _, e := range old {
		if !slices.Contains(c.effects, e) {
			e.stop()
			over = over || e.closes
		}
	}
	if over {
		c.closeLocked(false)
	}
	c.arrangeLocked()
}

// arrangeLocked gives each direction its stages.
func (c *conn) arrangeLocked() {
	for way, f := range c.flows {
		if f == nil {
			continue
		}
		var stages []*stage
		for _, e := range c.effects {
			if e.stages[way] != nil {
				stages = append(stages, e.stages[way])
			}
		}
		f.arrange(stages)
	}
}

func (c *conn) hitLocked(s *scenario.Strike, kind string) {
	if !slices.Contains(c.hits, s.Rule) { // a delay and another fault are two hits
		c.hits = append(c.hits, s.Rule)
	}
	c.proxy.m.rules.CountHit(s.Rule, kind)
}

// moving returns channels that are closed when the directions with stages follow
// them.
func (c *conn) moving() (out []<-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.flows {
		if f == nil {
			continue
		}
		if moved := f.unsettled(); moved != nil {
			out = append(out, moved)
		}
	}
	return out
}

// close closes both connections, with TCP RST if reset is true.
func (c *conn) close(reset bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked(reset)
}

func (c *conn) closeLocked(reset bool) {
	if c.closed {
		return
	}
	c.closed = true
	c.cancel()
	for _, x := range []net.Conn{c.client, c.target} {
		if x == nil {
			continue
		}
		if t, ok := x.(interface{ SetLinger(sec int) error }); ok && reset {
			t.SetLinger(0)
		}
		x.Close()
	}
}

// end closes the connections and frees what the rules hold.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked(false)
	for _, e := range c.effects {
		e.stop()
	}
	c.effects = nil
	if c.rules != nil {
		c.rules.Done()
		c.rules = nil
	}
	log := c.proxy.m.host.Log
	if !log.Logger.IsLevelEnabled(logrus.DebugLevel) {
		return
	}
	log.WithFields(logrus.Fields{
		"proxy": c.proxy.name, "remote": c.client.RemoteAddr().String(), "faults": c.hits,
		"bytes_in": c.bytes[in].Load(), "bytes_out": c.bytes[out].Load(), "duration": time.Since(c.began).Seconds(),
	}).Debug("connection completed")
}

// record returns the connection, which has ended.
func (c *conn) record() Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Connection{
		Proxy: c.proxy.name, Client: c.client.RemoteAddr().String(), Rules: c.hits, Began: c.began, Ended: time.Now(),
		In: c.bytes[in].Load(), Out: c.bytes[out].Load(),
	}
}

// broken closes the connections after an error of one of them.
func (c *conn) broken(err error) { c.close(errors.Is(err, syscall.ECONNRESET)) }

// flow passes the data of one direction.
type flow struct {
	c        *conn
	way      int
	src, dst net.Conn

	pieces  atomic.Int64  // on their way through stages
	written chan struct{} // receives when there are fewer

	mu      sync.Mutex
	stages  []*stage
	changed chan struct{} // closed when stages change
	moved   chan struct{} // open while data passes without regard to stages
}

func newFlow(c *conn, way int, src, dst net.Conn) *flow {
	return &flow{c: c, way: way, src: src, dst: dst, changed: make(chan struct{}), written: make(chan struct{}, 1), moved: make(chan struct{})}
}

// arrange replaces the stages and interrupts what waits for data or time.
func (f *flow) arrange(stages []*stage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Equal(f.stages, stages) {
		return
	}
	f.stages = stages
	close(f.changed)
	f.changed = make(chan struct{})
	f.src.SetReadDeadline(time.Unix(1, 0))
}

// now returns the stages, and a channel that is closed when they change.
func (f *flow) now() ([]*stage, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stages, f.changed
}

// begin is now for a new read, which arrange interrupts.
func (f *flow) begin() []*stage {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.src.SetReadDeadline(time.Time{})
	f.settleLocked()
	if len(f.stages) == 0 {
		f.moved = make(chan struct{})
	}
	return f.stages
}

// settleLocked notes that no data passes without regard to stages.
func (f *flow) settleLocked() {
	select {
	case <-f.moved:
	default:
		close(f.moved)
	}
}

// unsettled returns a channel that is closed when no data passes without regard to
// the stages, nil without stages.
func (f *flow) unsettled() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.stages) == 0 {
		return nil
	}
	return f.moved
}

// run passes data until the source ends or the connection is closed.
func (f *flow) run() {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.settleLocked()
	}()
	for {
		stages := f.begin()
		var err error
		if len(stages) > 0 {
			err = f.shape(stages)
		} else if err = f.copy(); !errors.Is(err, os.ErrDeadlineExceeded) {
			f.finish(err)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// portion is the number of bytes after which the metrics are updated.
const portion = 16 << 20

// copy passes data without stages. Between TCP connections the kernel moves it
// (splice). The error is nil at the end of the data.
func (f *flow) copy() error {
	from := &io.LimitedReader{R: f.src}
	for {
		from.N = portion
		n, err := io.Copy(f.dst, from)
		f.count(n)
		if err != nil || from.N > 0 {
			return err
		}
	}
}

func (f *flow) count(n int64) {
	f.c.bytes[f.way].Add(n)
	f.c.proxy.bytes[f.way].AddInt64(n)
}

// finish passes the end of the data on: the other direction stays open. After an
// error both connections are closed.
func (f *flow) finish(err error) {
	if half, ok := f.dst.(interface{ CloseWrite() error }); err == nil && ok {
		half.CloseWrite()
		return
	}
	f.c.broken(err)
}
