package podinfotest_test

import (
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
