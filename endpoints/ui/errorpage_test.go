package ui_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/endpoints/ui"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

func TestErrorPage(t *testing.T) {
	const (
		chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
		accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	)
	env := on()
	env["PODINFO_FAULTS"] = "rules: [{name: busy, match: {path: /api/info, methods: GET}, fault: {status: 503}}, {name: odd, match: {path: /status/200}, fault: {status: 599}}]"
	with := registrytest.Serve(t, env, everything()...)
	without := map[string]string{"PODINFO_UI_ENABLED": "false"}
	for k, v := range env {
		without[k] = v
	}
	off := registrytest.Serve(t, without, everything()...)
	for _, c := range []struct {
		name, agent, accept, mode string
		page                      bool
	}{
		{"navigation", chrome, accept, "navigate", true},
		{"navigation over HTTP", chrome, accept, "", true},
		{"navigation of another agent", "NetSurf/3.10", accept, "navigate", true},
		{"fetch", chrome, "*/*", "cors", false},
		{"fetch of HTML", chrome, accept, "cors", false},
		{"image", chrome, "image/avif,image/webp,*/*;q=0.8", "no-cors", false},
		{"curl", "curl/8.5.0", "*/*", "", false},
		{"curl of HTML", "curl/8.5.0", "text/html", "", false},
	} {
		for _, e := range []struct {
			method, path string
			code         int
			title, text  string
		}{
			{"GET", "/nope", 404, "404 Not Found", "page not found"},
			{"POST", "/api/info", 405, "405 Method Not Allowed", "use one of GET, HEAD, OPTIONS"},
			{"GET", "/api/info", 503, "503 Service Unavailable", "the rule busy"},
			{"GET", "/status/200", 599, "599", "the rule odd"},
		} {
			for _, s := range []*registrytest.Server{with, off} {
				page := c.page && s == with
				headers := []string{"User-Agent", c.agent, "Accept", c.accept}
				if c.mode != "" {
					headers = append(headers, "Sec-Fetch-Mode", c.mode)
				}
				res, body := s.Call(t, e.method, e.path, "", headers...)
				h := res.Header
				if res.StatusCode != e.code || h.Get("X-Content-Type-Options") != "nosniff" || (h.Get("Vary") != "") != (s == with) {
					t.Errorf("%s: %s %s: %d %v", c.name, e.method, e.path, res.StatusCode, h)
				}
				if page != strings.HasPrefix(h.Get("Content-Type"), "text/html") || page != strings.Contains(body, "<h1>"+e.title+"</h1>") || page == strings.HasPrefix(body, "{") {
					t.Errorf("%s: %s %s: %v %s", c.name, e.method, e.path, h, body)
				}
				if page && (!strings.Contains(body, e.text) || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'")) {
					t.Errorf("%s: %s %s: %v %s", c.name, e.method, e.path, h, body)
				}
			}
		}
	}
}

func TestErrorPageEscapes(t *testing.T) {
	rec, req := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	if !new(ui.Module).ServeErrorPage(rec, req, 418, "<script>&") || !strings.Contains(rec.Body.String(), "<p>&lt;script&gt;&amp;</p>") {
		t.Error(rec.Body)
	}
}
