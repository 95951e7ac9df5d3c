package configs_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/endpoints/configs"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, dir string) *registrytest.Server {
	t.Helper()
	return registrytest.Serve(t, map[string]string{"PODINFO_CONFIG_PATH": dir}, new(configs.Module))
}

// get returns the files that /configs returns.
func get(t *testing.T, s *registrytest.Server) map[string]string {
	t.Helper()
	res, body := s.Call(t, "GET", "/configs", "")
	var out map[string]string
	if err := json.Unmarshal([]byte(body), &out); err != nil || res.StatusCode != 200 {
		t.Fatalf("%d %s: %v", res.StatusCode, body, err)
	}
	return out
}

// waitFor waits until /configs returns want.
func waitFor(t *testing.T, s *registrytest.Server, want map[string]string) {
	t.Helper()
	var got map[string]string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got = get(t, s); maps.Equal(got, want) {
			return
		}
	}
	t.Fatalf("timed out: %s", cmp.Diff(want, got))
}

// must fails the test if any error is not nil.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(dir, name, content string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)
}

func TestPlainDirectory(t *testing.T) {
	dir := t.TempDir()
	must(t,
		write(dir, "a", "1"), write(dir, "b", "<2>"),
		write(dir, "config.yaml", "jwt-secret: x"), write(dir, "x..y", "dots"), write(dir, "large", strings.Repeat("x", 1<<20+1)), write(dir, "limit", strings.Repeat("y", 1<<20)),
		os.Mkdir(filepath.Join(dir, "directory"), 0o755),
		os.Symlink("a", filepath.Join(dir, "link")), os.Symlink("nowhere", filepath.Join(dir, "dangling")), os.Symlink("directory", filepath.Join(dir, "linked")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644),
	)
	s := serve(t, dir)
	want := map[string]string{"a": "1", "b": "<2>", "config.yaml": "jwt-secret: REDACTED\n", "limit": strings.Repeat("y", 1<<20), "link": "1"}
	if diff := cmp.Diff(want, get(t, s)); diff != "" {
		t.Fatal(diff)
	}
	for _, name := range []string{"large", "dangling", "pipe"} {
		if !strings.Contains(s.Log.String(), `"file":"`+name+`"`) {
			t.Errorf("no warning about %s", name)
		}
	}
	if !strings.Contains(s.Log.String(), "fscache start watcher for "+dir) {
		t.Error("the start of the watch is not logged")
	}
	must(t, write(dir, "a", "edited"))
	want["a"], want["link"] = "edited", "edited"
	waitFor(t, s, want)
	must(t, write(dir, "new", "added"), os.Remove(filepath.Join(dir, "b")), os.Rename(filepath.Join(dir, "limit"), filepath.Join(dir, "moved")))
	want["new"], want["moved"] = "added", want["limit"]
	delete(want, "b")
	delete(want, "limit")
	waitFor(t, s, want)
	must(t, os.RemoveAll(dir))
	waitFor(t, s, map[string]string{})
}

// TestManyFiles puts more into the directory than is kept in memory. The names
// decide which files are omitted.
func TestManyFiles(t *testing.T) {
	dir, want := t.TempDir(), map[string]string{}
	for i := range 5 {
		name := fmt.Sprint("large", i)
		content := strings.Repeat(fmt.Sprint(i), 1<<20)
		must(t, write(dir, name, content))
		if i < 4 {
			want[name] = content
		}
	}
	must(t, write(dir, "small", "s"))
	s := serve(t, dir)
	if diff := cmp.Diff(want, get(t, s)); diff != "" {
		t.Fatal(diff)
	}
	for _, name := range []string{"large4", "small"} {
		if !strings.Contains(s.Log.String(), `"file":"`+name+`"`) {
			t.Errorf("no warning about %s", name)
		}
	}
}

// secrets has secret settings for a config file.
type secrets struct {
	Key     string   `env:"JWT_SECRET" secret:"true"`
	Message string   `env:"UI_MESSAGE"`
	Servers []string `env:"BACKEND_URL"`
}

func (*secrets) Info() registry.Info { return registry.Info{Name: "secrets", Unprefixed: true} }

func TestOwnConfigFileIsRedacted(t *testing.T) {
	for file, want := range map[string]string{
		"": "",
		"ui-message:   hello # a greeting\n\nbackend-url: [ http://a,http://b ]\n": "ui-message:   hello # a greeting\n\nbackend-url: [ http://a,http://b ]\n",
		"{\"ui-message\": \"#1\"}": "{\"ui-message\": \"#1\"}",
		"ui-message: hello # a greeting\njwt-secret: hunter2 # do not tell\n": "ui-message: hello # a greeting\njwt-secret: REDACTED # do not tell\n",
		"{\"ui-message\": \"x\", \"jwt-secret\": \"hunter2\"}":                "{\"ui-message\": \"x\", \"jwt-secret\": \"REDACTED\"}\n",
		"jwt-secret: |\n  hunter2\n  more\nui-message: x\n":                   "jwt-secret: |-\n  REDACTED\nui-message: x\n",
		"jwt-secret: 1234\n":                              "jwt-secret: REDACTED\n",
		"jwt-secret: [hunter2]\n":                         "jwt-secret: REDACTED\n",
		"jwt-secret: {a: hunter2}\n":                      "jwt-secret: REDACTED\n",
		"ui-message: {a: hunter2}\n":                      "ui-message: REDACTED\n",
		"JWT_SECRET: hunter2\n":                           "JWT_SECRET: REDACTED\n",
		"jwt-secert: hunter2\n":                           "jwt-secert: REDACTED\n",
		"ui-message: &a hi\njwt-secret: *a\n":             "ui-message: hi\njwt-secret: REDACTED\n",
		"backend-url: ['http://u:hunter2@a', http://b]\n": "backend-url: ['http://u:REDACTED@a', 'http://b']\n",
		"ui-message: x\n# jwt-secret: hunter2\n":          "ui-message: x\n",
		"# PODINFO_JWT_SECRET=hunter2\nui-message: x\n":   "ui-message: x\n",
		"# jwt-secret: hunter2\n":                         "REDACTED",
		"jwt-secret: hunter2\n---\na: b\n":                "REDACTED",
		"jwt-secret: hunter2\n  broken: [\n":              "REDACTED",
		"- hunter2\n":                                     "REDACTED",
	} {
		dir := t.TempDir()
		must(t, write(dir, "a", "1"), write(dir, "own.yaml", file), write(dir, "config.yaml", "not it"))
		for _, name := range []string{"own.yaml", filepath.Join(dir, "own.yaml")} {
			s := registrytest.Serve(t, map[string]string{"PODINFO_CONFIG_PATH": dir, "PODINFO_CONFIG": name}, new(configs.Module), new(secrets))
			if diff := cmp.Diff(map[string]string{"a": "1", "config.yaml": "not it", "own.yaml": want}, get(t, s)); diff != "" {
				t.Errorf("%q: %s", file, diff)
			}
		}
	}
}

func TestNothingToWatch(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for dir, warns := range map[string]bool{"": false, missing: true} {
		s := serve(t, dir)
		if _, body := s.Call(t, "GET", "/configs", ""); body != "{}" {
			t.Errorf("%q: %s", dir, body)
		}
		if got := strings.Contains(s.Log.String(), `"level":"warn"`); got != warns {
			t.Errorf("%q: warned %v, want %v: %s", dir, got, warns, s.Log)
		}
	}
}

// volume is a directory that is written like the kubelet writes a volume: the
// files go into a new directory, and then a link is pointed to it.
type volume struct {
	dir string
	n   int
}

func (v *volume) update(files map[string]string) error {
	v.n++
	old, _ := os.Readlink(filepath.Join(v.dir, "..data"))
	stamped := fmt.Sprintf("..2026_01_02_03_04_05.%d", v.n)
	if err := os.Mkdir(filepath.Join(v.dir, stamped), 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := write(filepath.Join(v.dir, stamped), name, content); err != nil {
			return err
		}
	}
	if err := os.Symlink(stamped, filepath.Join(v.dir, "..data_tmp")); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(v.dir, "..data_tmp"), filepath.Join(v.dir, "..data")); err != nil {
		return err
	}
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(v.dir, name)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := files[e.Name()]; !ok && !strings.HasPrefix(e.Name(), "..") {
			if err := os.Remove(filepath.Join(v.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(v.dir, old))
}

func TestKubeletVolume(t *testing.T) {
	v := &volume{dir: t.TempDir()}
	must(t, v.update(map[string]string{"a": "1", "b": "1", "config.yaml": "level: info"}))
	s := serve(t, v.dir)
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "1", "config.yaml": "level: info"}, get(t, s)); diff != "" {
		t.Fatal(diff)
	}
	must(t, v.update(map[string]string{"a": "2", "c": "2"}))
	waitFor(t, s, map[string]string{"a": "2", "c": "2"})
}

// TestVersionsAreNotMixed replaces the files as fast as it can. Each response
// must contain all files of one version.
func TestVersionsAreNotMixed(t *testing.T) {
	v := &volume{dir: t.TempDir()}
	version := func(i int) map[string]string {
		files := map[string]string{}
		for _, name := range []string{"a", "b", "c", "d", fmt.Sprint("only-", i%3)} {
			files[name] = fmt.Sprint(i)
		}
		return files
	}
	must(t, v.update(version(0)))
	s := serve(t, v.dir)
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 1; i <= 200 && err == nil; i++ {
			err = v.update(version(i))
		}
		done <- err
	}()
	for {
		got := get(t, s)
		var i int
		fmt.Sscan(got["a"], &i)
		if diff := cmp.Diff(version(i), got); diff != "" {
			t.Fatal(diff)
		}
		select {
		case err := <-done:
			must(t, err)
			waitFor(t, s, version(200))
			return
		default:
		}
	}
}
