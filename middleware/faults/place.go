package faults

import (
	"bufio"
	"net"
	"net/http"
	"sync"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// hold takes a place among the requests, or calls, that wait, for one that is
// to. When there is none, its waits are taken out of d. leave gives the place
// back; it may be called again.
func (m *Module) hold(d *scenario.Decision, call bool) (leave func()) {
	nothing := func() {}
	if d.Delay() == 0 && !d.Slow(call) {
		return nothing
	}
	if !m.engine.Hold() {
		for _, rule := range d.Hurry(call) {
			m.counts.add(rule, "skipped")
		}
		return nothing
	}
	return sync.OnceFunc(m.engine.Release)
}

// tenant hands what a request holds on to the connection, when the handler
// takes that over: an open WebSocket is under way until it is closed.
type tenant struct {
	negroni.ResponseWriter
	leave func() // may be called again
	taken bool
}

// Unwrap is for http.ResponseController.
func (t *tenant) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Hijack implements http.Hijacker.
func (t *tenant) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return conn, rw, err
	}
	t.taken = true
	return &leaving{conn, t.leave}, rw, nil
}

// done is for when the handler returned.
func (t *tenant) done() {
	if !t.taken {
		t.leave()
	}
}

// leaving is a connection whose end is told.
type leaving struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *leaving) Close() error {
	c.leave()
	return c.Conn.Close()
}

// NetConn is for those who close it in a hurry, below TLS.
func (c *leaving) NetConn() net.Conn { return &leaving{raw(c.Conn), c.leave} }

// SetLinger makes Close a reset, for 0 seconds, where the connection can.
func (c *leaving) SetLinger(seconds int) error {
	if t, ok := raw(c.Conn).(interface{ SetLinger(sec int) error }); ok {
		return t.SetLinger(seconds)
	}
	return nil
}

// CloseWrite closes the server's side, where the connection can.
func (c *leaving) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
