package podinfotest

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// wire is the server's end of a connection, which a script can break below HTTP. Its
// waits end with the deadlines and with Close.
type wire struct {
	net.Conn

	mu      sync.Mutex
	changed chan struct{} // closed when a field below changes
	readers int           // number of Reads of Conn
	closed  bool
	limits  [2]time.Time // deadlines of Read and Write
	heals   time.Time    // end of the partition
	held    []byte       // arrived during the partition
	pieces  int          // of the next write, 0 for one
	pause   time.Duration
	dying   bool            // dead once the response is sent
	dead    bool            // what arrives next is answered with a reset
	ended   <-chan struct{} // closed at the end of the test, nil for never
	late    func()          // called when something arrives on a dead connection
	gone    func()
	mute    func() // called by Close if a handler that took over the connection has sent nothing
}

// The directions of a connection.
const (
	reads = iota
	writes
)

func newWire(c net.Conn) *wire { return &wire{Conn: c, changed: make(chan struct{})} }

// NetConn returns the connection below. Package faults resets that one.
func (w *wire) NetConn() net.Conn { return w.Conn }

// change calls f and wakes what waits for a change.
func (w *wire) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// partition holds everything back, in both directions, for d.
func (w *wire) partition(d time.Duration) {
	w.change(func() { w.heals = time.Now().Add(d) })
}

// trickle sends the next write in pieces, over a time.
func (w *wire) trickle(pieces int, over time.Duration) {
	w.change(func() { w.pieces, w.pause = pieces, over })
}

// Idle is called when the server waits for the next request: it has sent the response.
func (w *wire) Idle() { w.change(func() { w.dead = w.dying }) }

// die makes the connection answer what arrives after this request with a reset.
func (w *wire) die() { w.change(func() { w.dying = true }) }

// rot keeps a dead connection open after the server has closed it, until the client
// sends something or closes it, or the test ends.
func (w *wire) rot() {
	read := make(chan struct{})
	w.Conn.SetReadDeadline(time.Unix(1, 0)) // ends the server's own Read
	go func() {
		defer close(read)
		w.unread()
		w.Conn.SetReadDeadline(time.Time{})
		if n, _ := w.Conn.Read(make([]byte, 1)); n > 0 {
			w.arrivedLate()
		}
		w.Conn.Close()
	}()
	go func() {
		select {
		case <-read:
		case <-w.ended:
			w.Conn.Close()
		}
	}()
}

// unread waits until nothing else reads from the connection.
func (w *wire) unread() {
	for {
		w.mu.Lock()
		readers, changed := w.readers, w.changed
		w.mu.Unlock()
		if readers == 0 {
			return
		}
		<-changed
	}
}

// arrivedLate answers what has arrived on a dead connection.
func (w *wire) arrivedLate() {
	if w.late != nil {
		w.late()
	}
	w.reset()
}

// wait waits until the connection is whole and, if until is set, until then.
func (w *wire) wait(direction int, until time.Time) error {
	for {
		w.mu.Lock()
		end, limit, closed, changed := w.heals, w.limits[direction], w.closed, w.changed
		w.mu.Unlock()
		if until.After(end) {
			end = until
		}
		now := time.Now()
		switch {
		case closed:
			return net.ErrClosed
		case !limit.IsZero() && !limit.After(now):
			return os.ErrDeadlineExceeded
		case !end.After(now):
			return nil
		case !limit.IsZero() && limit.Before(end):
			end = limit
		}
		timer := time.NewTimer(end.Sub(now))
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
		}
	}
}

func (w *wire) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: w.LocalAddr(), Addr: w.RemoteAddr(), Err: err}
}

// split reports whether the connection is partitioned.
func (w *wire) split() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.heals.After(time.Now())
}

// Read implements net.Conn.
func (w *wire) Read(b []byte) (int, error) {
	w.mu.Lock()
	held, closed := len(w.held) > 0, w.closed
	if !held && !closed {
		w.readers++
	}
	w.mu.Unlock()
	if closed {
		return 0, w.fail("read", net.ErrClosed)
	}
	if !held {
		n, err := w.Conn.Read(b)
		dead := false
		w.change(func() {
			w.readers--
			dead = w.dead && n > 0
		})
		if dead {
			w.arrivedLate()
			return 0, w.fail("read", os.NewSyscallError("read", syscall.ECONNRESET))
		}
		if !w.split() || n == 0 && isTimeout(err) {
			return n, err
		}
		w.mu.Lock()
		w.held = append(w.held, b[:n]...)
		w.mu.Unlock()
		if n == 0 { // the end is seen late too
			if late := w.wait(reads, time.Time{}); late != nil {
				err = w.fail("read", late)
			}
			return 0, err
		}
	}
	if err := w.wait(reads, time.Time{}); err != nil {
		return 0, w.fail("read", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := copy(b, w.held)
	if w.held = w.held[n:]; len(w.held) == 0 {
		w.held = nil
	}
	return n, nil
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// Write implements net.Conn.
func (w *wire) Write(b []byte) (n int, err error) {
	w.mu.Lock()
	pieces, over, split := w.pieces, w.pause, w.heals.After(time.Now())
	w.pieces, w.mute = 0, nil
	w.mu.Unlock()
	if pieces <= 1 && !split {
		return w.Conn.Write(b)
	}
	pieces = max(1, min(pieces, len(b)))
	began := time.Now()
	for i := range pieces {
		due := began.Add(over * time.Duration(i) / time.Duration(pieces))
		if err := w.wait(writes, due); err != nil {
			return n, w.fail("write", err)
		}
		end := len(b) * (i + 1) / pieces
		k, err := w.Conn.Write(b[n:end])
		if n += k; err != nil {
			return n, err
		}
	}
	return n, nil
}

// reset closes the connection with a reset.
func (w *wire) reset() {
	w.change(func() { w.dying, w.dead = false, false })
	w.SetLinger(0)
	w.Close()
}

// Close implements net.Conn.
func (w *wire) Close() error {
	first, rots := false, false
	var mute func()
	w.change(func() {
		mute, w.mute = w.mute, nil
		first, w.closed = !w.closed, true
		rots = w.dead && w.ended != nil
	})
	if mute != nil {
		mute()
	}
	if w.gone != nil {
		w.gone()
	}
	select {
	case <-w.ended:
		rots = false
	default:
	}
	if rots && first {
		w.rot()
	}
	if rots {
		return nil
	}
	return w.Conn.Close()
}

// CloseWrite ends the server's direction.
func (w *wire) CloseWrite() error {
	w.mu.Lock()
	dead := w.dead
	w.mu.Unlock()
	if dead {
		return nil
	}
	if half, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// SetLinger makes Close a reset if seconds is 0.
func (w *wire) SetLinger(seconds int) error {
	if l, ok := w.Conn.(interface{ SetLinger(int) error }); ok {
		return l.SetLinger(seconds)
	}
	return nil
}

// SetDeadline implements net.Conn.
func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (w *wire) SetReadDeadline(t time.Time) error {
	rots := false
	w.change(func() {
		rots = w.closed && w.dead
		w.limits[reads] = t
	})
	if rots {
		return nil
	}
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (w *wire) SetWriteDeadline(t time.Time) error {
	w.change(func() { w.limits[writes] = t })
	return w.Conn.SetWriteDeadline(t)
}
