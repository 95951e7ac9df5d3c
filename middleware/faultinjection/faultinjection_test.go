package faultinjection_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faultinjection"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// endpoint has an ordinary route, one for any method, and an internal one.
type endpoint struct{}

func (endpoint) Info() registry.Info { return registry.Info{Name: "endpoint"} }
func (endpoint) Routes() []registry.Route {
	ok := func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) }
	return []registry.Route{
		{Method: "GET", Path: "/a", Handler: ok},
		{Path: "/any/{rest...}", Handler: ok},
		{Method: "GET", Path: "/internal", Handler: ok, Internal: true},
	}
}

// observer records the reported faults.
type observer struct {
	mu   sync.Mutex
	seen []string
}

func (*observer) Info() registry.Info { return registry.Info{Name: "observer"} }
func (o *observer) FaultInjected(_ context.Context, fault string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, fault)
}

func (o *observer) faults() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.seen)
}

func TestFaultInjection(t *testing.T) {
	for _, prefix := range []string{"", "/foo"} {
		o := new(observer)
		s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": prefix}, new(faultinjection.Module), new(endpoint), o)
		other := registrytest.Serve(t, nil, new(faultinjection.Module), new(endpoint))
		const enabled, disabled = "{\n  \"fault_injection\": \"enabled\"\n}", "{\n  \"fault_injection\": \"disabled\"\n}"
		problem := func(code int, message string) string {
			return fmt.Sprintf("{\n  \"code\": %d,\n  \"message\": %q\n}", code, message)
		}
		failed := problem(500, "fault injection enabled")
		for _, c := range []struct {
			method, path string
			code         int
			body         string
		}{
			{"GET", "/a", 200, "ok"},
			{"GET", "/fault_injection/status", 200, disabled},
			{"GET", "/fault_injection/enable", 405, problem(405, "method not allowed; use one of OPTIONS, POST")},
			{"GET", "/a", 200, "ok"},
			{"POST", "/fault_injection/enable", 202, enabled},
			{"GET", "/fault_injection/status", 200, enabled},
			{"GET", "/a", 500, failed},
			{"BREW", "/any/x", 500, failed},
			{"HEAD", "/a", 500, ""},
			{"GET", "/internal", 200, "ok"},
			{"GET", "/nowhere", 404, problem(404, "page not found")},
			{"POST", "/a", 405, problem(405, "method not allowed; use one of GET, HEAD, OPTIONS")},
			{"POST", "/fault_injection/enable", 202, enabled},
			{"POST", "/fault_injection/disable", 202, disabled},
			{"GET", "/fault_injection/status", 200, disabled},
			{"GET", "/a", 200, "ok"},
		} {
			res, body := s.Call(t, c.method, prefix+c.path, "")
			if res.StatusCode != c.code || body != c.body {
				t.Errorf("%s %s: %d %q, want %d %q", c.method, prefix+c.path, res.StatusCode, body, c.code, c.body)
			}
			if c.code == 500 && res.Header.Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("%s %s: %v", c.method, c.path, res.Header)
			}
			if res, _ := other.Call(t, "GET", "/a", ""); res.StatusCode != 200 {
				t.Fatal("the flag is shared between servers")
			}
		}
		if diff := cmp.Diff([]string{"fault-injection", "fault-injection", "fault-injection"}, o.faults()); diff != "" {
			t.Error(diff)
		}
	}
}
