package memory

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Trim returns memory to the system after a burst of requests, until ctx is
// done. The runtime does that too, but an idle process collects its garbage only
// every two minutes and keeps pooled buffers for two collections.
func Trim(ctx context.Context) {
	tick := time.NewTicker(trimInterval)
	defer tick.Stop()
	var t trimmer
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if t.due(readUsage()) {
			runtime.GC() // moves pooled buffers to where the next collection finds them
			debug.FreeOSMemory()
			t.trimmed(readUsage())
		}
	}
}

const (
	trimInterval  = 2 * time.Second
	idleBytes     = 4 << 20 // allocated in an interval by a process that is idle but for probes and scrapes
	worthBytes    = 4 << 20 // less is not worth a collection
	worthRoutines = 64
	burstBytes    = 64 << 20 // allocated since memory was returned are worth a collection, however small the heap is now
)

// usage is what the process takes now.
type usage struct {
	allocated  uint64 // bytes since the start
	heap       uint64 // bytes of the heap and the stacks
	goroutines uint64
}

// trimmer decides when memory is returned.
type trimmer struct {
	allocated  uint64 // until the last call of due
	began      uint64 // allocated when memory was returned
	heap       uint64 // smallest one since memory was returned
	goroutines uint64 // largest number since then
}

// due reports whether the process should return memory: it has been idle since
// the last call, and since memory was last returned it has allocated or its heap
// has grown a lot, or most goroutines have ended, those of clients that left.
func (t *trimmer) due(u usage) bool {
	idle := u.allocated-t.allocated < idleBytes
	t.allocated, t.heap, t.goroutines = u.allocated, min(t.heap, u.heap), max(t.goroutines, u.goroutines)
	grown := u.heap > t.heap+t.heap/4+worthBytes
	left := u.goroutines+worthRoutines < t.goroutines/2
	return idle && (grown || left || u.allocated-t.began >= burstBytes)
}

func (t *trimmer) trimmed(u usage) { *t = trimmer{u.allocated, u.allocated, u.heap, u.goroutines} }

func readUsage() usage {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/sched/goroutines:goroutines"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(samples)
	u := usage{allocated: samples[0].Value.Uint64(), goroutines: samples[1].Value.Uint64()}
	for _, s := range samples[2:] {
		u.heap += s.Value.Uint64()
	}
	return u
}
