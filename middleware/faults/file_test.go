package faults_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// must fails the test unless every step worked.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// volume is a directory with one file, updated the way the kubelet updates a
// ConfigMap: the file is written into a new directory, then a link is swapped.
type volume struct {
	dir string
	n   int
}

func (v *volume) update(content string) error {
	v.n++
	old, _ := os.Readlink(filepath.Join(v.dir, "..data"))
	stamped := fmt.Sprintf("..2026_01_02_03_04_05.%d", v.n)
	if err := os.Mkdir(filepath.Join(v.dir, stamped), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(v.dir, stamped, "faults.yaml"), []byte(content), 0o644); err != nil {
		return err
	}
	if err := os.Symlink(stamped, filepath.Join(v.dir, "..data_tmp")); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(v.dir, "..data_tmp"), filepath.Join(v.dir, "..data")); err != nil {
		return err
	}
	if old == "" {
		return os.Symlink(filepath.Join("..data", "faults.yaml"), filepath.Join(v.dir, "faults.yaml"))
	}
	return os.RemoveAll(filepath.Join(v.dir, old))
}

// page returns the metrics of a set.
func page(set *metrics.Set) string {
	var b strings.Builder
	set.WritePrometheus(&b)
	return b.String()
}

// until waits until ok returns true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}

func statusOf(app http.Handler, path string) int {
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
	return rec.Code
}

func fail(code int) string {
	return fmt.Sprintf("rules:\n- name: r\n  match: { path: /a }\n  fault: { status: %d }\n", code)
}

func TestConfigMap(t *testing.T) {
	v := &volume{dir: t.TempDir()}
	must(t, v.update(fail(500)))
	m, set := new(faults.Module), metrics.NewSet()
	app, log := registrytest.New(t, map[string]string{"PODINFO_FAULTS_ENABLED": "true", "PODINFO_FAULTS_FILE": filepath.Join(v.dir, "faults.yaml")}, m, new(endpoint))
	m.ContributeMetrics(set)
	if code := statusOf(app, "/a"); code != 500 {
		t.Fatal(code)
	}
	must(t, v.update(fail(501)))
	until(t, "the second version", func() bool { return statusOf(app, "/a") == 501 })
	must(t, v.update("rules:\n- name: r\n  faults: { status: 502 }\n  delays: 1s\n"))
	until(t, "the bad version", func() bool { return strings.Contains(page(set), "podinfo_fault_file_good 0") })
	if code := statusOf(app, "/a"); code != 501 {
		t.Errorf("the previous rules are gone: %d", code)
	}
	for _, want := range []string{`faults.yaml:3:3: rule \"r\": unknown key \"faults\" (did you mean \"fault\"?)`, `faults.yaml:4:3: rule \"r\": unknown key \"delays\" (did you mean \"delay\"?)`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s\nnot in %s", want, log)
		}
	}
	must(t, v.update(fail(503)))
	until(t, "the third version", func() bool { return statusOf(app, "/a") == 503 })
	until(t, "the metric", func() bool { return strings.Contains(page(set), "podinfo_fault_file_good 1") })
	for _, want := range []string{`podinfo_fault_file_loads_total{outcome="bad"} 1`, `podinfo_fault_hits_total{rule="r",kind="status"} `, "podinfo_fault_rules 1", "podinfo_fault_held_requests 0"} {
		if !strings.Contains(page(set), want) {
			t.Errorf("%s\nnot in %s", want, page(set))
		}
	}
}

func TestPlainFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "faults.json")
	app, log := registrytest.New(t, map[string]string{"PODINFO_FAULTS_ENABLED": "true", "PODINFO_FAULTS_FILE": file}, new(faults.Module), new(endpoint))
	if code := statusOf(app, "/a"); code != 200 || !strings.Contains(log.String(), "the fault scenario's file does not exist yet") {
		t.Errorf("%d %s", code, log)
	}
	must(t, os.WriteFile(file, []byte(`{"rules": [{"name": "r", "fault": {"status": 500}}]}`), 0o644))
	until(t, "the file", func() bool { return statusOf(app, "/a") == 500 })
	must(t, os.WriteFile(file+"~", []byte(`{"rules": []}`), 0o644), os.Rename(file+"~", file))
	until(t, "its replacement", func() bool { return statusOf(app, "/a") == 200 })
	must(t, os.WriteFile(file, []byte(`{"rules": [{"name": "r", "fault": {"status": 500}}]}`), 0o644))
	until(t, "the rule", func() bool { return statusOf(app, "/a") == 500 })
	before := strings.Contains(log.String(), "gone")
	must(t, os.Remove(file))
	until(t, "the removal", func() bool {
		return strings.Contains(log.String(), "the fault scenario's file is gone; keeping the current rules")
	})
	if code := statusOf(app, "/a"); code != 500 || before || strings.Contains(log.String()[strings.LastIndex(log.String(), "scenario loaded"):], "invalid") {
		t.Errorf("%d %v %s", code, before, log)
	}

	other, err := registry.New([]registry.Module{new(faults.Module)}, registry.Env(map[string]string{"PODINFO_FAULTS_ENABLED": "true", "PODINFO_FAULTS_FILE": filepath.Join(dir, "missing", "x")}))
	must(t, err)
	if err := other.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "PODINFO_FAULTS_FILE") {
		t.Error(err)
	}
}

// Every request sees one version of the file: both rules of a version fail with
// the same status.
func TestVersionsAreNotMixed(t *testing.T) {
	v := &volume{dir: t.TempDir()}
	both := func(code int) string {
		return fmt.Sprintf("rules:\n- {name: a, match: {headers: {x: '1'}}, fault: {status: %d}}\n- {name: b, fault: {status: %d}}\n", code, code)
	}
	must(t, v.update(both(400)))
	app, _ := registrytest.New(t, map[string]string{"PODINFO_FAULTS_ENABLED": "true", "PODINFO_FAULTS_FILE": filepath.Join(v.dir, "faults.yaml")}, new(faults.Module), new(endpoint))
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 1; i <= 100 && err == nil; i++ {
			err = v.update(both(400 + i))
		}
		done <- err
	}()
	last := 400
	for {
		code := statusOf(app, "/a")
		if code < last {
			t.Fatalf("%d after %d", code, last)
		}
		last = code
		select {
		case err := <-done:
			must(t, err)
			until(t, "the last version", func() bool { return statusOf(app, "/a") == 500 })
			return
		default:
		}
	}
}

// A warning is logged when the directory disappears.
func TestDirectoryGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "faults")
	must(t, os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "f.yaml"), []byte("rules: []"), 0o644))
	_, log := registrytest.New(t, map[string]string{"PODINFO_FAULTS_ENABLED": "true", "PODINFO_FAULTS_FILE": filepath.Join(dir, "f.yaml")}, new(faults.Module))
	must(t, os.RemoveAll(dir))
	until(t, "a warning", func() bool { return strings.Contains(log.String(), "the watch is lost") })
}

// A boolean in the setting turns the module on or off.
func TestBooleanSetting(t *testing.T) {
	for value, on := range map[string]bool{"true": true, "TRUE": true, "T": true, "1": true, "false": false, "rules: []": true} {
		app, err := newApp(map[string]string{"PODINFO_FAULTS": value})
		if err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		if got := app.Modules()[0].State == registry.On; got != on {
			t.Errorf("%s: on %v", value, got)
		}
	}
}
