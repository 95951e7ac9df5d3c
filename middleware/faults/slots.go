package faults

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/internal/hangup"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// hold takes a slot for a request that is to be delayed. When all are taken it
// removes the delays from d and counts them as skipped, like the waits in a queue that
// there was no slot for. leave frees the slot; calling it again has no effect.
func (m *Module) hold(ctx context.Context, d *scenario.Decision, scope scenario.Scope) (leave func()) {
	for i := range d.Strikes {
		if s := &d.Strikes[i]; s.Hurried {
			m.skipOf(ctx, s.Rule)
		}
	}
	nothing := func() {}
	if !d.Waits(scope) {
		return nothing
	}
	if !m.engine.Hold() {
		for _, rule := range d.DropWaits(scope) {
			m.skipOf(ctx, rule)
		}
		return nothing
	}
	return sync.OnceFunc(m.engine.Release)
}

// skipOf is skip for a delay of a request, which its observers are notified of.
func (m *Module) skipOf(ctx context.Context, rule string) {
	m.skip(rule)
	m.observers.Report(ctx, m.label(rule)+skipped)
}

// skip counts and logs a delay that is dropped.
func (m *Module) skip(rule string) {
	m.counts.add(rule, "skipped")
	m.full.do(time.Second, func() {
		m.host.Log.WithField("rule", rule).WithField("held", m.MaxHeld).Warn("requests are not delayed, or not queued, because PODINFO_FAULTS_MAX_HELD others are; raise it, or hit fewer requests")
	})
}

// skipped ends the name of a fault whose delay was dropped, for observers.
const skipped = "/skipped"

// seldom limits how often something is done.
type seldom struct{ last atomic.Int64 }

// do calls f if it did not within the period.
func (s *seldom) do(period time.Duration, f func()) {
	now := time.Now().UnixNano()
	if last := s.last.Load(); now-last >= int64(period) && s.last.CompareAndSwap(last, now) {
		f()
	}
}

// hijackTracker keeps the slots that a request occupies until its connection is
// closed, when the handler hijacks it: an open WebSocket counts below a
// concurrency limit.
type hijackTracker struct {
	negroni.ResponseWriter
	leave    func() // may be called more than once
	hijacked bool
}

// Unwrap implements the convention of http.ResponseController.
func (t *hijackTracker) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Hijack implements http.Hijacker.
func (t *hijackTracker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return conn, rw, err
	}
	t.hijacked = true
	return &leaving{conn, t.leave}, rw, nil
}

// done frees the slots once the handler has returned, unless it hijacked the
// connection.
func (t *hijackTracker) done() {
	if !t.hijacked {
		t.leave()
	}
}

// leaving is a connection that calls a function when it is closed.
type leaving struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *leaving) Close() error {
	c.leave()
	return c.Conn.Close()
}

// NetConn returns the connection below TLS, which reset closes.
func (c *leaving) NetConn() net.Conn { return &leaving{hangup.Raw(c.Conn), c.leave} }

// SetLinger makes Close reset the connection, for 0 seconds, if it can.
func (c *leaving) SetLinger(seconds int) error {
	if t, ok := hangup.Raw(c.Conn).(interface{ SetLinger(sec int) error }); ok {
		return t.SetLinger(seconds)
	}
	return nil
}

// CloseWrite closes the server's side of the connection, if it can.
func (c *leaving) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
