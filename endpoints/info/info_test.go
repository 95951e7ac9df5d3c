package info_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-4591fe7d/podinfo/endpoints/info"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/registrytest"
)

const upstreamLogo = "https://raw.githubusercontent.com/stefanprodan/podinfo/gh-pages/cuddle_clap.gif"

func browse(t *testing.T, s *registrytest.Server, path string) (page, policy string) {
	t.Helper()
	res, body := s.Call(t, "GET", path, "", "User-Agent", "Mozilla/5.0")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Vary") != "User-Agent" {
		t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
	}
	return body, res.Header.Get("Content-Security-Policy")
}

func TestReply(t *testing.T) {
	hostname, _ := os.Hostname()
	m := new(info.Module)
	s := registrytest.Serve(t, map[string]string{"PODINFO_UI_MESSAGE": `"num_goroutine": "<&>`}, m)
	want := info.Reply{
		Hostname: hostname, Version: "1.2.3", Revision: "abc", Color: "#34577c", Logo: upstreamLogo, Message: `"num_goroutine": "<&>`,
		GOOS: runtime.GOOS, GOARCH: runtime.GOARCH, Runtime: runtime.Version(), NumCPU: strconv.Itoa(runtime.NumCPU()),
	}
	for path, agent := range map[string]string{"/": "curl/8 Mozilla", "/api/info": "Mozilla/5.0"} {
		res, body := s.Call(t, "GET", path, "", "User-Agent", agent)
		var got info.Reply
		if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != 200 {
			t.Errorf("%s: %d %v", path, res.StatusCode, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(info.Reply{}, "NumGoroutine")); diff != "" {
			t.Error(path, diff)
		}
		if n, err := strconv.Atoi(got.NumGoroutine); err != nil || n < 1 {
			t.Errorf("num_goroutine is %q", got.NumGoroutine)
		}
		if whole, _ := registry.EncodeJSON(got); string(whole) != body {
			t.Errorf("%s: %q, want %q", path, body, whole)
		}
	}
	if diff := cmp.Diff(want, m.Runtime(), cmpopts.IgnoreFields(info.Reply{}, "NumGoroutine")); diff != "" || m.Runtime().NumGoroutine == "" {
		t.Error(diff)
	}
}

func TestDefaultMessage(t *testing.T) {
	m := new(info.Module)
	registrytest.New(t, nil, m)
	if got := m.Runtime().Message; got != "greetings from podinfo v1.2.3" {
		t.Error(got)
	}
}

func TestOnlyBrowsersGetThePage(t *testing.T) {
	s := registrytest.Serve(t, nil, new(info.Module))
	for agent, html := range map[string]bool{"Mozilla/5.0": true, "Mozilla": true, "mozilla/5.0": false, " Mozilla": true, "x Mozilla": false, "": false} {
		res, _ := s.Call(t, "GET", "/", "", "User-Agent", agent) // header values are trimmed on their way
		if got := strings.HasPrefix(res.Header.Get("Content-Type"), "text/html"); got != html || res.Header.Get("Vary") != "User-Agent" {
			t.Errorf("%q: html %v", agent, got)
		}
	}
}

func TestPage(t *testing.T) {
	hostname, _ := os.Hostname()
	for _, prefix := range []string{"", "/foo/bar"} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": prefix, "PODINFO_UI_COLOR": "#0f0", "PODINFO_UI_MESSAGE": "<b>hi</b>"}, new(info.Module))
		page, _ := browse(t, s, prefix+"/")
		for _, want := range []string{"<title>" + hostname + "</title>", "&lt;b&gt;hi&lt;/b&gt;", "<dd>1.2.3</dd>", "<dd>abc</dd>",
			`href="` + prefix + `/swagger/"`, `href="` + prefix + `/api/info"`, "background: #0f0", "<svg"} {
			if !strings.Contains(page, want) {
				t.Errorf("%q: no %s", prefix, want)
			}
		}
		for _, never := range []string{"<script", "http:", "https:", "UI_COLOR", "ZgotmplZ", "<img"} {
			if strings.Contains(page, never) {
				t.Errorf("%q: %s", prefix, never)
			}
		}
	}
}

func TestLogo(t *testing.T) {
	for logo, want := range map[string]string{
		upstreamLogo:                 upstreamLogo,
		"/logo.png":                  "/logo.png",
		"data:image/png;base64,AA==": "data:image/png;base64,AA==",
		`x" onerror="alert(1)`:       "x%22%20onerror=%22alert%281%29",
	} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_UI_LOGO": logo}, new(info.Module))
		if page, _ := browse(t, s, "/"); !strings.Contains(page, `<img src="`+want+`" alt="logo">`) || strings.Contains(page, "<svg") {
			t.Errorf("%s: %s", logo, page)
		}
	}
}

// The policy allows the style the page has, and nothing that could run.
func TestPolicy(t *testing.T) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_UI_COLOR": "Teal"}, new(info.Module))
	page, policy := browse(t, s, "/")
	_, style, _ := strings.Cut(page, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "default-src 'none'; img-src 'self' http: https: data:; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if policy != want || !strings.Contains(style, "Teal") {
		t.Errorf("%s, want %s", policy, want)
	}
	if strings.Contains(page, "style=") {
		t.Error("a style attribute, which the policy forbids")
	}
}

// Text has the contrast of WCAG 2, level AA at least, to the card it is on.
func TestTextIsReadable(t *testing.T) {
	s := registrytest.Serve(t, nil, new(info.Module))
	page, _ := browse(t, s, "/")
	card := regexp.MustCompile(`background: (#[0-9a-f]{6});\n`).FindStringSubmatch(page)
	text := regexp.MustCompile(`[ {]color: (#[0-9a-f]{6})`).FindAllStringSubmatch(page, -1)
	if card == nil || len(text) < 2 {
		t.Fatal(card, text)
	}
	for _, c := range text {
		if ratio := (luminance(card[1]) + 0.05) / (luminance(c[1]) + 0.05); ratio < 4.5 {
			t.Errorf("%s on %s: %.1f", c[1], card[1], ratio)
		}
	}
}

func luminance(hex string) (sum float64) {
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, _ := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		c := float64(n) / 255
		if c <= 0.04045 {
			sum += weight * c / 12.92
		} else {
			sum += weight * math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	return sum
}

func TestGivenPage(t *testing.T) {
	hostname, _ := os.Hostname()
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "vue.html"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"PODINFO_UI_PATH": dir, "PODINFO_PREFIX": "/p", "PODINFO_UI_LOGO": "/<l>"}
	s := registrytest.Serve(t, env, new(info.Module))
	if page, _ := browse(t, s, "/p"); !strings.Contains(page, "<h1>") {
		t.Errorf("an empty directory: %s", page)
	}
	write("{{.Title}} {{.Logo}} <script>p={{.Prefix}}</script>")
	s = registrytest.Serve(t, env, new(info.Module))
	page, policy := browse(t, s, "/p")
	if want := hostname + " /&lt;l&gt; <script>p=\"/p\"</script>"; page != want || policy != "" {
		t.Errorf("%q, policy %q, want %q", page, policy, want)
	}
	for _, broken := range []string{"{{", "{{.Nope}}"} {
		write(broken)
		app, err := registry.New([]registry.Module{new(info.Module)}, registry.Env(env))
		if err != nil {
			t.Fatal(err)
		}
		if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "PODINFO_UI_PATH") {
			t.Errorf("%s: %v", broken, err)
		}
	}
}

func TestColor(t *testing.T) {
	for value, good := range map[string]bool{"#abc": true, "#A1B2C3": true, "rebeccapurple": true, "#12": false, "#12345g": false,
		"red;}": false, "rgb(0,0,0)": false, "</style>": false, "#fff\n": false} {
		_, err := registry.New([]registry.Module{new(info.Module)}, registry.Env(map[string]string{"PODINFO_UI_COLOR": value}))
		if _, bad := errors.AsType[*registry.SettingError](err); bad == good {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func BenchmarkInfo(b *testing.B) {
	app, _ := registrytest.New(b, nil, new(info.Module))
	r := httptest.NewRequest("GET", "/api/info", nil)
	b.ReportAllocs()
	for b.Loop() {
		app.ServeHTTP(httptest.NewRecorder(), r)
	}
}
