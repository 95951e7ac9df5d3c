package kustomize_test

import (
	"net/http"
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
