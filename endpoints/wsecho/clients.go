package wsecho

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
)

// clients are the open connections of a module.
type clients struct {
	mu      sync.Mutex
	all     map[*client]struct{}
	n       int // number of connections, including those being added
	drained drain.Signal
	cutting bool
	arrived chan struct{} // wakes the module's timers when a client is added
}

func (cs *clients) init() {
	cs.all, cs.drained, cs.arrived = map[*client]struct{}{}, drain.New(), make(chan struct{}, 1)
}

func (cs *clients) count() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.n
}

// Errors of reserve.
var (
	errDraining = errors.New("the server is shutting down")
	errFull     = errors.New("too many WebSockets are open: try again later")
)

// reserve reserves a place for one more connection. If it returns nil, the caller
// must call add or release.
func (cs *clients) reserve(limit int) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case cs.drained.Started():
		return errDraining
	case cs.n >= limit:
		return errFull
	}
	cs.n++
	return nil
}

func (cs *clients) release() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.removeOneLocked()
}

// add adds a connection. If the module is draining already, it gets the same
// requests as the connections before it.
func (cs *clients) add(c *client) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.all[c] = struct{}{}
	select {
	case cs.arrived <- struct{}{}:
	default:
	}
	if cs.drained.Started() {
		c.request(goAway)
	}
	if cs.cutting {
		c.cut()
	}
}

func (cs *clients) remove(c *client) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.all, c)
	cs.removeOneLocked()
}

// removeOneLocked counts one connection less. The caller must hold cs.mu.
func (cs *clients) removeOneLocked() {
	cs.n--
	cs.drained.Left(cs.n)
}

// requestAll sets a flag for every connection.
func (cs *clients) requestAll(flag uint32) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.all {
		c.request(flag)
	}
}

func (cs *clients) drain() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if !cs.drained.Start(cs.n) {
		return
	}
	for c := range cs.all {
		c.request(goAway)
	}
}

// cut closes every connection without a close frame and returns their number.
func (cs *clients) cut() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.cutting = true
	for c := range cs.all {
		c.cut()
	}
	return cs.n
}

// The flags in client.pending.
const (
	sendStatus uint32 = 1 << iota
	sendPing
	goAway
)

// request sets a flag in c.pending and interrupts the reader with a deadline in
// the past. It does not block.
func (c *client) request(flag uint32) {
	c.pending.Or(flag)
	c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// cut closes the connection. It does not block: below TLS, whose Close would wait
// to send a last record.
func (c *client) cut() {
	conn := c.Conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	conn.Close()
}
