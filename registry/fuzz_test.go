package registry_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// FuzzSettings gives any value to any setting: New accepts it or says in one
// line what it wants instead, and never shows a secret.
func FuzzSettings(f *testing.F) {
	keys := []string{"MODULES", "PREFIX", "LEVEL", "SEED", "SHUTDOWN_GRACE", "SERVER_SHUTDOWN_TIMEOUT", "MY_KNOBS_MAX", "MY_KNOBS_RATE",
		"MY_KNOBS_ON", "MY_KNOBS_WAIT", "MY_KNOBS_WORDS", "MY_KNOBS_CODES", "MY_KNOBS_UNIT", "MY_KNOBS_SECRET", "MY_KNOBS_PIN", "MY_KNOBS_ENABLED"}
	for i, v := range []string{"-my-knobs,none,+x", "/a//b/{c}", "warn", "18446744073709551616", "-3s", "1ns", "1e3", "NaN", "T", "1.5h", "a,,b", "1,2,", "ms", "s3cr3t", "x9x9x9", "standby"} {
		f.Add(uint8(i), v)
	}
	f.Fuzz(func(t *testing.T, i uint8, value string) {
		key := registry.EnvPrefix + keys[int(i)%len(keys)]
		env := map[string]string{"PODINFO_MY_KNOBS_ENABLED": "true", key: value}
		app, err := registry.New(mods(new(knobs), endpoint("e", get("GET", "/a"))), registry.Env(env))
		if err != nil {
			if key == "PODINFO_MY_KNOBS_PIN" && len(value) > 3 && strings.Contains(err.Error(), value) {
				t.Errorf("%s=%q is shown: %v", key, value, err)
			}
			if _, ok := errors.AsType[*registry.SettingError](err); ok && strings.Contains(err.Error(), "\n") {
				t.Errorf("%s=%q: not one line: %v", key, value, err)
			}
			return
		}
		for _, s := range app.Settings() {
			if s.Secret && s.Value != "" && s.Shown() != registry.Redacted {
				t.Errorf("%s is shown", s.Key)
			}
		}
	})
}

// FuzzPath sends any path to a tree of routes: it is answered, and a redirect
// stays on this host and leads to a clean path.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"/", "/a", "/p/x", "/rest/a/b", "//evil.example/..", "/p/..", "/a/../p/x", "/./", "/p/{x}", "/p/:x", "/rest//x", "/%2e%2e/a", "*", ""} {
		f.Add(p)
	}
	app, err := registry.New(mods(endpoint("e", get("GET", "/"), get("GET", "/a"), get("GET", "/p/{x}"), get("", "/rest/{x...}"))))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		req := &http.Request{Method: http.MethodGet, URL: httptest.NewRequest("GET", "/", nil).URL, Header: http.Header{}}
		req.URL.Path = path
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, req)
		to := rec.Header().Get("Location")
		switch {
		case rec.Code == http.StatusMovedPermanently && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")):
			t.Errorf("%q redirects to %q", path, to)
		case rec.Code != 200 && rec.Code != 301 && rec.Code != 404 && (rec.Code != 405 || path != "*"):
			t.Errorf("%q: %d", path, rec.Code)
		}
	})
}
