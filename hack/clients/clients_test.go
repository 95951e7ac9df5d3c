// Package clients generates clients from /openapi.json with the tools of others
// and uses them against a server.
package clients

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	_ "github.com/oapi-codegen/runtime" // the generated client imports it

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// serve starts podinfo and returns its URL and a file with its document.
func serve(t *testing.T) (url, document string) {
	t.Helper()
	app, err := podinfo.New(registry.Env(map[string]string{"PODINFO_DATA_PATH": t.TempDir(), "PODINFO_LEVEL": "error", "PODINFO_PREFIX": "/pod", "PODINFO_UI_ADMIN": "true", "PODINFO_FAULTS": "true"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	s := httptest.NewServer(app)
	t.Cleanup(s.Close)
	res, err := http.Get(s.URL + "/pod/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res.Status, err)
	}
	document = filepath.Join(t.TempDir(), "openapi.json")
	write(t, document, b)
	return s.URL + "/pod", document
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs a program in a directory.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// TestGo generates a client with oapi-codegen. It reaches the compiler as an
// overlay of testdata/go, so that nothing is written there.
func TestGo(t *testing.T) {
	t.Parallel()
	url, document := serve(t)
	dir := t.TempDir()
	client, overlay := filepath.Join(dir, "client.go"), filepath.Join(dir, "overlay.json")
	run(t, ".", "go", "tool", "oapi-codegen", "-package", "main", "-generate", "types,client", "-o", client, document)
	at, err := filepath.Abs("testdata/go/client.go")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{at: client}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, overlay, b)
	run(t, ".", "go", "run", "-overlay", overlay, "./testdata/go", url)
}

// TestTypeScript generates types with openapi-typescript, for openapi-fetch.
func TestTypeScript(t *testing.T) {
	t.Parallel()
	url, document := serve(t)
	const source = "testdata/typescript"
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(install(t, source), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "node", "node_modules/openapi-typescript/bin/cli.js", document, "-o", "schema.d.ts")
	run(t, dir, "node", "node_modules/typescript/bin/tsc")
	run(t, dir, "node", "client.js", url)
}

// install returns a directory in the user's cache with the npm packages of a lock
// file, which it downloads once.
func install(t *testing.T, source string) string {
	t.Helper()
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "podinfo-test", "clients-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), "clients-part-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(part)
	if err := os.CopyFS(part, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	run(t, part, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")     // `make deps` installs npm
	if err := os.Rename(part, dir); err != nil && !errors.Is(err, fs.ErrExist) { // another test was faster
		t.Fatal(err)
	}
	return dir
}
