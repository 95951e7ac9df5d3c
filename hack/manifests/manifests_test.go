package manifests_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/seed-4591fe7d/podinfo/hack/manifests"
)

const kustomize = "../../kustomize"

var (
	update  = flag.Bool("update", false, "write the golden files")
	program string // podinfo
	checker *manifests.Checker
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "podinfo")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "podinfo")
	if err := manifests.Build("../..", program); err != nil {
		panic(err)
	}
	if checker, err = manifests.New(program); err != nil {
		panic(err)
	}
	return m.Run()
}

// TestKustomize renders each overlay, and each component on the base, compares
// it with its golden file and checks it.
func TestKustomize(t *testing.T) {
	rendered := map[string][]byte{"base": render(t, kustomize)}
	for _, name := range folders(t, "overlays") {
		rendered["overlay-"+name] = render(t, filepath.Join(kustomize, "overlays", name))
	}
	for _, name := range folders(t, "components") {
		rendered["component-"+name] = mix(t, name)
	}
	for name, manifest := range rendered {
		t.Run(name, func(t *testing.T) {
			compare(t, filepath.Join("testdata", name+".yaml"), manifest)
			for _, version := range manifests.Versions {
				if err := checker.Check(version, manifest); err != nil {
					t.Errorf("Kubernetes %s: %v", version, err)
				}
			}
		})
	}
	goldens, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range goldens {
		if name := strings.TrimSuffix(filepath.Base(golden), ".yaml"); rendered[name] == nil {
			t.Errorf("%s is of nothing that there is", golden)
		}
	}
}

// TestComponentsMix checks each pair of components.
func TestComponentsMix(t *testing.T) {
	names := folders(t, "components")
	for i, one := range names {
		for _, other := range names[i+1:] {
			err := checker.Check("1.35", mix(t, one, other))
			if one == "memcached" && other == "redis" { // either is the cache
				if err == nil || !strings.Contains(err.Error(), "PODINFO_CACHE_SERVER is set twice") {
					t.Errorf("two caches: %v", err)
				}
			} else if err != nil {
				t.Errorf("%s with %s: %v", one, other, err)
			}
		}
	}
	all := slices.DeleteFunc(names, func(name string) bool { return name == "memcached" })
	if err := checker.Check("1.29", mix(t, all...)); err != nil {
		t.Errorf("all: %v", err)
	}
}

// TestNamePrefix has an overlay rename podinfo, and the components in it, below
// it or above it.
func TestNamePrefix(t *testing.T) {
	names := slices.DeleteFunc(folders(t, "components"), func(name string) bool { return name == "memcached" || name == "redis" })
	below := overlay(t, "a-", kustomize+"/base")
	for name, dir := range map[string]string{
		"in it":        overlay(t, "a-", kustomize+"/base", names...),
		"above":        overlay(t, "", below, names...),
		"both":         overlay(t, "b-", below, names...),
		"with a cache": overlay(t, "", below, "redis", "network-policy"),
	} {
		if err := checker.Check("1.35", render(t, dir)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cache := range []string{"redis", "memcached"} { // as their comments say
		err := checker.Check("1.35", render(t, overlay(t, "a-", kustomize+"/base", cache)))
		if err == nil || !strings.Contains(err.Error(), "PODINFO_CACHE_SERVER: there is no service "+cache) {
			t.Errorf("%s: %v", cache, err)
		}
	}
}

// TestSeveralServices: what leads to podinfo's Service does not choose among many.
func TestSeveralServices(t *testing.T) {
	for _, component := range []string{"gateway", "ingress"} {
		_, err := build(overlay(t, "", kustomize+"/overlays/frontend-backend-cache", component))
		if err == nil || !strings.Contains(err.Error(), "multiple matches for selector Service") {
			t.Errorf("%s: %v", component, err)
		}
		frontend := overlay(t, "", kustomize+"/overlays/frontend-backend-cache/frontend", component)
		if err := checker.Check("1.35", render(t, frontend)); err != nil {
			t.Errorf("%s of one: %v", component, err)
		}
	}
}

func TestCheck(t *testing.T) {
	base := string(render(t, kustomize))
	monitored := string(mix(t, "monitoring"))
	routed := string(mix(t, "gateway", "ingress"))
	secured := string(mix(t, "tls"))
	cached := string(mix(t, "redis"))
	flaky := string(render(t, kustomize+"/overlays/flaky"))
	env := "- name: PODINFO_UI_COLOR\n          value: '#34577c'"
	tests := map[string]struct {
		manifest, old, new, want string
	}{
		"nothing":                   {base, base, "# nothing\n", "the manifest is empty"},
		"no YAML":                   {base, "kind: Service", "kind: {", "yaml"},
		"key twice":                 {base, "kind: Service", "kind: Service\nkind: Service", `"kind" already set`},
		"object twice":              {base, base, base + "---\n" + base, "Service podinfo is there twice"},
		"kind":                      {base, "kind: Service", "kind: Servic", "no schema for v1/Servic"},
		"field":                     {base, "imagePullPolicy:", "imagePullPolice:", "additional properties 'imagePullPolice' not allowed"},
		"field in metadata":         {base, "metadata:\n", "metadata:\n  label: {}\n", "additional properties 'label' not allowed"},
		"type":                      {base, "minReadySeconds: 3", `minReadySeconds: "3"`, "got string, want integer"},
		"required field":            {base, "  maxReplicas: 4\n", "", "missing property 'maxReplicas'"},
		"required field is null":    {base, "maxReplicas: 4", "maxReplicas: null", "missing property 'maxReplicas'"},
		"optional field is null":    {base, "minReadySeconds: 3", "minReadySeconds: null", ""},
		"quantity as a number":      {base, "cpu: 100m", "cpu: 1", ""},
		"field of a PodMonitor":     {monitored, "podMetricsEndpoints:", "endpoints:", "additional properties 'endpoints' not allowed"},
		"duration of a PodMonitor":  {monitored, "interval: 15s", "interval: quick", "does not match pattern"},
		"field of a PrometheusRule": {monitored, "- alert: PodinfoDown", "- alarm: PodinfoDown", "additional properties 'alarm' not allowed"},
		"metadata of a CRD":         {monitored, "kind: PodMonitor\nmetadata:", "kind: PodMonitor\nmetadata:\n  nam: a", "additional properties 'nam' not allowed"},
		"match of an HTTPRoute":     {routed, "type: PathPrefix", "type: Prefix", "value must be one of"},
		"root":                      {base, "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"},
		"capabilities":              {base, "drop:\n            - ALL", "drop: []", "unrestricted capabilities"},
		"seccomp":                   {base, "type: RuntimeDefault", "type: Unconfined", "seccompProfile"},
		"variable":                  {base, env, env + "\n        - name: PODINFO_UI_COLOUR\n          value: red", "PODINFO_UI_COLOUR is no setting of podinfo"},
		"variable twice":            {base, env, env + "\n        " + env, "PODINFO_UI_COLOR is set twice"},
		"variable of no effect":     {base, env, "- name: PODINFO_LEVEL\n          value: debug", "PODINFO_LEVEL has no effect"},
		"value":                     {base, env, "- name: PODINFO_CACHE_TTL\n          value: forever", "PODINFO_CACHE_TTL"},
		"value of a flag":           {base, "--port=9898", "--port=98980", "PODINFO_PORT"},
		"flag":                      {base, "--random-delay=false", "--random-delays", "unknown flag: --random-delays"},
		"module":                    {base, env, "- name: PODINFO_MODULES\n          value: -panics", `"panics"`},
		"variable of a ConfigMap":   {base, env, "- name: PODINFO_UI_COLOR\n          valueFrom: {configMapKeyRef: {name: colours, key: red}}", "there is no ConfigMap colours"},
		"end":                       {base, "terminationGracePeriodSeconds: 15", "terminationGracePeriodSeconds: 8", "takes up to 8s to end"},
		"labels of pods":            {base, "selector:\n    app: podinfo", "selector:\n    app: podinf", "no pod is selected by app=podinf"},
		"own labels":                {base, "  selector:\n    matchLabels:\n      app: podinfo\n  strategy:", "  selector:\n    matchLabels:\n      app: podinf\n  strategy:", "its pods do not have app=podinf"},
		"port of pods":              {base, "targetPort: grpc", "targetPort: grcp", "a selected pod has no port grcp"},
		"what is scaled":            {base, "kind: Deployment\n    name: podinfo", "kind: Deployment\n    name: podinfod", "there is nothing to scale"},
		"replicas that are scaled":  {base, "minReadySeconds: 3", "minReadySeconds: 3\n  replicas: 2", "sets replicas"},
		"volume":                    {base, "name: tmp\n      enable", "name: temp\n      enable", "there is no volume temp"},
		"port of a PodMonitor":      {monitored, "port: http-metrics", "port: metrics", "a selected pod has no port metrics"},
		"port of an Ingress":        {routed, "port:\n              name: http", "port:\n              name: https", "service podinfo has no port https"},
		"service of a route":        {routed, "- name: podinfo\n      port: 9999", "- name: podcast\n      port: 9999", "there is no service podcast"},
		"issuer":                    {secured, "kind: Issuer\nmetadata:\n  name: podinfo", "kind: Issuer\nmetadata:\n  name: podcast", "there is no Issuer podinfo"},
		"issuer of the cluster":     {secured, "kind: Issuer\n    name: podinfo", "kind: ClusterIssuer\n    name: anyone", ""},
		"server of the cache":       {cached, "tcp://redis:6379", "tcp://:secret@rediss:6379/1", "PODINFO_CACHE_SERVER: there is no service rediss"},
		"servers of the cache":      {cached, "tcp://redis:6379", "memcached://one.elsewhere:11211,two:11211", "there is no service two"},
		"cache elsewhere":           {cached, "tcp://redis:6379", "tcp://redis.elsewhere:6379", ""},
		"value of a label":          {base, "app.kubernetes.io/name: podinfo\n  name: podinfo\n", "app.kubernetes.io/name: " + strings.Repeat("x", 64) + "\n  name: podinfo\n", "metadata.labels: Invalid value"},
		"label of pods":             {base, "app.kubernetes.io/name: podinfo\n    spec:", "app.kubernetes.io/name: podinfo\n        team: '-'\n    spec:", "labels of its pods: Invalid value"},
		"name of a service":         {base, "  name: podinfo\nspec:\n  ports:", "  name: " + strings.Repeat("x", 64) + "\nspec:\n  ports:", "metadata.name: must be no more than 63"},
		"scenario":                  {flaky, "percent: 20", "percent: 200", "PODINFO_FAULTS:3:23: rule \"flaky\""},
		"name of a scenario":        {flaky, "name: podinfo-faults", "name: podinfo-fault", "there is no ConfigMap podinfo-faults"},
		"file of a scenario":        {flaky, "scenario.yaml: |", "scenario.yml: |", "ConfigMap podinfo-faults has no scenario.yaml"},
		"scenario elsewhere":        {flaky, "mountPath: /etc/podinfo/faults", "mountPath: /etc/podinfo/fault", "no ConfigMap is mounted that holds /etc/podinfo/faults/scenario.yaml"},
		"scenario by subPath":       {flaky, "mountPath: /etc/podinfo/faults", "subPath: scenario.yaml\n          mountPath: /etc/podinfo/faults/scenario.yaml", "is mounted by subPath"},
		"scenario of no effect":     {flaky, "name: PODINFO_FAULTS_ENABLED\n          value: \"true\"", "name: PODINFO_FAULTS_ENABLED\n          value: \"false\"", "the module faults is off"},
		"service account":           {base, "enableServiceLinks: false", "serviceAccountName: robot", "there is no ServiceAccount robot"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			manifest := strings.Replace(test.manifest, test.old, test.new, 1)
			err := checker.Check("1.29", []byte(manifest))
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestVersionWithoutSchemas(t *testing.T) {
	if err := checker.Check("1.20", render(t, kustomize)); err == nil {
		t.Error("Kubernetes 1.20 has no schemas here")
	}
}

func folders(t *testing.T, kind string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(kustomize, kind))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// mix renders the base with components.
func mix(t *testing.T, components ...string) []byte {
	t.Helper()
	return render(t, overlay(t, "", kustomize+"/base", components...))
}

// overlay makes an overlay of a kustomization with components.
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
		paths = append(paths, from(filepath.Join(kustomize, "components", name)))
	}
	k := map[string]any{"namePrefix": namePrefix, "resources": []string{from(resource)}, "components": paths}
	if slices.Contains(components, "faults") { // whose scenario is the overlay's
		copyFile(t, filepath.Join(dir, "scenario.yaml"), "../../examples/scenarios/brown-out.yaml")
		k["configMapGenerator"] = []any{map[string]any{
			"name": "podinfo-faults", "files": []string{"scenario.yaml"}, "options": map[string]bool{"disableNameSuffixHash": true},
		}}
	}
	text, err := yaml.Marshal(k)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "kustomization.yaml"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func render(t *testing.T, dir string) []byte {
	t.Helper()
	manifest, err := build(dir)
	if err != nil {
		t.Fatal(err)
	}
	return manifest
}

// build renders what kubectl would apply, in its order.
func build(dir string) ([]byte, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	return resources.AsYaml()
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(want, got) {
		t.Errorf("%s is out of date: run `go -C hack/manifests test . -update` and read the difference", file)
	}
}
