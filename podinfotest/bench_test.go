package podinfotest_test

import (
	"runtime"
	"testing"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

// BenchmarkStart only starts a server.
func BenchmarkStart(b *testing.B) {
	for _, c := range []struct {
		name  string
		start func(testing.TB, ...string) *podinfotest.Server
	}{{"TCP", podinfotest.Start}, {"memory", podinfotest.StartInMemory}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ended := &ending{TB: b}
				c.start(ended)
				b.StopTimer()
				ended.end()
				b.StartTimer()
			}
		})
	}
}

// TestStartIsCheap holds what docs/podinfotest.md says a start allocates.
func TestStartIsCheap(t *testing.T) {
	const starts, most = 20, 8000 // allocations; their bytes depend on the race detector
	start := func() uint64 {
		var before, after runtime.MemStats
		ended := &ending{TB: t}
		runtime.ReadMemStats(&before)
		podinfotest.StartInMemory(ended)
		runtime.ReadMemStats(&after)
		ended.end()
		return after.Mallocs - before.Mallocs
	}
	start() // what is made once per process
	var sum uint64
	for range starts {
		sum += start()
	}
	each := sum / starts
	if each > most {
		t.Errorf("a start makes %d allocations, want at most %d", each, most)
	}
}

// ending is a test that a benchmark ends itself.
type ending struct {
	testing.TB
	cleanups []func()
}

func (e *ending) Cleanup(f func()) { e.cleanups = append(e.cleanups, f) }

func (e *ending) end() {
	for i := len(e.cleanups); i > 0; i-- {
		e.cleanups[i-1]()
	}
}
