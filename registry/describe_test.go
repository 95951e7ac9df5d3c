package registry_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// locked needs a token for /locked, and says so.
type locked struct{}

func (locked) Info() registry.Info              { return registry.Info{Name: "locked", Phase: registry.Guard} }
func (locked) Covers(rt registry.Route) bool    { return rt.Path == "/locked" }
func (locked) DescribeRoute(rt *registry.Route) { rt.Bearer, rt.Returns[401] = true, "refused" }
func (locked) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(w, r)
}

// doors has routes that share a map of responses, and one without any.
type doors struct{ returns map[int]any }

func (doors) Info() registry.Info { return registry.Info{Name: "doors"} }

func (d doors) Routes() []registry.Route {
	h := func(http.ResponseWriter, *http.Request) {}
	return []registry.Route{
		{Method: "GET", Path: "/open", Handler: h, Returns: d.returns},
		{Method: "GET", Path: "/locked", Handler: h, Returns: d.returns},
		{Method: "PUT", Path: "/locked", Handler: h},
	}
}

func TestDescribeRoute(t *testing.T) {
	shared := map[int]any{200: "ok"}
	app, err := registry.New([]registry.Module{locked{}, doors{shared}})
	if err != nil {
		t.Fatal(err)
	}
	type described struct {
		At      string
		Bearer  bool
		Returns map[int]any
	}
	var got []described
	for _, rt := range app.Mounted() {
		got = append(got, described{rt.Method + " " + rt.Path, rt.Bearer, rt.Returns})
	}
	want := []described{
		{"GET /open", false, map[int]any{200: "ok"}},
		{"GET /locked", true, map[int]any{200: "ok", 401: "refused"}},
		{"PUT /locked", true, map[int]any{401: "refused"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(shared) != 1 {
		t.Errorf("the module's own map was changed: %v", shared)
	}
}
