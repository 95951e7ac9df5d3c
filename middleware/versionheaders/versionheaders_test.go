package versionheaders_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/versionheaders"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// mirror replies with the request's headers and then modifies them, which must
// not affect other requests.
type mirror struct{}

func (mirror) Info() registry.Info { return registry.Info{Name: "mirror"} }

func (mirror) Routes() []registry.Route {
	return []registry.Route{{Method: "GET", Path: "/", Handler: func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(r.Header)
		r.Header.Add("X-API-Version", "spoilt")
	}}}
}

func TestHeaders(t *testing.T) {
	s := registrytest.Serve(t, nil, new(versionheaders.Module), mirror{})
	for _, sent := range [][]string{
		nil,
		{"X-API-Version", "forged", "X-API-Version", "twice", "x-api-revision", "forged"},
	} {
		res, body := s.Call(t, "GET", "/", "", sent...)
		var got http.Header
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		want := http.Header{"X-Api-Version": {"1.2.3"}, "X-Api-Revision": {"abc"}}
		if diff := cmp.Diff(want, http.Header{"X-Api-Version": got["X-Api-Version"], "X-Api-Revision": got["X-Api-Revision"]}); diff != "" {
			t.Errorf("sent %v: %s", sent, diff)
		}
		if v := res.Header.Get("X-API-Version"); v != "" {
			t.Errorf("the reply has X-API-Version %q", v)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	m := new(versionheaders.Module)
	registrytest.New(t, nil, m)
	r := httptest.NewRequest("GET", "/", nil)
	w := httptest.NewRecorder()
	next := func(http.ResponseWriter, *http.Request) {}
	if n := testing.AllocsPerRun(100, func() { m.ServeHTTP(w, r, next) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}
