package serve

import (
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is a pool of connections with names. Those whose names are in capitals have
// received data.
type crowd struct {
	*Pool
	conns  map[string]*Conn
	closed []string
}

// raw is the connection below. It ends when it is closed, if it is not slow to.
type raw struct {
	net.Conn
	close func()
}

func (r raw) Close() error { r.close(); return nil }

func newCrowd(max int) *crowd { return &crowd{Pool: NewPool(max), conns: map[string]*Conn{}} }

func (c *crowd) open(name string, class Class) bool {
	conn := &Conn{pool: c.Pool}
	conn.Conn = raw{close: func() {
		c.closed = append(c.closed, name)
		if !strings.HasPrefix(name, "slow") {
			go c.leave(conn)
		}
	}}
	conn.reading.Store(name != strings.ToUpper(name))
	c.conns[name] = conn
	if !c.add(conn, 1, c.max, patience) {
		return false
	}
	if class == Busy {
		conn.Move(class)
	}
	return true
}

func (c *crowd) fill(class Class, names ...string) {
	for _, name := range names {
		c.open(name, class)
	}
}

func TestPoolClosesTheLongestWaiting(t *testing.T) {
	for _, c := range []struct {
		name   string
		fill   func(c *crowd) // a pool of four
		closed string         // "refused" if the next one is
		waits  time.Duration
	}{
		{"room", func(c *crowd) { c.fill(Idle, "a") }, "", 0},
		{"the longest idle", func(c *crowd) {
			c.fill(Idle, "a", "b")
			c.fill(Busy, "c", "d")
			c.conns["a"].Move(Busy)
			c.conns["a"].Move(Idle)
			time.Sleep(fresh)
		}, "b", 0},
		{"one that went on waiting for something else", func(c *crowd) {
			c.fill(Idle, "a", "b", "c", "d")
			c.conns["a"].Move(Idle)
			time.Sleep(fresh)
		}, "b", 0},
		{"none that was just opened", func(c *crowd) { c.fill(Idle, "a", "b", "c", "d") }, "a", fresh},
		{"none that has received data", func(c *crowd) {
			c.fill(Idle, "A", "B", "c", "d")
			time.Sleep(fresh)
		}, "c", 0},
		{"all have received data", func(c *crowd) { c.fill(Idle, "A", "B", "C", "D") }, "refused", patience},
		{"all are busy", func(c *crowd) { c.fill(Busy, "a", "b", "c", "d") }, "refused", patience},
		{"waits for one that leaves", func(c *crowd) {
			c.fill(Idle, "A", "B", "C", "D")
			b := c.conns["B"]
			time.AfterFunc(300*time.Millisecond, func() { c.leave(b) })
		}, "", 300 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newCrowd(4)
			c.fill(p)
			began := time.Now()
			got := ""
			if !p.open("next", Busy) {
				got = "refused"
			}
			got += strings.Join(p.closed, " ")
			if waited := time.Since(began); got != c.closed || waited < c.waits || waited > c.waits+retry {
				t.Errorf("%s: %q after %v, want %q after %v", c.name, got, waited, c.closed, c.waits)
			}
			if p.Open() > 4 {
				t.Errorf("%s: %d are open", c.name, p.Open())
			}
		})
	}
}

// TestPoolOfHeavyConnections checks that connections which may serve several
// requests leave an eighth of the pool to others.
func TestPoolOfHeavyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newCrowd(80)
		heavy := func(name string) bool {
			time.Sleep(fresh)
			return p.open(name, Idle) && p.add(p.conns[name], 9, p.shared(), fresh)
		}
		for i := range 80 {
			p.open("light"+string(rune('0'+i)), Idle)
		}
		for i := range 7 {
			if !heavy("heavy" + string(rune('0'+i))) {
				t.Fatalf("heavy%d is refused", i)
			}
		}
		if p.Open() != 7 || p.Overloaded() {
			t.Errorf("%d are open, overloaded %v", p.Open(), p.Overloaded())
		}
		p.closed = nil
		if !heavy("another") || !slices.Equal(p.closed, []string{"heavy0"}) {
			t.Errorf("closed %v", p.closed)
		}
		for _, c := range p.conns {
			c.Move(Busy)
		}
		if p.Overloaded() || heavy("last") {
			t.Error("the reserve was given away")
		}
		p.open("probe", Busy)
		if p.conns["probe"].weight != 1 || !p.Overloaded() {
			t.Error("no room for a probe")
		}
	})
}

// TestPoolWaitsForMemory checks that connections are not replaced faster than they
// end.
func TestPoolWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newCrowd(40)
		for i := range 40 {
			p.open("slow"+string(rune('0'+i)), Idle)
		}
		time.Sleep(fresh)
		for i := range 6 {
			if !p.open("A"+string(rune('0'+i)), Busy) {
				t.Fatal("refused")
			}
		}
		began := time.Now()
		first := p.conns[p.closed[0]]
		time.AfterFunc(200*time.Millisecond, func() { p.leave(first) })
		ok := p.open("B", Busy)
		if waited := time.Since(began); !ok || waited < 200*time.Millisecond || waited > 200*time.Millisecond+retry {
			t.Errorf("%v after %v", ok, waited)
		}
	})
}
