package serve

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// backlog accepts what waits to be accepted, for a listener that is going to be
// closed. From then on packets to it are dropped (socket(7), SO_ATTACH_FILTER),
// so that no connection comes in between: a client that connects just then
// tries again after a second and is refused.
func backlog(l *net.TCPListener) (conns []net.Conn) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil
	}
	raw.Control(func(fd uintptr) {
		drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
		unix.SetNonblock(int(fd), true)
		unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop}) // or else the gap is some microseconds
		for {
			n, _, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == unix.EINTR || err == unix.ECONNABORTED {
				continue
			}
			if err != nil { // EAGAIN: that was all
				return
			}
			unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) // of one that came just then
			f := os.NewFile(uintptr(n), "")
			if c, err := net.FileConn(f); err == nil {
				conns = append(conns, c)
			}
			f.Close()
		}
	})
	return conns
}
