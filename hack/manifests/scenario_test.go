package manifests_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestScenarios has podinfo serve with what the overlays mount: their rules hit.
func TestScenarios(t *testing.T) {
	for _, name := range []string{"flaky", "slow"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "scenario.yaml")
			if err := os.WriteFile(file, []byte(scenario(t, render(t, kustomize+"/overlays/"+name))), 0o644); err != nil {
				t.Fatal(err)
			}
			addr := freeAddr(t)
			start(t, program, "--host=127.0.0.1", "--port="+port(addr), "--data-path="+t.TempDir(), "--modules=faults", "--faults-file="+file)
			await(t, "http://"+addr+"/healthz")
			for range 200 { // a fifth is enough
				resp, err := http.Get("http://" + addr + "/version")
				drain(t)(resp, err)
				if resp.Header.Get("X-Podinfo-Fault") == name {
					return
				}
			}
			t.Errorf("no request was hit by the rule %s", name)
		})
	}
}

// scenario is that in a manifest's ConfigMap.
func scenario(t *testing.T, manifest []byte) string {
	t.Helper()
	for doc := range strings.SplitSeq(string(manifest), "\n---\n") {
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
	t.Fatal("there is no scenario")
	return ""
}
