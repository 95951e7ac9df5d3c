// Command http serves the modules that need only HTTP.
package main

import (
	"context"
	"log"

	"github.com/seed-4591fe7d/podinfo/endpoints/chunked"
	"github.com/seed-4591fe7d/podinfo/endpoints/health"
	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/store"
	"github.com/seed-4591fe7d/podinfo/endpoints/wsecho"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func main() {
	app, err := registry.New([]registry.Module{
		new(recovery.Module), new(metrics.Module), new(accesslog.Module), new(faults.Module),
		new(health.Module), new(chunked.Module), new(store.Module), new(wsecho.Module), new(httpserver.Module),
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(app.Run(context.Background()))
}
