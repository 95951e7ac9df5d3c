package kustomize_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/seed-4591fe7d/podinfo/hack/packaging/kustomize"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/manifests"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/packagingtest"
)

const root = packagingtest.Root + "/kustomize"

var (
	program string // podinfo
	checker *manifests.Checker
)

func TestMain(m *testing.M) {
	os.Exit(packagingtest.Main(m, func(file string, c *manifests.Checker) { program, checker = file, c }))
}

// TestKustomize renders each overlay, and each component on the base, checks
// the manifest for every version of Kubernetes and compares its difference from
// the base with changes or, where that has no entry, with a golden file.
func TestKustomize(t *testing.T) {
	base := render(t, root)
	cases := map[string]string{}
	for _, name := range folders(t, "overlays") {
		cases["overlay-"+name] = render(t, filepath.Join(root, "overlays", name))
	}
	for _, name := range folders(t, "components") {
		cases["component-"+name] = mix(t, name)
	}
	for name := range changes {
		if _, ok := cases[name]; !ok {
			t.Errorf("changes has %s, which is no overlay or component", name)
		}
	}
	packagingtest.Golden(t, "base.yaml", base)
	check(t, "base", base)
	goldens := []string{"base.yaml"}
	for name, manifest := range cases {
		check(t, name, manifest)
		diff := packagingtest.Changes(t, base, withoutDashboard(t, manifest))
		if want, ok := changes[name]; ok {
			packagingtest.WantSummary(t, name, want, diff)
			continue
		}
		packagingtest.Golden(t, name+".txt", packagingtest.Report(diff))
		goldens = append(goldens, name+".txt")
	}
	packagingtest.NoOtherGoldens(t, goldens...)
}

func check(t *testing.T, name, manifest string) {
	t.Helper()
	for _, version := range manifests.Versions {
		if err := checker.Check(version, []byte(manifest)); err != nil {
			t.Errorf("%s, Kubernetes %s: %v", name, version, err)
		}
	}
}

// withoutDashboard returns the manifest with the text of the dashboard, which
// has to be that of its file, replaced by the file's name.
func withoutDashboard(t *testing.T, manifest string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(packagingtest.Read(t, monitoring+"podinfo.json")), "\n")
	text := "|\n    " + strings.Join(lines, "\n    ") + "\n"
	short := strings.Replace(manifest, text, "(the file)\n", 1)
	if strings.Contains(short, "podinfo.json: |") {
		t.Error("the ConfigMap of the dashboard differs from podinfo.json")
	}
	return short
}

// changes are the differences of an overlay or component from the base. The
// objects that one adds as they stand in its folder are only named.
var changes = map[string]string{
	"component-faults": `
~ Deployment podinfo
  + spec.template.spec.containers[podinfod].env[PODINFO_FAULTS_ENABLED]: {"value":"true"}
  + spec.template.spec.containers[podinfod].env[PODINFO_FAULTS_FILE]: {"value":"/etc/podinfo/faults/scenario.yaml"}
  + spec.template.spec.containers[podinfod].volumeMounts[/etc/podinfo/faults]: {"name":"faults","readOnly":true}
  + spec.template.spec.volumes[faults]: {"configMap":{"name":"podinfo-faults"}}
+ ConfigMap podinfo-faults
`,
	"component-gateway": `
+ GRPCRoute podinfo
+ HTTPRoute podinfo
`,
	"component-jwt": `
~ Deployment podinfo
  + spec.template.spec.containers[podinfod].env[PODINFO_JWT_ENABLED]: {"value":"true"}
  + spec.template.spec.containers[podinfod].env[PODINFO_JWT_PATHS]: {"value":"/cache/*,/store,/store/*"}
  + spec.template.spec.containers[podinfod].env[PODINFO_JWT_SECRET]: {"valueFrom":{"secretKeyRef":{"key":"secret","name":"podinfo-jwt"}}}
`,
	"component-monitoring": `
+ ConfigMap podinfo-dashboard
+ PodMonitor podinfo
+ PrometheusRule podinfo
`,
	"component-namespace": `
+ Namespace podinfo
`,
	"component-network-policy": `
+ NetworkPolicy podinfo
`,
	"component-otel": `
~ Deployment podinfo
  + spec.template.spec.containers[podinfod].env[OTEL_EXPORTER_OTLP_ENDPOINT]: {"value":"http://otel-collector:4317"}
  + spec.template.spec.containers[podinfod].env[PODINFO_OTEL_SERVICE_NAME]: {"valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['app']"}}}
`,
	"component-probes-exec": `
~ Deployment podinfo
  + spec.template.spec.containers[podinfod].livenessProbe.exec: {"command":["podcli","check","http","localhost:9898/healthz"]}
  - spec.template.spec.containers[podinfod].livenessProbe.httpGet: {"path":"/healthz","port":"http"}
  + spec.template.spec.containers[podinfod].readinessProbe.exec: {"command":["podcli","check","http","localhost:9898/readyz"]}
  - spec.template.spec.containers[podinfod].readinessProbe.httpGet: {"path":"/readyz","port":"http"}
`,
	"component-probes-grpc": `
~ Deployment podinfo
  + spec.template.spec.containers[podinfod].livenessProbe.grpc: {"port":9999,"service":"liveness"}
  - spec.template.spec.containers[podinfod].livenessProbe.httpGet: {"path":"/healthz","port":"http"}
  + spec.template.spec.containers[podinfod].readinessProbe.grpc: {"port":9999}
  - spec.template.spec.containers[podinfod].readinessProbe.httpGet: {"path":"/readyz","port":"http"}
`,
	"component-redis": `
~ Deployment podinfo
  + spec.template.spec.containers[podinfod].env[PODINFO_CACHE_SERVER]: {"value":"tcp://redis:6379"}
+ ConfigMap redis-f7227ffhcg
+ Service redis
+ Deployment redis
`,
	"component-client-certificates": `
~ Deployment podinfo
  + spec.template.spec.containers[podinfod].env[PODINFO_CLIENT_CA]: {"value":"/data/cert/ca.crt"}
  + spec.template.spec.containers[podinfod].env[PODINFO_SECURE_PORT]: {"value":"9899"}
`,
	"component-tls": `
~ Service podinfo
  + spec.ports[https]: {"port":9899,"protocol":"TCP","targetPort":"https"}
~ Deployment podinfo
  + spec.template.spec.containers[podinfod].env[PODINFO_SECURE_PORT]: {"value":"9899"}
  + spec.template.spec.containers[podinfod].ports[https]: {"containerPort":9899,"protocol":"TCP"}
  + spec.template.spec.containers[podinfod].volumeMounts[/data/cert]: {"name":"tls","readOnly":true}
  + spec.template.spec.volumes[tls]: {"secret":{"defaultMode":288,"secretName":"podinfo-tls"}}
+ Certificate podinfo
+ Issuer podinfo
`,
	"overlay-dev": `
~ Service podinfo
  + metadata.namespace: "dev"
~ Deployment podinfo
  + metadata.namespace: "dev"
  + spec.template.spec.containers[podinfod].command[]: "--level=debug"
~ PodDisruptionBudget podinfo
  + metadata.namespace: "dev"
~ HorizontalPodAutoscaler podinfo
  + metadata.namespace: "dev"
  - spec.minReplicas: 2
  + spec.minReplicas: 1
+ Namespace dev
`,
	"overlay-flaky": `
~ Deployment podinfo
  + spec.template.spec.containers[podinfod].env[PODINFO_FAULTS_ENABLED]: {"value":"true"}
  + spec.template.spec.containers[podinfod].env[PODINFO_FAULTS_FILE]: {"value":"/etc/podinfo/faults/scenario.yaml"}
  + spec.template.spec.containers[podinfod].volumeMounts[/etc/podinfo/faults]: {"name":"faults","readOnly":true}
  + spec.template.spec.volumes[faults]: {"configMap":{"name":"podinfo-faults"}}
+ ConfigMap podinfo-faults
`,
	"overlay-frontend-backend-cache": `
- Service podinfo
- Deployment podinfo
- PodDisruptionBudget podinfo
- HorizontalPodAutoscaler podinfo
+ ConfigMap redis-f7227ffhcg
+ Service backend-podinfo
+ Service frontend-podinfo
+ Service redis
+ Deployment backend-podinfo
+ Deployment frontend-podinfo
+ Deployment redis
+ PodDisruptionBudget backend-podinfo
+ PodDisruptionBudget frontend-podinfo
+ HorizontalPodAutoscaler backend-podinfo
+ HorizontalPodAutoscaler frontend-podinfo
`,
	"overlay-minimal": `
~ Service podinfo
  - spec.ports[grpc]: {"port":9999,"protocol":"TCP","targetPort":"grpc"}
~ Deployment podinfo
  - spec.template.metadata.annotations[prometheus.io/scrape]: "true"
  + spec.template.metadata.annotations[prometheus.io/scrape]: "false"
  + spec.template.spec.containers[podinfod].env[PODINFO_MODULES]: {"value":"none,http-server,health,version"}
  - spec.template.spec.containers[podinfod].ports[grpc]: {"containerPort":9999,"protocol":"TCP"}
  - spec.template.spec.containers[podinfod].ports[http-metrics]: {"containerPort":9797,"protocol":"TCP"}
`,
	"overlay-slow": `
~ Deployment podinfo
  + spec.template.spec.containers[podinfod].env[PODINFO_FAULTS_ENABLED]: {"value":"true"}
  + spec.template.spec.containers[podinfod].env[PODINFO_FAULTS_FILE]: {"value":"/etc/podinfo/faults/scenario.yaml"}
  + spec.template.spec.containers[podinfod].volumeMounts[/etc/podinfo/faults]: {"name":"faults","readOnly":true}
  + spec.template.spec.volumes[faults]: {"configMap":{"name":"podinfo-faults"}}
+ ConfigMap podinfo-faults
`,
	"overlay-staging": `
~ Service podinfo
  + metadata.namespace: "staging"
~ Deployment podinfo
  + metadata.namespace: "staging"
  + spec.template.spec.containers[podinfod].env[PODINFO_CACHE_SERVER]: {"value":"tcp://redis:6379"}
~ PodDisruptionBudget podinfo
  + metadata.namespace: "staging"
~ HorizontalPodAutoscaler podinfo
  + metadata.namespace: "staging"
+ Namespace staging
+ ConfigMap podinfo-dashboard
+ ConfigMap redis-f7227ffhcg
+ Service redis
+ Deployment redis
+ PodMonitor podinfo
+ PrometheusRule podinfo
+ Ingress podinfo
+ NetworkPolicy podinfo
`,
}

// TestCallGraph compares the two podinfos of frontend-backend-cache with the
// base, after giving them the names and labels of the base.
func TestCallGraph(t *testing.T) {
	base, both := render(t, root), render(t, root+"/overlays/frontend-backend-cache")
	for name, want := range map[string]string{
		"frontend": `
~ Service podinfo
  + metadata.labels.app: "podinfo"
~ Deployment podinfo
  + metadata.labels.app: "podinfo"
  + spec.template.spec.containers[podinfod].env[PODINFO_BACKEND_URL]: {"value":"http://backend-podinfo:9898/echo"}
  + spec.template.spec.containers[podinfod].env[PODINFO_CACHE_SERVER]: {"value":"tcp://redis:6379"}
~ PodDisruptionBudget podinfo
  + metadata.labels.app: "podinfo"
~ HorizontalPodAutoscaler podinfo
  + metadata.labels.app: "podinfo"
`,
		"backend": `
~ Service podinfo
  + metadata.labels.app: "podinfo"
~ Deployment podinfo
  + metadata.labels.app: "podinfo"
  + spec.template.spec.containers[podinfod].env[PODINFO_CACHE_SERVER]: {"value":"tcp://redis:6379"}
~ PodDisruptionBudget podinfo
  + metadata.labels.app: "podinfo"
~ HorizontalPodAutoscaler podinfo
  + metadata.labels.app: "podinfo"
`,
	} {
		rename := strings.NewReplacer(name+"-podinfo", "podinfo", "app: "+name, "app: podinfo")
		all := packagingtest.Changes(t, base, rename.Replace(both))
		ours := slices.DeleteFunc(all, func(c packagingtest.Change) bool { return c.New != "" })
		packagingtest.WantSummary(t, name, want, ours)
	}
}

// TestComponentsMix checks each pair of components, and all of them together.
func TestComponentsMix(t *testing.T) {
	names := folders(t, "components")
	for i, one := range names {
		for _, other := range names[i+1:] {
			err := checker.Check("1.35", []byte(mix(t, one, other)))
			if one == "memcached" && other == "redis" {
				if err == nil || !strings.Contains(err.Error(), "PODINFO_CACHE_SERVER is set twice") {
					t.Errorf("two cache servers: %v", err)
				}
			} else if err != nil {
				t.Errorf("%s with %s: %v", one, other, err)
			}
		}
	}
	all := slices.DeleteFunc(names, func(name string) bool { return name == "memcached" })
	if err := checker.Check("1.29", []byte(mix(t, all...))); err != nil {
		t.Errorf("all: %v", err)
	}
}

// TestNamePrefix renames podinfo in an overlay that has the components, or in
// one above or below theirs.
func TestNamePrefix(t *testing.T) {
	names := slices.DeleteFunc(folders(t, "components"), func(name string) bool { return name == "memcached" || name == "redis" })
	below := overlay(t, "a-", root+"/base")
	for name, dir := range map[string]string{
		"same overlay": overlay(t, "a-", root+"/base", names...),
		"above":        overlay(t, "", below, names...),
		"both":         overlay(t, "b-", below, names...),
		"with a cache": overlay(t, "", below, "redis", "network-policy"),
	} {
		if err := checker.Check("1.35", []byte(render(t, dir))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cache := range []string{"redis", "memcached"} { // as the comments of the components say
		err := checker.Check("1.35", []byte(render(t, overlay(t, "a-", root+"/base", cache))))
		if err == nil || !strings.Contains(err.Error(), "PODINFO_CACHE_SERVER: no Service "+cache) {
			t.Errorf("%s: %v", cache, err)
		}
	}
}

// TestSeveralServices: a component that routes to podinfo's Service refuses to
// choose among several.
func TestSeveralServices(t *testing.T) {
	for _, component := range []string{"gateway", "ingress"} {
		_, err := kustomize.Render(overlay(t, "", root+"/overlays/frontend-backend-cache", component))
		if err == nil || !strings.Contains(err.Error(), "multiple matches for selector Service") {
			t.Errorf("%s: %v", component, err)
		}
		frontend := overlay(t, "", root+"/overlays/frontend-backend-cache/frontend", component)
		if err := checker.Check("1.35", []byte(render(t, frontend))); err != nil {
			t.Errorf("%s of one: %v", component, err)
		}
	}
}

func folders(t *testing.T, kind string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, kind))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// mix renders the base with components.
func mix(t *testing.T, components ...string) string {
	t.Helper()
	return render(t, overlay(t, "", root+"/base", components...))
}

// overlay writes an overlay of a kustomization with components to a new folder.
func overlay(t *testing.T, namePrefix, resource string, components ...string) (dir string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	from := func(path string) string {
		abs, err := filepath.Abs(path)
		if err == nil {
			abs, err = filepath.Rel(dir, abs)
		}
		if err != nil {
			t.Fatal(err)
		}
		return abs
	}
	var paths []string
	for _, name := range components {
		paths = append(paths, from(filepath.Join(root, "components", name)))
	}
	k := map[string]any{"namePrefix": namePrefix, "resources": []string{from(resource)}, "components": paths}
	files := map[string]string{}
	if slices.Contains(components, "faults") { // it expects the scenario in the overlay
		files["scenario.yaml"] = packagingtest.Read(t, packagingtest.Root+"/examples/scenarios/brown-out.yaml")
		k["configMapGenerator"] = []any{map[string]any{
			"name": "podinfo-faults", "files": []string{"scenario.yaml"}, "options": map[string]bool{"disableNameSuffixHash": true},
		}}
	}
	if slices.Contains(components, "fault-proxy") {
		files["scenario.yaml"] = packagingtest.Read(t, packagingtest.Root+"/examples/scenarios/brown-out.yaml")
		generated, _ := k["configMapGenerator"].([]any)
		k["configMapGenerator"] = append(generated, map[string]any{
			"name": "fault-proxy", "literals": []string{"target=http://localhost:9898"}, "files": []string{"scenario.yaml"}, "options": map[string]bool{"disableNameSuffixHash": true},
		})
	}
	text, err := yaml.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	files["kustomization.yaml"] = string(text)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func render(t *testing.T, dir string) string {
	t.Helper()
	manifest, err := kustomize.Render(dir)
	if err != nil {
		t.Fatal(err)
	}
	return string(manifest)
}
