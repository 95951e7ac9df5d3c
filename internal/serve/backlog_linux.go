package serve

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// acceptBacklog accepts all connections in the backlog of a listener that is about
// to be closed. Before that it attaches a filter that drops all packets to the
// listening socket (socket(7), SO_ATTACH_FILTER), so that no connection arrives
// between the last accept and the close. A client that connects in that moment
// retries after a second and is then refused.
func acceptBacklog(l *net.TCPListener) (conns []net.Conn) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil
	}
	raw.Control(func(fd uintptr) {
		dropAll := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
		unix.SetNonblock(int(fd), true)
		// If this fails, only connections of the next few microseconds are lost.
		unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &dropAll})
		for {
			n, _, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == unix.EINTR || err == unix.ECONNABORTED {
				continue
			}
			if err != nil { // EAGAIN: the backlog is empty
				return
			}
			unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) // a connection created while the filter was attached inherits it
			f := os.NewFile(uintptr(n), "")
			if c, err := net.FileConn(f); err == nil {
				conns = append(conns, c)
			}
			f.Close()
		}
	})
	return conns
}
