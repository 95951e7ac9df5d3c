package faultroutes_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/faultroutes"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// site is a module with routes.
type site struct {
	name   string
	routes []registry.Route
	host   *registry.Host
}

func (s *site) Info() registry.Info              { return registry.Info{Name: s.name} }
func (s *site) Provision(h *registry.Host) error { s.host = h; return nil }
func (s *site) Routes() (out []registry.Route) {
	for _, rt := range s.routes {
		rt.Handler = func(http.ResponseWriter, *http.Request) {}
		out = append(out, rt)
	}
	return out
}

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
		what    string
		proxied []registry.Route
		want    []scenario.Route
	}{
		{"podinfo", nil, all},
		{"a proxy beside them", []registry.Route{foreign(false)}, append(slices.Clone(all), everything)},
		{"a proxy alone", []registry.Route{foreign(true)}, []scenario.Route{everything}},
	} {
		podinfo := &site{name: "own", routes: own}
		registrytest.New(t, nil, podinfo, &site{name: "foreign", routes: c.proxied})
		if diff := cmp.Diff(c.want, faultroutes.Of(podinfo.host.Declared())); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
	}
}
