//go:build !linux

package serve

import (
	"io"
	"net"
	"sync/atomic"
)

func newReader(c net.Conn, _ *atomic.Bool) io.Reader { return c }

func limitUnsent(net.Conn) {}

func discard(net.Conn) {}

func pending(net.Conn) bool { return false }

func countsAcknowledged(net.Conn) bool { return false }

func acknowledged(net.Conn) uint64 { return 0 }

func noFiles(error) bool { return false }
