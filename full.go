//go:build !podinfo_slim

package podinfo

import (
	"github.com/seed-4591fe7d/podinfo/endpoints/cache"
	"github.com/seed-4591fe7d/podinfo/endpoints/swagger"
	"github.com/seed-4591fe7d/podinfo/endpoints/ui"
	"github.com/seed-4591fe7d/podinfo/internal/otlp"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	"github.com/seed-4591fe7d/podinfo/registry"
)

var leftOut []string

func newTracing() registry.Module { return new(tracing.Module) }
func newUI() registry.Module      { return new(ui.Module) }
func newCache() registry.Module   { return new(cache.Module) }
func newSwagger() registry.Module { return new(swagger.Module) }

// unaccepted returns the variables of OpenTelemetry with values that it refuses.
func unaccepted(environ []string) []string { return otlp.Unaccepted(otlp.Variables(environ)) }
