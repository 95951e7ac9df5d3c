package podinfotest

import (
	"fmt"
	"net"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// dialled are the in-memory connections that clients have made.
type dialled struct {
	mu  sync.Mutex
	all []*conn
}

// add remembers a connection, and forgets those that the client has closed.
func (d *dialled) add(c net.Conn, err error) (net.Conn, error) {
	if x, ok := c.(*conn); ok && err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.all = append(slices.DeleteFunc(d.all, (*conn).isClosed), x)
	}
	return c, err
}

// open returns the addresses of the clients that have not closed their connection.
func (d *dialled) open() (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.all {
		if !c.isClosed() {
			out = append(out, c.local.String())
		}
	}
	return out
}

func (c *conn) isClosed() bool {
	c.both.L.Lock()
	defer c.both.L.Unlock()
	return c.closed
}

// waits matches the stack of a goroutine of net/http that waits until the body of a
// response is closed.
var waits = regexp.MustCompile(`^goroutine \d+ \[select[^\]]*, synctest bubble (\d+)\]:\nnet/http\.\(\*persistConn\)\.readLoop\(`)

// waiting returns how many response bodies clients hold open in a bubble.
func waiting(bubble string) (n int) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if m := waits.FindStringSubmatch(stack); m != nil && m[1] == bubble {
			n++
		}
	}
	return n
}

// reportStuck names the bodies that clients with transports of their own hold open.
// They cannot be closed from here, so that Go ends the process when the bubble ends.
func (s *Server) reportStuck() {
	s.t.Helper()
	if s.bubble == "" || waiting(s.bubble) == 0 {
		return
	}
	all, numbers := s.record.find(everything), map[string]int{}
	last := map[int]string{} // request of each connection
	for _, r := range all {
		what := spell(r.Method, r.Path)
		numbers[what]++
		last[r.Conn] = fmt.Sprintf("%s #%d", what, numbers[what])
	}
	for _, addr := range s.dialled.open() {
		s.record.mu.Lock()
		what := last[s.record.numbers[addr]]
		s.record.mu.Unlock()
		if what != "" {
			s.t.Errorf("%s: body never closed; call Body.Close on every response, also before a retry (Go ends the process, as the transport is not that of Server.Client: wrap it by Server.Watch)", what)
		}
	}
}
