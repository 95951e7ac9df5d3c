package wsecho

import (
	"net"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
)

// clients are the open connections of a module.
type clients struct {
	mu      sync.Mutex
	all     map[*client]struct{}
	n       int // those in all, and those being added
	drained drain.Signal
	cutting bool
	came    chan struct{} // holds something when there may be a first client
}

func (cs *clients) init() {
	cs.all, cs.drained, cs.came = map[*client]struct{}{}, drain.New(), make(chan struct{}, 1)
}

func (cs *clients) count() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.n
}

// reserve makes room for one more, which add or release has to follow.
func (cs *clients) reserve(limit int) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.drained.Started() || cs.n >= limit {
		return false
	}
	cs.n++
	return true
}

func (cs *clients) release() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.less()
}

// add takes c in. One that comes late is told at once what the others were.
func (cs *clients) add(c *client) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.all[c] = struct{}{}
	select {
	case cs.came <- struct{}{}:
	default:
	}
	if cs.drained.Started() {
		c.ask(goAway)
	}
	if cs.cutting {
		c.cut()
	}
}

func (cs *clients) remove(c *client) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.all, c)
	cs.less()
}

func (cs *clients) less() {
	cs.n--
	cs.drained.Left(cs.n)
}

// ask asks every reader for what.
func (cs *clients) ask(what uint32) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.all {
		c.ask(what)
	}
}

func (cs *clients) drain() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if !cs.drained.Start(cs.n) {
		return
	}
	for c := range cs.all {
		c.ask(goAway)
	}
}

// cut ends every connection, whatever its reader is waiting for, and says how
// many there were.
func (cs *clients) cut() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.cutting = true
	for c := range cs.all {
		c.cut()
	}
	return cs.n
}

// What a reader may be asked for.
const (
	sendStatus uint32 = 1 << iota
	sendPing
	goAway
)

// ask never waits: asking twice for the same is asking once. The deadline is
// one that has passed.
func (c *client) ask(what uint32) {
	c.asked.Or(what)
	c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// cut never waits either, as closing a TLS connection would: it has a last
// record to send.
func (c *client) cut() {
	conn := c.Conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	conn.Close()
}
