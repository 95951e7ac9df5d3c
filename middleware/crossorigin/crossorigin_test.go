package crossorigin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/crossorigin"
	"github.com/seed-4591fe7d/podinfo/registry"
)

type app struct{}

func (*app) Info() registry.Info { return registry.Info{Name: "app"} }
func (*app) Routes() []registry.Route {
	ok := func(http.ResponseWriter, *http.Request) {}
	return []registry.Route{{Method: "POST", Path: "/switch", Handler: ok}, {Method: "GET", Path: "/read", Handler: ok}, {Path: "/any", Handler: ok}}
}

func TestRefuses(t *testing.T) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_CROSS_ORIGIN_TRUSTED": "https://friend.example"}, new(crossorigin.Module), new(app))
	for _, c := range []struct {
		method, path, header, value string
		code                        int
	}{
		{"POST", "/switch", "X-None", "1", 200}, // curl, kubelet, Flagger
		{"POST", "/switch", "Sec-Fetch-Site", "same-origin", 200},
		{"POST", "/switch", "Sec-Fetch-Site", "none", 200},
		{"POST", "/switch", "Sec-Fetch-Site", "cross-site", 403},
		{"POST", "/switch", "Sec-Fetch-Site", "same-site", 403},
		{"POST", "/switch", "Origin", "http://evil.example", 403},
		{"POST", "/switch", "Origin", s.URL, 200},
		{"POST", "/switch", "Origin", "https://friend.example", 200},
		{"GET", "/read", "Sec-Fetch-Site", "cross-site", 200},
		{"GET", "/any", "Sec-Fetch-Site", "cross-site", 200},
		{"PUT", "/any", "Sec-Fetch-Site", "cross-site", 403},
	} {
		res, body := s.Call(t, c.method, c.path, "", c.header, c.value)
		if reason := strings.Contains(body, "PODINFO_CROSS_ORIGIN_TRUSTED"); res.StatusCode != c.code || reason != (c.code == 403) {
			t.Errorf("%+v: %d %s", c, res.StatusCode, body)
		}
	}
}

func TestSettings(t *testing.T) {
	_, err := registry.New([]registry.Module{new(crossorigin.Module)}, registry.Env(map[string]string{"PODINFO_CROSS_ORIGIN_TRUSTED": "friend"}))
	if err == nil {
		t.Error("an origin without a scheme was accepted")
	}
}
