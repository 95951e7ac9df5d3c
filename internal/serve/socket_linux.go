package serve

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent is the number of bytes that the kernel takes from the server before the
// client has room for them. It bounds the memory that a client holds that does
// not read, and shows whether such a client makes progress.
const unsent = 32 << 10

// limitUnsent sets unsent for a connection.
func limitUnsent(c net.Conn) {
	control(c, func(fd int) { unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) })
}

// reader reads from a socket. It clears a flag before it takes data, so that there
// is no moment in which data has neither arrived nor been read.
type reader struct {
	raw     syscall.RawConn
	waiting *atomic.Bool
	take    func(fd uintptr) bool
	buf     []byte
	n       int
	err     error
}

// newReader returns a reader, or c if that is no socket.
func newReader(c net.Conn, waiting *atomic.Bool) io.Reader {
	s, ok := c.(syscall.Conn)
	if !ok {
		return c
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return c
	}
	r := &reader{raw: raw, waiting: waiting}
	r.take = r.tryRead
	return r
}

func (r *reader) tryRead(fd uintptr) bool {
	r.waiting.Store(false)
	for r.n, r.err = syscall.Read(int(fd), r.buf); r.err == syscall.EINTR; {
		r.n, r.err = syscall.Read(int(fd), r.buf)
	}
	wait := r.err == syscall.EAGAIN
	r.waiting.Store(wait)
	return !wait
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.buf = p
	err := r.raw.Read(r.take)
	r.buf = nil
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		return 0, &net.OpError{Op: "read", Net: op.Net, Source: op.Source, Addr: op.Addr, Err: op.Err}
	case err != nil:
		return 0, err
	case r.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", r.err)}
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// discard drops what has arrived on a connection. Closing it with unread data
// resets it, and the client could lose the response.
func discard(c net.Conn) {
	control(c, func(fd int) {
		unix.Shutdown(fd, unix.SHUT_WR)
		var buf [4 << 10]byte
		for range 16 {
			if n, _, err := unix.Recvfrom(fd, buf[:], unix.MSG_DONTWAIT); n < len(buf) || err != nil {
				return
			}
		}
	})
}

// pending reports whether data has arrived on a connection that was not read yet.
func pending(c net.Conn) (yes bool) {
	control(c, func(fd int) {
		var buf [1]byte
		n, _, err := unix.Recvfrom(fd, buf[:], unix.MSG_DONTWAIT|unix.MSG_PEEK)
		yes = n > 0 && err == nil
	})
	return yes
}

// countsAcknowledged reports whether the kernel counts for a connection what
// acknowledged returns.
func countsAcknowledged(c net.Conn) bool { _, tcp := c.(*net.TCPConn); return tcp }

// acknowledged returns the number of bytes that the client has received.
func acknowledged(c net.Conn) (n uint64) {
	if c != nil {
		control(c, func(fd int) {
			if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				n = info.Bytes_acked
			}
		})
	}
	return n
}

func control(c net.Conn, f func(fd int)) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := s.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// noFiles reports whether err means that no further file can be opened.
func noFiles(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }
