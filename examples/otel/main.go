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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	backend, err := server("backend", environ(), nil, &httpserver.Module{Host: "127.0.0.1", Port: 9899})
	if err != nil {
		fail(err)
	}
	frontend, err := server("frontend", environ(), map[string]string{"PODINFO_BACKEND_URL": "http://127.0.0.1:9899/cache/greeting"},
		&httpserver.Module{Host: "127.0.0.1", Port: 9898})
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
	environ := map[string]string{"OTEL_TRACES_EXPORTER": "console", "OTEL_LOGS_EXPORTER": "console"}
	if vars["OTEL_EXPORTER_OTLP_ENDPOINT"] != "" {
		clear(environ)
	}
	settings := map[string]string{}
	for k, v := range vars {
		switch {
		case strings.HasPrefix(k, "OTEL_"):
			environ[k] = v
		case strings.HasPrefix(k, registry.EnvPrefix):
			settings[k] = v
		}
	}
	maps.Copy(settings, own)
	mods = append(mods, &tracing.Module{ServiceName: name, Environ: environ})
	return podinfo.New(registry.Env(settings), registry.With(mods...))
}

func environ() map[string]string {
	out := map[string]string{}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		out[k] = v
	}
	return out
}
