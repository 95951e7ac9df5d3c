package registry_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// crowd has a route for each of n parts, and one that overlaps with all of them.
type crowd struct{ n int }

func (crowd) Info() registry.Info { return registry.Info{Name: "crowd"} }

func (c crowd) Routes() []registry.Route {
	serve := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Pattern) }
	out := []registry.Route{{Method: "GET", Path: "/part/{rest...}", Handler: serve}}
	for i := range c.n {
		out = append(out, registry.Route{Method: "GET", Path: fmt.Sprintf("/part/%d/{id}", i), Handler: serve})
	}
	return out
}

// TestManyRoutes checks that the more specific of two overlapping routes is served,
// whatever their number.
func TestManyRoutes(t *testing.T) {
	app, err := registry.New([]registry.Module{&crowd{3000}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/part/0/x": "/part/0/{id}", "/part/2999/x": "/part/2999/{id}", "/part/3000/x": "/part/{rest...}", "/part/7": "/part/{rest...}"} {
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		if got := rec.Body.String(); got != want {
			t.Errorf("%s: served by %q, want %q", path, got, want)
		}
	}
}

// BenchmarkManyRoutes is the time to assemble routes whose number grows: it must grow
// with it.
func BenchmarkManyRoutes(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := registry.New([]registry.Module{&crowd{n}}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/route")
		})
	}
}

// single is one of many modules, with one route.
type single struct{ name string }

func (s *single) Info() registry.Info { return registry.Info{Name: s.name} }

func (s *single) Routes() []registry.Route {
	return []registry.Route{{Method: "GET", Path: "/" + s.name, Handler: func(http.ResponseWriter, *http.Request) {}}}
}

// TestManyModules checks that twice as many modules need about twice the memory to
// assemble.
func TestManyModules(t *testing.T) {
	allocated := func(n int) uint64 {
		var all []registry.Module
		for i := range n {
			all = append(all, &single{fmt.Sprintf("single-%d", i)})
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := registry.New(all); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	allocated(10) // what is made once
	few, many := allocated(750), allocated(1500)
	if many > few*5/2 {
		t.Errorf("750 modules take %d bytes, 1500 take %d", few, many)
	}
}
