//go:build !linux

package serve

import "net"

// acceptBacklog is implemented on Linux only. Elsewhere, closing the port resets the
// connections that are not accepted yet.
func acceptBacklog(*net.TCPListener) []net.Conn { return nil }
