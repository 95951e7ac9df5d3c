package stress_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/endpoints/stress"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spinning returns the number of goroutines that keep a processor busy.
func spinning() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "stress.spin(")
}

func TestCPU(t *testing.T) {
	app, _ := registrytest.New(t, map[string]string{"PODINFO_STRESS_CPU": "3"}, new(stress.Module))
	for spinning() != 3 { // a goroutine shows once it has run
		runtime.Gosched()
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if n := spinning(); n != 0 {
		t.Errorf("%d goroutines still spin", n)
	}
}

func TestMemory(t *testing.T) {
	const mb = 32
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	heapBefore, residentBefore := heap(), resident(t)
	app, _ := registrytest.New(t, map[string]string{"PODINFO_STRESS_MEMORY": fmt.Sprint(mb)}, new(stress.Module))
	if got := heap() - heapBefore; got < mb*1_000_000 || got > mb*1_050_000 {
		t.Errorf("allocated %d bytes", got)
	}
	if got := resident(t) - residentBefore; got < (mb-2)*1_000_000 {
		t.Errorf("%d bytes are resident", got)
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if got := int64(heap()) - int64(heapBefore); got > 1_000_000 {
		t.Errorf("%d bytes not freed", got)
	}
}

func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm") // in pages; the second field is the resident set
	if err != nil {
		t.Skip("resident memory is read from /proc")
	}
	var size, pages int
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestNothingByDefault(t *testing.T) {
	_, log := registrytest.New(t, nil, new(stress.Module))
	if strings.Contains(log.String(), "stress") || spinning() != 0 {
		t.Error(log.String())
	}
}

// TestCanceledStart checks that Start ends when its context does. A complete
// start would allocate a terabyte.
func TestCanceledStart(t *testing.T) {
	app, err := registry.New([]registry.Module{&stress.Module{Memory: 1 << 20, CPU: 1}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := app.Start(ctx); err == nil {
		t.Error("started")
	}
}

func TestNegativeSettings(t *testing.T) {
	for _, key := range []string{"PODINFO_STRESS_CPU", "PODINFO_STRESS_MEMORY"} {
		_, err := registry.New([]registry.Module{new(stress.Module)}, registry.Env(map[string]string{key: "-1"}))
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
