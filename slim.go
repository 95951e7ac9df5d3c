//go:build podinfo_slim

package podinfo

import "github.com/seed-4591fe7d/podinfo/registry"

var leftOut = []string{"tracing", "ui", "cache", "swagger"}

func newTracing() registry.Module { return nil }
func newUI() registry.Module      { return nil }
func newCache() registry.Module   { return nil }
func newSwagger() registry.Module { return nil }

func unaccepted([]string) []string { return nil }
