package slim

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// fatal is a test that notes the failure that ended it.
type fatal struct {
	testing.TB
	failure string
}

func (f *fatal) Fatalf(format string, args ...any) {
	f.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestSlim(t *testing.T) {
	srv := start(t, "PODINFO_UI_COLOR=gold") // of modules that are linked too
	srv.Script("/version", podinfotest.Fail(503, 1))
	res, err := srv.Client().Get(srv.URL + "/version")
	if err != nil || res.StatusCode != 503 {
		t.Fatal(res, err)
	}
	res.Body.Close()
	all := podinfo.Modules()
	for _, module := range []string{"tracing", "ui", "cache", "swagger"} {
		leftOut := slices.Contains(podinfo.LeftOut(), module)
		if listed := slices.ContainsFunc(all, func(m registry.Module) bool { return m.Info().Name == module }); listed == leftOut {
			t.Errorf("module %s: in the list %v, left out %v", module, listed, leftOut)
		}
	}
	for entry, module := range map[string]string{
		"PODINFO_UI_MAX_VIEWERS=5": "ui", "PODINFO_CACHE_SERVER=redis://127.0.0.1:1": "cache", "PODINFO_TRACING_ENABLED=true": "tracing",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1": "tracing", "PODINFO_MODULES=-swagger": "swagger",
	} {
		f, done := &fatal{TB: t}, make(chan struct{})
		go func() { defer close(done); start(f, entry) }()
		<-done
		want := "module " + module + " is not linked: build the test without -tags podinfo_slim"
		if got := strings.Contains(f.failure, want); got != (len(podinfo.LeftOut()) > 0) {
			t.Errorf("%s: %q", entry, f.failure)
		}
	}
}
