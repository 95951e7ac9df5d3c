package openloop

import (
	"context"
	"time"
)

// timer lets one worker wait.
type timer interface {
	// sleep waits for d and reports whether ctx has not ended.
	sleep(ctx context.Context, d time.Duration) bool
	close()
}

// newTimer returns the kernel's timer if l asks for it and there is one, else the
// runtime's.
func (l *Load) newTimer(ctx context.Context) timer {
	if l.KernelTimer {
		if t := newKernelTimer(ctx); t != nil {
			return t
		}
	}
	return runtimeTimer{}
}

// runtimeTimer is late by up to a millisecond, which is the resolution of the
// runtime's poller.
type runtimeTimer struct{}

func (runtimeTimer) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

func (runtimeTimer) close() {}
