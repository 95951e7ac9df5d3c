package memory

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"
)

func TestTrimIsDueWhenABurstIsOver(t *testing.T) {
	const mib = 1 << 20
	var tr trimmer
	for i, step := range []struct {
		allocated, heap, goroutines uint64 // bytes in MiB
		due                         bool
		after                       uint64 // MiB that the heap has then
	}{
		{20, 12, 30, false, 0}, // still starting
		{20, 12, 30, true, 8},
		{21, 9, 30, false, 0}, // probes
		{30, 13, 30, false, 0},
		{31, 14, 30, false, 0}, // not worth it
		{900, 500, 100, false, 0},
		{1900, 900, 100, false, 0}, // busy
		{1901, 900, 30, true, 8},
		{1902, 9, 30, false, 0},
		{1960, 70, 30, false, 0}, // a cache is filled
		{1960, 70, 30, true, 66},
		{1961, 67, 30, false, 0},
		{1999, 80, 30, false, 0},
		{2000, 10, 30, false, 0}, // and emptied
		{2001, 20, 30, true, 10},
		{2030, 50, 2030, false, 0}, // many clients wait
		{2030, 50, 2030, true, 45},
		{2031, 46, 2030, false, 0},
		{2032, 47, 1500, false, 0},
		{2040, 47, 30, false, 0}, // and have left
		{2041, 47, 30, true, 10},
		{2042, 11, 30, false, 0},
		{2300, 14, 40, false, 0}, // many small requests
		{2300, 14, 30, true, 10},
		{2301, 10, 30, false, 0},
	} {
		if got := tr.due(usage{step.allocated * mib, step.heap * mib, step.goroutines}); got != step.due {
			t.Errorf("step %d: %t, want %t", i, got, step.due)
		}
		if step.due {
			tr.trimmed(usage{step.allocated * mib, step.after * mib, step.goroutines})
		}
	}
}

func TestUsage(t *testing.T) {
	debug.FreeOSMemory()
	before := readUsage()
	held, stop := make([]byte, 64<<20), make(chan struct{})
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { <-stop })
	}
	now := readUsage()
	close(stop)
	all.Wait()
	runtime.KeepAlive(held)
	if now.allocated-before.allocated < 64<<20 || now.heap-before.heap < 32<<20 || now.goroutines < before.goroutines+90 {
		t.Errorf("%+v, then %+v", before, now)
	}
}

func TestTrimEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); Trim(ctx) }()
	cancel()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
}

func TestLimit(t *testing.T) {
	bytes, from := Limit()
	if bytes <= 0 || from == "" || RuntimeLimit(bytes) >= bytes || RuntimeLimit(1000) != 500 || RuntimeLimit(1000<<20) != 880<<20 {
		t.Errorf("%d bytes, %q, %d for the runtime", bytes, from, RuntimeLimit(bytes))
	}
}

func TestData(t *testing.T) {
	for _, c := range []struct {
		memory, want int64
		from         string
	}{
		{64 << 20, 44 << 20, "the cgroup, 64MiB, without 20MiB for the program"},
		{32 << 20, 16 << 20, "half of the cgroup"},
	} {
		if got, from := Data(c.memory, "the cgroup"); got != c.want || from != c.from {
			t.Errorf("%d: %d %q", c.memory, got, from)
		}
	}
}

func TestRuntimeSettings(t *testing.T) {
	for _, c := range []struct {
		limit int64
		env   string
		want  string
	}{
		{1000 << 20, "", "880MiB 9/10 of 1000MiB (a test), without 20MiB for the program"},
		{1000 << 20, "512MiB", "512MiB environment"},
		{0, "", "off the memory is not known"},
	} {
		rows := RuntimeSettings(c.limit, "a test", 3, func(name string) string { return map[string]string{"GOMEMLIMIT": c.env}[name] })
		if got := rows[1].Value + " " + string(rows[1].Source); got != c.want || rows[0].Value != "3" {
			t.Errorf("%d %q: %v", c.limit, c.env, rows)
		}
	}
}
