package ui_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/endpoints/info"
	"github.com/seed-4591fe7d/podinfo/endpoints/ui"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const browser = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140"

// browse requests a page as a browser does.
func browse(t *testing.T, s *registrytest.Server, path string) (page string, h http.Header) {
	t.Helper()
	res, body := s.Call(t, "GET", path, "", "User-Agent", browser)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(strings.Join(res.Header["Vary"], ","), "User-Agent") {
		t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
	}
	return body, res.Header
}

func TestOnlyBrowsersGetThePage(t *testing.T) {
	s := registrytest.Serve(t, nil, new(ui.Module), new(info.Module))
	for agent, html := range map[string]bool{"Mozilla/5.0": true, "Mozilla": true, "mozilla/5.0": false, "x Mozilla": false, "": false} {
		res, _ := s.Call(t, "GET", "/", "", "User-Agent", agent)
		if got := strings.HasPrefix(res.Header.Get("Content-Type"), "text/html"); got != html || !strings.HasPrefix(res.Header.Values("Vary")[0], "User-Agent") {
			t.Errorf("%q: html %v, %v", agent, got, res.Header)
		}
	}
	for accept, html := range map[string]bool{"application/json": false, "text/html,application/xhtml+xml,*/*;q=0.8": true, "text/html, application/json": true, "*/*": true} {
		res, _ := s.Call(t, "GET", "/", "", "User-Agent", browser, "Accept", accept)
		if got := strings.HasPrefix(res.Header.Get("Content-Type"), "text/html"); got != html {
			t.Errorf("%q: html %v", accept, got)
		}
	}
	s = registrytest.Serve(t, map[string]string{"PODINFO_UI_ENABLED": "false"}, new(ui.Module), new(info.Module))
	if res, _ := s.Call(t, "GET", "/", "", "User-Agent", browser); res.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("with ui off: %v", res.Header)
	}
}

var reference = regexp.MustCompile(`(?:src|href)="([^"#]+)"`)

// TestPage checks that the page's references work from every path it is served
// at. They are relative, so they also work behind a proxy.
func TestPage(t *testing.T) {
	hostname, _ := os.Hostname()
	for _, c := range []struct{ prefix, path, base, at string }{
		{"", "/", "./", "/"},
		{"/foo/bar", "/foo/bar", "bar/", "/foo/bar/"},
		{"/foo/bar", "/foo/bar/", "./", "/foo/bar/"},
		{"/a b", "/a%20b", "a%20b/", "/a%20b/"},
	} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": c.prefix, "PODINFO_UI_MESSAGE": `<b>"hi"</b>`}, new(ui.Module), new(info.Module))
		page, h := browse(t, s, c.path)
		for _, want := range []string{"<title>" + hostname + "</title>", `<base href="` + c.base + `">`, `&lt;b&gt;&#34;hi&#34;&lt;/b&gt;`} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %s in %s", c.path, want, page)
			}
		}
		if left := regexp.MustCompile(`__[A-Z]+__|<style|style=|\son[a-z]+=|https?:`).FindString(page); left != "" {
			t.Errorf("%s: %s", c.path, left)
		}
		for name, want := range map[string]string{"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", c.path, name, h.Get(name))
			}
		}
		files := 0
		for _, m := range reference.FindAllStringSubmatch(page, -1) {
			if strings.HasPrefix(m[1], "ui/") {
				files++
				if res, _ := s.Call(t, "GET", c.at+m[1], ""); res.StatusCode != 200 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
					t.Errorf("%s: %d %v", m[1], res.StatusCode, res.Header)
				}
			}
		}
		loader := regexp.MustCompile(`<script data-assets="(.*)/" data-files="([^"]*)"`).FindStringSubmatch(page)
		for _, name := range strings.Fields(loader[2]) {
			files++
			if res, _ := s.Call(t, "GET", c.at+loader[1]+"/"+name, ""); res.StatusCode != 200 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
			}
		}
		for _, m := range regexp.MustCompile(`data-(?:src|href|main)="([^"$]*)"`).FindAllStringSubmatch(page, -1) {
			if !slices.Contains(strings.Fields(loader[2]), m[1]) {
				t.Errorf("%s: the loader does not load %s", c.path, m[1])
			}
		}
		if files < 10 {
			t.Errorf("%s: %d files", c.path, files)
		}
		res, body := s.Call(t, "GET", c.path, "", "User-Agent", browser, "If-None-Match", h.Get("ETag"))
		if res.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s again: %d", c.path, res.StatusCode)
		}
		res, body = s.Call(t, "HEAD", c.path, "", "User-Agent", browser)
		if res.StatusCode != 200 || body != "" || res.Header.Get("ETag") == "" || res.ContentLength <= 0 {
			t.Errorf("HEAD %s: %d %v", c.path, res.StatusCode, res.Header)
		}
	}
}

func TestPolicy(t *testing.T) {
	for logo, origin := range map[string]string{
		"":                           "",
		"/logo.png":                  "",
		"data:image/png;base64,AA==": "",
		"https://example.com/l.png":  " https://example.com",
		"http://[::1]:8080/l.png":    " http://[::1]:8080",
		"//cdn.example.com/l.png":    " cdn.example.com",
		"ftp://example.com/l.png":    "",
		"javascript:alert(1)":        "",
		"https://a;script-src/*":     "",
		"https://*/l.png":            "",
		"https://a b/":               "",
		"https://user:pw@a/":         " https://a",
	} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_UI_LOGO": logo}, new(ui.Module), new(info.Module))
		page, h := browse(t, s, "/")
		script := regexp.MustCompile(`(?s)<script data-assets[^>]*>(.*?)</script>`).FindStringSubmatch(page)
		if regexp.MustCompile(`<script src=`).MatchString(page) || script == nil {
			t.Fatalf("the page waits for a script that another replica may not have: %s", page)
		}
		hash := sha256.Sum256([]byte(script[1]))
		want := "default-src 'none'; script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; style-src 'self'; img-src 'self' data:" + origin +
			"; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
		if got := h.Get("Content-Security-Policy"); got != want {
			t.Errorf("%q: %s", logo, got)
		}
	}
}

func TestAssets(t *testing.T) {
	s := registrytest.Serve(t, nil, new(ui.Module))
	page, _ := browse(t, s, "/")
	dir := "/" + regexp.MustCompile(`ui/assets/[0-9a-f]{16}`).FindString(page)
	files := regexp.MustCompile(`data-files="([^"]*)"`).FindStringSubmatch(page)
	entries, err := os.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	sent := len(page)
	for _, e := range entries {
		if e.Name() == "index.html" || e.Name() == "load.js" {
			continue
		}
		text, err := os.ReadFile("assets/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		res, body := s.Call(t, "GET", dir+"/"+e.Name(), "")
		kind := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml; charset=utf-8"}[filepath.Ext(e.Name())]
		if body != string(text) || kind == "" || res.Header.Get("Content-Type") != kind || res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", e.Name(), res.StatusCode, res.Header)
		}
		_, packed := s.Call(t, "GET", dir+"/"+e.Name(), "", "Accept-Encoding", "gzip")
		sent += len(packed)
		res, body = s.Call(t, "GET", "/ui/assets/0123456789abcdef/"+e.Name(), "") // as the page of another release requests it
		if res.StatusCode != 404 || body != "" || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s of another release: %d %v", e.Name(), res.StatusCode, res.Header)
		}
		if !slices.Contains(strings.Fields(files[1]), e.Name()) {
			t.Errorf("the page does not load %s", e.Name())
		}
	}
	res, err := s.Client().Get(s.URL + "/ui/assets/0123456789abcdef/app.js")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if !res.Close { // the connection to the wrong replica
		t.Errorf("%v", res.Header)
	}
	if sent > 60_000 {
		t.Errorf("the page and its files are %d bytes compressed, want at most 60,000", sent)
	}
	for path, code := range map[string]int{dir + "/index.html": 404, dir + "/load.js": 404, dir + "/none.js": 404, dir + "/..%2fui.go": 301, "/ui": 404, "/ui/": 404, "/ui/assets": 404, dir: 404} {
		if res, _ := s.Call(t, "GET", path, ""); res.StatusCode != code {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

func TestCustomPage(t *testing.T) {
	hostname, _ := os.Hostname()
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "vue.html"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"PODINFO_UI_PATH": dir, "PODINFO_PREFIX": "/p", "PODINFO_UI_LOGO": "/<l>"}
	s := registrytest.Serve(t, env, new(ui.Module), new(info.Module))
	if page, _ := browse(t, s, "/p"); !strings.Contains(page, "ui/assets/") {
		t.Errorf("an empty directory: %s", page)
	}
	write("{{.Title}} {{ .Logo }} <script>p = {{ .Prefix }}</script>")
	s = registrytest.Serve(t, env, new(ui.Module), new(info.Module))
	for _, path := range []string{"/p", "/p/"} {
		page, h := browse(t, s, path)
		if want := hostname + ` /&lt;l&gt; <script>p = "/p"</script>`; page != want || h.Get("Content-Security-Policy") != "" || h.Get("Cache-Control") != "no-cache" {
			t.Errorf("%q, %v, want %q", page, h, want)
		}
	}
	write("{{ if .Logo }}x{{ end }}")
	app, err := registry.New([]registry.Module{new(ui.Module)}, registry.Env(env))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "PODINFO_UI_PATH") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	for setting, good := range map[string]bool{
		"SAMPLE_INTERVAL=500ms": true, "SAMPLE_INTERVAL=1m": true, "SAMPLE_INTERVAL=499ms": false, "SAMPLE_INTERVAL=61s": false, "SAMPLE_INTERVAL=2": false,
		"MAX_VIEWERS=1": true, "MAX_VIEWERS=-1": false, "ADMIN=yes": false, "ADMIN_TOKEN=x": false,
	} {
		key, value, _ := strings.Cut(setting, "=")
		_, err := registry.New([]registry.Module{new(ui.Module)}, registry.Env(map[string]string{"PODINFO_UI_" + key: value}))
		if (err == nil) != good || err != nil && !strings.Contains(fmt.Sprint(err), "PODINFO_UI_"+key) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}
