package faultroutes_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/faultroutes"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

func TestOf(t *testing.T) {
	own := []registry.Route{
		{Path: "/healthz", Internal: true},
		{Path: "/version", Returns: map[int]any{http.StatusOK: nil}},
		{Path: "/chat", Returns: map[int]any{http.StatusSwitchingProtocols: nil}},
		{Path: "/undocumented"},
	}
	foreign := func(alone bool) registry.Route {
		return registry.Route{Path: "/{path...}", Proxied: true, Alone: alone}
	}
	all := []scenario.Route{{Path: "/healthz", Internal: true}, {Path: "/version"}, {Path: "/chat", WebSocket: true}, {Path: "/undocumented", Unknown: true}}
	everything := scenario.Route{Path: "/{path...}", Unknown: true}
	for _, c := range []struct {
		what   string
		routes []registry.Route
		want   []scenario.Route
	}{
		{"podinfo", own, all},
		{"a proxy beside them", append(slices.Clone(own), foreign(false)), append(slices.Clone(all), everything)},
		{"a proxy alone", append(slices.Clone(own), foreign(true)), []scenario.Route{everything}},
	} {
		if diff := cmp.Diff(c.want, faultroutes.Of(c.routes)); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
	}
}
