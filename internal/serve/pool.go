package serve

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// Pool bounds the connections that are open at the same time. Several listeners
// may share one.
//
// When a connection does not fit, the pool closes others that wait for their client:
// they are kept alive, have received a part of a request's header, or serve a
// request whose client stands still. The first is the one that has waited longest.
// The pool closes no connection that serves another request, has just been opened,
// or has received data.
type Pool struct {
	max     int
	busy    atomic.Int64 // weight of the connections that serve a request
	refused atomic.Pointer[metrics.Counter]
	closed  atomic.Uint64 // for others

	mu      sync.Mutex
	used    int           // weight of all connections
	open    int           // number of them
	closing int           // connections that were closed for others and have not ended yet
	waiting Conn          // head of the ring of those that wait, in the order in which they began
	idle    time.Duration // after which one that waits is closed, 0 for never
	sweeper *time.Timer   // nil unless idle is set and connections wait
	log     *logrus.Entry
	logged  time.Time
	counts  [2]int // refused and closed since then
}

const (
	fresh    = 250 * time.Millisecond // how long a connection may wait at least
	patience = time.Second            // how long a new one waits for room
	retry    = 2 * time.Millisecond
	reserve  = 8 // an eighth of the pool is for probes; as many may be closing
)

// NewPool returns a pool of connections of a total weight of max. The weight of
// a connection is 1, unless it serves several requests at the same time.
func NewPool(max int) *Pool {
	p := &Pool{max: max}
	p.waiting.prev, p.waiting.next = &p.waiting, &p.waiting
	p.refused.Store(new(metrics.Counter))
	return p
}

// LogTo makes the pool log, at most once a second, that it is full. It returns p.
func (p *Pool) LogTo(log *logrus.Entry) *Pool {
	p.log = log
	return p
}

// Overloaded reports whether only the reserve is left, because so many
// connections serve requests or were taken over.
func (p *Pool) Overloaded() bool { return int(p.busy.Load()) > p.shared() }

// shared is the pool without the reserve.
func (p *Pool) shared() int { return p.max - p.max/reserve }

// Open returns the number of open connections.
func (p *Pool) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// ContributeMetrics adds the numbers of the pool's connections to set. protocol is
// part of their names.
func (p *Pool) ContributeMetrics(set *metrics.Set, protocol string) {
	name := "podinfo_" + protocol + "_connections"
	set.NewGauge(name, func() float64 { return float64(p.Open()) })
	set.NewGauge(name+"_max", func() float64 { return float64(p.max) })
	set.NewGauge(name+"_closed_total", func() float64 { return float64(p.closed.Load()) })
	p.refused.Store(set.GetOrCreateCounter(`podinfo_requests_refused_total{reason="` + record.RefusedConnections + `"}`))
}

// DescribeMetrics returns the help texts of these metrics.
func DescribeMetrics(protocol string) map[string]string {
	name := "podinfo_" + protocol + "_connections"
	return map[string]string{
		name:                   "Open connections.",
		name + "_max":          "Maximum number of open connections. An HTTP/2 connection counts as several.",
		name + "_closed_total": "Connections that waited for their client and were closed to make room for others.",
	}
}

// add makes room for more weight of c, within most, and adds it. It reports
// whether that was possible, and waits for it.
func (p *Pool) add(c *Conn, more, most int, wait time.Duration) bool {
	defer p.report()
	for end := time.Now().Add(wait); ; time.Sleep(retry) {
		p.mu.Lock()
		ok := p.makeRoomLocked(c, more, most)
		if !ok && time.Now().Before(end) {
			p.mu.Unlock()
			continue
		}
		defer p.mu.Unlock()
		if !ok {
			p.refused.Load().Inc()
			p.counts[0]++
			return false
		}
		if c.weight == 0 {
			p.open++
			p.waitLocked(c)
		}
		c.weight += more
		p.used += more
		if c.next == nil {
			p.busy.Add(int64(more))
		}
		return true
	}
}

// makeRoomLocked closes connections other than c until more fits. It reports
// whether it does.
func (p *Pool) makeRoomLocked(c *Conn, more, most int) bool {
	for p.used+more > most {
		victim := p.oldestLocked(c)
		if victim == nil || time.Since(victim.since) < fresh || p.closing > p.max/reserve {
			return false
		}
		p.closeLocked(victim)
	}
	return true
}

// oldestLocked returns the connection that has waited longest, nil if all are in
// use.
func (p *Pool) oldestLocked(except *Conn) *Conn {
	for c := p.waiting.next; c != &p.waiting; c = c.next {
		if c != except && c.idle() {
			return c
		}
	}
	return nil
}

// closeOne closes the connection that has waited longest and reports whether
// there was one.
func (p *Pool) closeOne() bool {
	defer p.report()
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.oldestLocked(nil)
	if c != nil {
		p.closeLocked(c)
	}
	return c != nil
}

func (p *Pool) closeLocked(c *Conn) {
	p.removeLocked(c)
	c.closing = true
	p.closing++
	p.closed.Add(1)
	p.counts[1]++
	c.Conn.Close()
}

// report logs that connections were refused or closed, at most once a second.
func (p *Pool) report() {
	p.mu.Lock()
	counts, now := p.counts, time.Now()
	due := p.log != nil && counts != [2]int{} && now.Sub(p.logged) >= time.Second
	if due {
		p.logged, p.counts = now, [2]int{}
	}
	p.mu.Unlock()
	if due {
		p.log.WithFields(logrus.Fields{"max": p.max, "refused": counts[0], "closed": counts[1]}).Warn("too many connections")
	}
}

// move says whether c waits for the client. It returns false if c has left.
func (p *Pool) move(c *Conn, waits bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.weight == 0:
		return false
	case waits && c.next == nil:
		p.busy.Add(int64(-c.weight))
		p.waitLocked(c)
	case waits:
		c.unlink()
		p.waitLocked(c)
	case c.next != nil:
		c.unlink()
		p.busy.Add(int64(c.weight))
	}
	return true
}

// closeIdle makes the pool close connections that have waited for d.
func (p *Pool) closeIdle(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = d
}

// sweep closes the connections that have waited for too long. It tells clients
// first that were given a goodbye.
func (p *Pool) sweep() {
	var goodbyes []func()
	p.mu.Lock()
	for c := p.waiting.next; c != &p.waiting && time.Since(c.since) >= p.idle; c = c.next {
		switch {
		case !c.idle():
		case c.goodbye != nil:
			goodbyes = append(goodbyes, c.goodbye)
			c.goodbye = nil
		default:
			c.Conn.Close()
		}
	}
	if p.sweeper = nil; p.waiting.next != &p.waiting {
		p.sweepLaterLocked()
	}
	p.mu.Unlock()
	for _, f := range goodbyes {
		f()
	}
}

func (p *Pool) sweepLaterLocked() {
	if p.idle > 0 && p.sweeper == nil {
		p.sweeper = time.AfterFunc(p.idle/8, p.sweep)
	}
}

// waitLocked appends c to the ring.
func (p *Pool) waitLocked(c *Conn) {
	p.sweepLaterLocked()
	c.since = time.Now()
	c.prev, c.next = p.waiting.prev, &p.waiting
	c.prev.next, p.waiting.prev = c, c
}

// leave removes c when it has ended. It may be called more than once.
func (p *Pool) leave(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(c)
	if c.closing {
		c.closing = false
		p.closing--
	}
}

func (p *Pool) removeLocked(c *Conn) {
	if c.weight == 0 {
		return
	}
	if c.next == nil {
		p.busy.Add(int64(-c.weight))
	} else {
		c.unlink()
	}
	p.used -= c.weight
	p.open--
	c.weight = 0
}

// Conn is a connection in a Pool. It waits until Move is called.
type Conn struct {
	net.Conn
	pool    *Pool
	reader  io.Reader
	reading atomic.Bool // waits for data
	blocked atomic.Bool // waits for the client to read

	// The lock of the pool guards these fields.
	prev, next *Conn     // in the ring of those that wait, else nil
	since      time.Time // when it began to wait
	weight     int       // 0 after it has left
	closing    bool
	goodbye    func() // tells the client that the connection will be closed, or nil
}

// A Class says what a connection does.
type Class int

// The classes of connections.
const (
	Idle Class = iota // waits for a request
	Slow              // serves requests whose clients stand still
	Busy              // serves a request or was taken over
)

// Move says what the connection does now. It returns false if the connection was
// closed for another one.
func (c *Conn) Move(class Class) bool { return c.pool.move(c, class != Busy) }

func (c *Conn) unlink() {
	c.prev.next, c.next.prev = c.next, c.prev
	c.prev, c.next = nil, nil
}

// idle reports whether the server waits for the client.
func (c *Conn) idle() bool { return c.blocked.Load() || c.Silent() }

// Silent reports whether the server waits for data from the client and none has
// arrived.
func (c *Conn) Silent() bool { return c.reading.Load() && !pending(c.Conn) }

// join sets the connection below and the pool.
func (c *Conn) join(p *Pool, raw net.Conn) {
	c.pool, c.Conn, c.reader = p, raw, newReader(raw, &c.reading)
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Store(true)
	n, err := c.reader.Read(p)
	c.reading.Store(false)
	return n, err
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.pool.leave(c)
	return err
}

// CloseWrite closes the server's side of the connection, if that is possible.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// SetLinger makes Close reset the connection, for 0 seconds, if that is possible.
func (c *Conn) SetLinger(seconds int) error {
	if t, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return t.SetLinger(seconds)
	}
	return nil
}

// Limit returns a listener whose connections are of type *[Conn] and belong to the
// pool. It closes those that there is no room for.
func (p *Pool) Limit(l net.Listener) net.Listener {
	wrap := func(raw net.Conn) (net.Conn, *Conn) {
		c := new(Conn)
		c.join(p, raw)
		return c, c
	}
	return &limited{l, p, wrap, func(raw net.Conn) { raw.Close() }}
}
