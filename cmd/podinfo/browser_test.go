package main_test

import (
	"os/exec"
	"strings"
	"testing"
)

// dom is a page after a real browser has loaded it and run its scripts, and
// what the browser's console said.
func dom(t *testing.T, url string) (html, console string) {
	t.Helper()
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--user-data-dir="+t.TempDir(), "--virtual-time-budget=10000", "--dump-dom", url)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: `make test` installs chromium\n%s", err, errs.String())
	}
	for line := range strings.Lines(errs.String()) {
		if strings.Contains(line, "CONSOLE") {
			console += line
		}
	}
	return string(out), console
}

// TestBrowser opens the pages under a prefix. Their policies let them load
// nothing from elsewhere, so what they need is all here.
func TestBrowser(t *testing.T) {
	p := serve(t, "--prefix=/foo", "--ui-message=hello from a test")
	for path, want := range map[string]string{
		"/foo":          "hello from a test",
		"/foo/swagger/": `data-path="/cache/{key}"`, // drawn by Swagger UI
	} {
		html, console := dom(t, p.url+path)
		if !strings.Contains(html, want) {
			t.Errorf("%s: no %q in %.2000s", path, want, html)
		}
		if console != "" {
			t.Errorf("%s: %s", path, console)
		}
	}
}
