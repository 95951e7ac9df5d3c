// Package slim has a test that is built with and without the tag podinfo_slim.
package slim

import (
	"testing"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func start(t testing.TB, env ...string) *podinfotest.Server {
	return podinfotest.StartInMemory(t, env...)
}
