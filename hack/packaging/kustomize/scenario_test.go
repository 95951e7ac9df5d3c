package kustomize_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestScenarios runs podinfo with the scenarios that the overlays mount and
// expects their rules to hit.
func TestScenarios(t *testing.T) {
	for _, name := range []string{"flaky", "slow"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "scenario.yaml")
			if err := os.WriteFile(file, []byte(scenario(t, render(t, root+"/overlays/"+name))), 0o644); err != nil {
				t.Fatal(err)
			}
			addr := freeAddr(t)
			start(t, program, "--host=127.0.0.1", "--port="+port(addr), "--data-path="+t.TempDir(), "--modules=faults", "--faults-file="+file)
			await(t, "http://"+addr+"/healthz")
			for range 200 { // flaky hits a fifth of the requests
				resp, err := http.Get("http://" + addr + "/version")
				drain(t)(resp, err)
				if resp.Header.Get("X-Podinfo-Fault") == name {
					return
				}
			}
			t.Errorf("the rule %s hit no request", name)
		})
	}
}

// scenario returns the scenario in the ConfigMap of a manifest.
func scenario(t *testing.T, manifest string) string {
	t.Helper()
	for doc := range strings.SplitSeq(manifest, "\n---\n") {
		var o struct {
			Kind string
			Data map[string]string
		}
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatal(err)
		}
		if text, ok := o.Data["scenario.yaml"]; ok && o.Kind == "ConfigMap" {
			return text
		}
	}
	t.Fatal("no ConfigMap has a scenario")
	return ""
}

// TestFaultProxy runs the command of the sidecar in front of a service, with the
// overlay's scenario and shorter delays, and expects requests to be forwarded and a
// rule to hit.
func TestFaultProxy(t *testing.T) {
	manifest := render(t, root+"/overlays/fault-proxy-nginx")
	for _, want := range []string{"targetPort: fault-proxy", "- proxy\n", "- $(TARGET)\n"} {
		if !strings.Contains(manifest, want) {
			t.Errorf("no %q in\n%s", want, manifest)
		}
	}
	file := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(scenario(t, manifest), "min: 100ms, max: 2s", "min: 1ms, max: 2ms", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "nginx") }))
	defer service.Close()
	addr, metrics := freeAddr(t), freeAddr(t)
	start(t, program, "proxy", service.URL, "--host=127.0.0.1", "--port="+port(addr), "--port-metrics="+port(metrics), "--faults-file="+file)
	await(t, "http://"+metrics+"/readyz")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	forwarded := false
	for range 200 {
		resp, err := client.Get("http://" + addr + "/")
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err != nil && forwarded { // the rule no-response
			return
		}
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			forwarded = forwarded || string(body) == "nginx"
		}
	}
	t.Error("no rule hit, or no request was forwarded")
}
