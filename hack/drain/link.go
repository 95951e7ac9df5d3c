package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// A link is the way from the clients to podinfo. Its latency is added in both
// directions, and to the establishment of a connection.
type link struct{ latency time.Duration }

// dial establishes a connection over the link.
func (l link) dial(ctx context.Context, addr string) (net.Conn, error) {
	time.Sleep(l.latency)
	conn, err := (&net.Dialer{Timeout: ioTimeout}).DialContext(ctx, "tcp", addr)
	time.Sleep(l.latency)
	if err != nil || l.latency == 0 {
		return conn, err
	}
	d := &delayed{Conn: conn, latency: l.latency, sent: make(chan parcel, 1024), arrived: make(chan parcel, 1024), closed: make(chan struct{})}
	go d.send()
	go d.receive()
	return d, nil
}

// A parcel is what is under way on a connection.
type parcel struct {
	due  time.Time
	data []byte
	err  error
}

// delayed is a connection with latency.
type delayed struct {
	net.Conn
	latency       time.Duration
	sent, arrived chan parcel
	closed        chan struct{}
	once          sync.Once
	rest          []byte // of the last parcel
}

// send passes on what the client writes.
func (d *delayed) send() {
	for {
		select {
		case p := <-d.sent:
			time.Sleep(time.Until(p.due))
			d.Conn.Write(p.data) // the reader notices what is wrong
		case <-d.closed:
			return
		}
	}
}

// receive reads from the server at once, as a kernel does: a reset discards nothing
// that had arrived.
func (d *delayed) receive() {
	for {
		buffer := make([]byte, 16<<10)
		n, err := d.Conn.Read(buffer)
		select {
		case d.arrived <- parcel{time.Now().Add(d.latency), buffer[:n], err}:
		case <-d.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read implements net.Conn.
func (d *delayed) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		select {
		case next := <-d.arrived:
			time.Sleep(time.Until(next.due))
			if d.rest = next.data; next.err != nil {
				d.arrived <- parcel{err: next.err} // for the next call
				if len(d.rest) == 0 {
					return 0, next.err
				}
			}
		case <-d.closed:
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// Write implements net.Conn.
func (d *delayed) Write(p []byte) (int, error) {
	select {
	case d.sent <- parcel{due: time.Now().Add(d.latency), data: append([]byte(nil), p...)}:
		return len(p), nil
	case <-d.closed:
		return 0, io.ErrClosedPipe
	}
}

// Close implements net.Conn.
func (d *delayed) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.Conn.Close()
}
