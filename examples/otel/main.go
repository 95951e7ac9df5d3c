// Command otel runs two podinfo servers in one process: a frontend, and a backend
// that the frontend calls and that stores request bodies in its cache. Each server
// exports its own telemetry, and a request to the frontend is one trace:
//
//	go run ./examples/otel
//	curl -d hello http://localhost:9898/echo
//
// Spans and log lines go to standard output, or to a collector:
//
//	OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 go run ./examples/otel
//
// Set PODINFO_CACHE_SERVER=redis://localhost:6379 to use Redis as the cache.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"strings"
	"sync"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	loopback := setting.ListenHost{Host: "127.0.0.1"}
	backend, err := server("backend", environ(), nil, &httpserver.Module{ListenHost: loopback, Port: 9899})
	if err != nil {
		fail(err)
	}
	frontend, err := server("frontend", environ(), map[string]string{"PODINFO_BACKEND_URL": "http://127.0.0.1:9899/cache/greeting"},
		&httpserver.Module{ListenHost: loopback, Port: 9898})
	if err != nil {
		fail(err)
	}
	var both sync.WaitGroup
	for _, app := range []*registry.App{backend, frontend} {
		both.Go(func() {
			if err := app.Run(ctx); err != nil {
				fmt.Fprintln(os.Stderr, err)
				stop()
			}
		})
	}
	both.Wait()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}

// server returns a podinfo server with a service name. vars are the variables of
// the process. own takes precedence over them.
func server(name string, vars, own map[string]string, mods ...registry.Module) (*registry.App, error) {
	var environ []string
	if vars["OTEL_EXPORTER_OTLP_ENDPOINT"] == "" {
		environ = []string{"OTEL_TRACES_EXPORTER=console", "OTEL_LOGS_EXPORTER=console"}
	}
	settings := map[string]string{}
	for k, v := range vars {
		environ = append(environ, k+"="+v)
		settings[k] = v
	}
	maps.Copy(settings, own)
	mods = append(mods, &tracing.Module{ServiceName: name})
	return podinfo.New(registry.Env(settings), registry.Environ(environ), registry.With(mods...))
}

func environ() map[string]string {
	out := map[string]string{}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		out[k] = v
	}
	return out
}
