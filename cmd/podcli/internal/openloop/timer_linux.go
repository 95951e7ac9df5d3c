package openloop

import (
	"context"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kernelTimer is a timerfd (man 2 timerfd_create). The runtime's poller wakes the
// worker when it expires, within microseconds, and no thread waits.
type kernelTimer struct {
	file *os.File
	raw  syscall.RawConn
	stop func() bool
}

// newKernelTimer returns nil if the kernel has no timer for it. The end of ctx
// wakes the sleeper.
func newKernelTimer(ctx context.Context) timer {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil
	}
	t := &kernelTimer{file: os.NewFile(uintptr(fd), "timerfd")}
	if t.raw, err = t.file.SyscallConn(); err != nil || t.file.SetReadDeadline(time.Time{}) != nil { // not in the poller
		t.file.Close()
		return nil
	}
	t.stop = context.AfterFunc(ctx, func() { t.file.SetReadDeadline(time.Unix(1, 0)) })
	return t
}

func (t *kernelTimer) sleep(ctx context.Context, d time.Duration) bool {
	var failed error
	armed := false
	// Read waits in the poller after each false. The first call only sets the timer,
	// which saves a read that finds nothing.
	err := t.raw.Read(func(fd uintptr) bool {
		if !armed {
			armed = true
			spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))} // zero would disarm it
			failed = unix.TimerfdSettime(int(fd), 0, &spec, nil)
			return failed != nil
		}
		var expirations [8]byte
		_, failed = unix.Read(int(fd), expirations[:])
		return failed != unix.EAGAIN
	})
	if ctx.Err() == nil && (err != nil || failed != nil) {
		return runtimeTimer{}.sleep(ctx, d)
	}
	return ctx.Err() == nil
}

func (t *kernelTimer) close() {
	t.stop()
	t.file.Close()
}
