package serve

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// halfOpen is how long a listener waits for clients that have begun to connect. It is
// longer than the second after which the kernel repeats a lost part of a handshake.
const halfOpen = 3 * Quiet / 2

// acceptBacklog accepts all connections in the backlog of a listener that is about
// to be closed, and those whose handshake has begun: closing the socket would reset
// them after the client has connected. Before that it attaches a filter that drops
// new SYN packets to the listening socket (socket(7), SO_ATTACH_FILTER), so that no
// further connection begins. A client that connects in that moment retries after a
// second and is then refused.
func acceptBacklog(l *net.TCPListener) (conns []net.Conn) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil
	}
	raw.Control(func(fd uintptr) {
		unix.SetNonblock(int(fd), true)
		// If this fails, only connections of the next few microseconds are lost.
		unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, dropSYN())
	})
	for end := time.Now().Add(halfOpen); ; {
		time.Sleep(retry) // the kernel may be about to process a SYN that came before
		waiting := handshakes(l.Addr().(*net.TCPAddr).Port)
		raw.Control(func(fd uintptr) { conns = append(conns, acceptAll(int(fd))...) })
		if !waiting || time.Now().After(end) {
			return conns
		}
	}
}

// dropSYN returns a filter for packets that begin a connection. A filter of a TCP
// socket sees packets from the TCP header on.
func dropSYN() *unix.SockFprog {
	const flags, syn, ack = 13, 0x02, 0x10
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: syn | ack},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 30},
	}
	return &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
}

// acceptAll accepts what is in the backlog.
func acceptAll(fd int) (conns []net.Conn) {
	for {
		n, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == unix.EINTR || err == unix.ECONNABORTED {
			continue
		}
		if err != nil { // EAGAIN: the backlog is empty
			return conns
		}
		unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) // a connection created while the filter was attached inherits it
		f := os.NewFile(uintptr(n), "")
		if c, err := net.FileConn(f); err == nil {
			conns = append(conns, c)
		}
		f.Close()
	}
}

// handshakes reports whether a handshake with a port has begun and not ended. See
// proc_pid_net(5): the columns are a number, the local and the remote address, and
// the state.
func handshakes(port int) bool {
	const synReceived = "03"
	suffix := fmt.Sprintf(":%04X", port)
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			columns := strings.Fields(lines.Text())
			if len(columns) > 3 && columns[3] == synReceived && strings.HasSuffix(columns[1], suffix) {
				return true
			}
		}
	}
	return false
}
