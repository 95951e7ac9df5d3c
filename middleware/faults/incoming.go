package faults

import (
	"os"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// incoming is what the client sends over a socket.
type incoming struct {
	frames
	buf   []byte
	raw   []byte    // part of buf that was not parsed yet
	ready []byte    // part of buf for the reader
	due   time.Time // when the reader gets it; zero for now

	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed when the deadline changes
}

// Read implements net.Conn.
func (c *socket) Read(b []byte) (int, error) {
	in := c.reading
	if in == nil || len(b) == 0 {
		return c.Conn.Read(b)
	}
	for {
		if err := c.await(in.due); err != nil {
			return 0, err
		}
		in.due = time.Time{}
		if n := copy(b, in.ready); n > 0 {
			in.ready = in.ready[n:]
			return n, nil
		}
		if len(in.raw) == 0 {
			n, err := c.Conn.Read(in.buf)
			if n == 0 {
				return 0, err
			}
			in.raw = in.buf[:n]
		}
		c.parse()
	}
}

// parse takes the next part of what the client sent.
func (c *socket) parse() {
	in := c.reading
	part, rest, begins := in.next(in.raw)
	in.raw = rest
	if begins {
		wait, end := in.judge(part, c.fate(scenario.In), c.swallows())
		if end {
			c.endBetweenFrames()
			in.lost, in.dropping = true, true
		}
		if wait > 0 {
			in.due = time.Now().Add(wait)
		}
	}
	if !in.lost {
		in.ready = in.pass(part, begins)
	}
}

// await waits until a time, and returns an error when the read deadline or the
// end of the connection comes first. Setting a deadline wakes it.
func (c *socket) await(then time.Time) error {
	if time.Until(then) <= 0 || !c.hold() {
		return nil
	}
	defer c.m.engine.Release()
	in := c.reading
	for {
		wait := time.Until(then)
		if wait <= 0 {
			return nil
		}
		in.mu.Lock()
		deadline, changed := in.deadline, in.changed
		in.mu.Unlock()
		if !deadline.IsZero() {
			if wait = min(wait, time.Until(deadline)); wait <= 0 {
				return os.ErrDeadlineExceeded
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-c.ctx.Done():
			timer.Stop()
			return c.ctx.Err()
		}
		timer.Stop()
	}
}

// SetReadDeadline implements net.Conn.
func (c *socket) SetReadDeadline(t time.Time) error {
	if c.isCut.Load() {
		return nil // the deadline is that of the cut
	}
	if in := c.reading; in != nil {
		in.mu.Lock()
		in.deadline = t
		close(in.changed)
		in.changed = make(chan struct{})
		in.mu.Unlock()
	}
	return c.Conn.SetReadDeadline(t)
}
