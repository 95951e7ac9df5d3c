package pprof_test

import (
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/endpoints/pprof"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

func TestProfiles(t *testing.T) {
	for _, prefix := range []string{"", "/foo/bar"} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_PPROF_ENABLED": "true", "PODINFO_PREFIX": prefix}, new(pprof.Module))
		for _, c := range []struct {
			method, path string
			code         int
			has          string
		}{
			{"GET", "/debug/pprof/", 200, `<a href="heap?debug=1">heap</a>`},
			{"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total"},
			{"HEAD", "/debug/pprof/heap", 200, ""},
			{"GET", "/debug/pprof/heap", 200, "\x1f\x8b"},
			{"GET", "/debug/pprof/profile?seconds=1", 200, "\x1f\x8b"},
			{"POST", "/debug/pprof/symbol", 200, "num_symbols: 1"},
			{"GET", "/debug/pprof/nope", 404, "{\n  \"code\": 404,\n  \"message\": \"unknown profile; see /debug/pprof/\"\n}"},
			{"GET", "/debug/pprof/heap/x", 404, "{\n  \"code\": 404,\n  \"message\": \"unknown profile; see /debug/pprof/\"\n}"},
			{"GET", "/debug/pprof/cmdline", 404, "{\n  \"code\": 404,\n  \"message\": \"unknown profile; see /debug/pprof/\"\n}"},
			{"GET", "/debug/pprof", 404, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
		} {
			res, body := s.Call(t, c.method, prefix+c.path, "")
			unknown := c.has == "{\n  \"code\": 404,\n  \"message\": \"unknown profile; see /debug/pprof/\"\n}"
			if res.StatusCode != c.code || !strings.HasPrefix(body, c.has) && (c.path != "/debug/pprof/" || !strings.Contains(body, c.has)) ||
				unknown != (res.Header.Get("X-Go-Pprof") == "1") {
				t.Errorf("%s %s%s: %d %q %v", c.method, prefix, c.path, res.StatusCode, body, res.Header)
			}
			if strings.Contains(body, "cmdline") {
				t.Errorf("%s lists the command line", c.path)
			}
		}
		if !s.App.Mounted()[0].Internal {
			t.Error("the route is not internal, so faults apply to it")
		}
	}
}

func TestOffByDefault(t *testing.T) {
	s := registrytest.Serve(t, nil, new(pprof.Module))
	if res, _ := s.Call(t, "GET", "/debug/pprof/", ""); res.StatusCode != 404 {
		t.Error(res.StatusCode)
	}
}
