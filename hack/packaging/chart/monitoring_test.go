package chart_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/seed-4591fe7d/podinfo/hack/packaging/chart"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/kustomize"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/packagingtest"
)

// TestMonitoring compares what the chart and the component of kustomize tell Prometheus
// and Grafana. The chart has copies of the component's files, because neither a chart
// nor a kustomization can read files outside its folder; -update copies them.
func TestMonitoring(t *testing.T) {
	for _, name := range []string{"alerts.yaml", "podinfo.json"} {
		source, file := packagingtest.Root+"/kustomize/components/monitoring/"+name, chart.Dir+"/files/"+name
		want := packagingtest.Read(t, source)
		if packagingtest.Update() {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if packagingtest.Read(t, file) != want {
			t.Errorf("%s is not a copy of %s: run the test with -update", file, source)
		}
	}
	manifest, err := kustomize.Render(packagingtest.Root + "/kustomize/overlays/production")
	if err != nil {
		t.Fatal(err)
	}
	theirs := watching(t, strings.Split(string(manifest), "\n---\n"))
	ours := watching(t, render(t, values(t, "monitoring", "serviceMonitor: {enabled: true}\nprometheusRule: {enabled: true}\ndashboard: {enabled: true}")))
	// The rules of the chart are for the namespace of the release.
	rules := strings.NewReplacer("container=~", `namespace=\"demo\", container=~`, `namespace!=\"\"`, `namespace=\"demo\"`)
	theirs["rules"] = rules.Replace(theirs["rules"])
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("-kustomize +chart:\n%s", diff)
	}
}

// watching returns what documents have for Prometheus and Grafana, as JSON: the rules,
// the dashboard, and how often which path is scraped.
func watching(t *testing.T, docs []string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, doc := range docs {
		var o struct {
			Kind     string
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Groups    any
				Endpoints []struct{ Path, Interval string }
				OfPods    []struct{ Path, Interval string } `json:"podMetricsEndpoints"`
			}
			Data map[string]string
		}
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			continue // an object with fields of other types
		}
		switch {
		case o.Kind == "PrometheusRule":
			out["rules"] = text(t, o.Spec.Groups)
		case o.Metadata.Labels["grafana_dashboard"] == "1":
			out["dashboard"] = text(t, o.Data)
		case o.Kind == "PodMonitor" || o.Kind == "ServiceMonitor":
			out["endpoints"] = text(t, append(o.Spec.Endpoints, o.Spec.OfPods...))
		}
	}
	if len(out) != 3 {
		t.Errorf("want rules, a dashboard and endpoints, got %d of them", len(out))
	}
	return out
}

func text(t *testing.T, v any) string {
	t.Helper()
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
