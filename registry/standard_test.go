package registry_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// standard is a module around a standard middleware.
type standard struct {
	plain
	wrap func(http.Handler) http.Handler
	mw   registry.Middleware
}

func (s *standard) Provision(*registry.Host) error { s.mw = registry.Standard(s.wrap); return nil }
func (s *standard) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	s.mw.ServeHTTP(w, r, next)
}

func newStandard(name string, wrap func(http.Handler) http.Handler) *standard {
	return &standard{plain: plain{info: registry.Info{Name: name, Phase: registry.Guard}}, wrap: wrap}
}

// adds is a standard middleware that leaves its name in the response.
func adds(name string, built *int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		*built++
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("X-Chain", name)
			next.ServeHTTP(w, r)
		})
	}
}

func TestStandard(t *testing.T) {
	built := 0
	refuses := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Refuse") != "" {
				http.Error(w, "refused", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	elsewhere := func(next http.Handler) http.Handler {
		return http.TimeoutHandler(next, time.Hour, "") // calls next in another goroutine and buffers the response
	}
	s := registrytest.Serve(t, nil,
		newStandard("elsewhere", elsewhere), newStandard("a", adds("a", &built)), newStandard("refuses", refuses), newStandard("b", adds("b", &built)),
		endpoint("e", get("GET", "/a"), get("GET", "/p/{x}")))
	for _, c := range []struct {
		path, refuse string
		code         int
		body         string
		chain        []string
	}{
		{"/a", "", 200, "GET/a|/a|", []string{"a", "b"}},
		{"/p/7", "", 200, "GET/p/{x}|/p/{x}|7", []string{"a", "b"}},
		{"/a", "yes", 403, "refused\n", []string{"a"}},
	} {
		res, body := s.Call(t, "GET", c.path, "", "X-Refuse", c.refuse)
		if res.StatusCode != c.code || body != c.body {
			t.Errorf("%+v: %d %q", c, res.StatusCode, body)
		}
		if diff := cmp.Diff(c.chain, res.Header.Values("X-Chain")); diff != "" {
			t.Errorf("%+v: %s", c, diff)
		}
	}
	if built != 2 {
		t.Errorf("two middleware were built %d times", built)
	}
}

// One middleware may stand in the chain of a request more than once, each
// place with its own next handler.
func TestStandardNests(t *testing.T) {
	built := 0
	outer, inner := registry.Standard(adds("x", &built)), registry.Standard(adds("x", &built))
	rec := httptest.NewRecorder()
	outer.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, r *http.Request) {
		outer.ServeHTTP(w, r, func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, r, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "end") })
		})
	})
	if got := fmt.Sprint(rec.Body, rec.Header()["X-Chain"]); got != "end [x x x]" {
		t.Error(got)
	}
}

// Each of many requests at the same time reaches its own next handler.
func TestStandardIsConcurrent(t *testing.T) {
	built := 0
	mw := registry.Standard(adds("x", &built))
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			rec := httptest.NewRecorder()
			mw.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) })
			if rec.Body.String() != fmt.Sprint(i) {
				t.Errorf("request %d reached the handler of %s", i, rec.Body)
			}
		})
	}
	all.Wait()
}

func TestStandardWithAnotherContext(t *testing.T) {
	mw := registry.Standard(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r.WithContext(context.Background())) })
	})
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, "derive the new one from r.Context()") {
			t.Error(p)
		}
	}()
	mw.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), nil)
}
