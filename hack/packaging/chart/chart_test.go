package chart_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"

	"github.com/seed-4591fe7d/podinfo/hack/packaging/chart"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/manifests"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/packagingtest"
)

const kube = "1.35.4"

var checker *manifests.Checker

func TestMain(m *testing.M) {
	os.Exit(packagingtest.Main(m, func(_ string, c *manifests.Checker) { checker = c }))
}

// TestRender renders the chart with its defaults and with the values of each
// case, checks the manifest and compares it: the default one with default.yaml,
// and what a case changes in it with the case or its golden file.
func TestRender(t *testing.T) {
	usual := chart.Manifest(render(t, nil))
	packagingtest.Golden(t, "default.yaml", usual)
	check(t, "default", usual, renderCase{})
	goldens := []string{"default.yaml", "notes.txt"}
	for name, c := range renderCases(t) {
		got := chart.Manifest(render(t, values(t, name, c.values)))
		check(t, name, got, c)
		changes := packagingtest.Changes(t, usual, got)
		if c.changes != "" {
			packagingtest.WantSummary(t, name, c.changes, changes)
			continue
		}
		packagingtest.Golden(t, name+".txt", comment(c.values)+packagingtest.Report(changes))
		goldens = append(goldens, name+".txt")
	}
	packagingtest.NoOtherGoldens(t, goldens...)
}

func check(t *testing.T, name, manifest string, c renderCase) {
	t.Helper()
	for _, version := range manifests.Versions {
		if version < c.since {
			continue
		}
		err := checker.Check(version, []byte(manifest))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(c.complaint, got); diff != "" {
			t.Errorf("%s, Kubernetes %s (-want +got):\n%s", name, version, diff)
		}
	}
}

// comment returns the values as a comment.
func comment(values string) string {
	return "# " + strings.ReplaceAll(strings.TrimSpace(values), "\n", "\n# ") + "\n"
}

func render(t *testing.T, values map[string]any) []string {
	t.Helper()
	files, err := chart.Render("podinfo", kube, values)
	if err != nil {
		t.Fatal(err)
	}
	return chart.Documents(files)
}

// cases returns the values of each case and the defaults, by name.
func cases(t *testing.T) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{"default": {}}
	for name, c := range renderCases(t) {
		out[name] = values(t, name, c.values)
	}
	return out
}

func values(t *testing.T, name, text string) map[string]any {
	t.Helper()
	out, err := chart.ParseValues([]byte(text))
	if err != nil {
		t.Fatal(name, err)
	}
	return out
}

func TestLint(t *testing.T) {
	version, err := chartutil.ParseKubeVersion(kube)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range cases(t) {
		for _, m := range lint.AllWithKubeVersion(chart.Dir, values, "demo", version).Messages {
			if m.Severity > support.InfoSev { // the missing icon is only a recommendation
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

func TestNotes(t *testing.T) {
	var all strings.Builder
	for _, text := range []string{
		"prefix: /app",
		"service: {type: NodePort}",
		"service: {type: LoadBalancer}",
		"ingress: {enabled: true}",
		"httpRoute: {enabled: true}",
		"grpcRoute: {enabled: true}",
		"hooks: {preInstall: {job: {enabled: true}}, postInstall: {job: {enabled: true, hookDeletePolicy: hook-succeeded}}, postDelete: {job: {enabled: true, ttlSecondsAfterFinished: 60}}, postUpgrade: {job: {enabled: true, hookDeletePolicy: ''}}}",
	} {
		files, err := chart.Render("demo", kube, values(t, text, text))
		if err != nil {
			t.Fatal(text, err)
		}
		all.WriteString(comment(text) + files["podinfo/templates/NOTES.txt"])
	}
	packagingtest.Golden(t, "notes.txt", all.String())
}

// TestNames: the objects have the names that upstream's chart gives them.
func TestNames(t *testing.T) {
	for _, tc := range []struct {
		release string
		values  map[string]any
		want    string
	}{
		{"podinfo", nil, "podinfo"},
		{"my-podinfo-2", nil, "my-podinfo-2"},
		{"front", nil, "front-podinfo"},
		{"front", map[string]any{"nameOverride": "web"}, "front-web"},
		{"front", map[string]any{"fullnameOverride": "web"}, "web"},
		{strings.Repeat("x", 53), map[string]any{"nameOverride": "abcdefghi-k"}, strings.Repeat("x", 53) + "-abcdefghi"},
	} {
		files, err := chart.Render(tc.release, kube, tc.values)
		if err != nil {
			t.Fatal(err)
		}
		if service := files["podinfo/templates/service.yaml"]; !strings.Contains(service, "\n  name: "+tc.want+"\n") {
			t.Errorf("release %s, values %v: want %s in\n%s", tc.release, tc.values, tc.want, service)
		}
	}
}

// TestEveryObjectIsInTheNamespace: no template ignores namespaceOverride.
func TestEveryObjectIsInTheNamespace(t *testing.T) {
	for name, values := range cases(t) {
		values["namespaceOverride"] = "elsewhere"
		for _, doc := range render(t, values) {
			if !strings.Contains(doc, "\n  namespace: elsewhere\n") {
				t.Errorf("%s:\n%s", name, doc)
			}
		}
	}
}

// TestRefused: the schema or the templates reject values that cannot work.
func TestRefused(t *testing.T) {
	type object = map[string]any
	for want, values := range map[string]object{
		"/replicaCount":           {"replicaCount": "two"},
		"/service":                {"service": object{"htpPort": 80}},
		"/image/tag":              {"image": object{"tag": 6.1}},
		"/logLevel":               {"logLevel": "loud"},
		"/prefix":                 {"prefix": "app"},
		"/jwt/secret":             {"jwt": object{"secret": "short"}},
		"invalid propertyName":    {"settings": object{"PODINFO_LEVEL": "info"}},
		"choose one cache server": {"redis": object{"enabled": true}, "memcached": object{"enabled": true}},
		"/faults/scenario":        {"faults": object{"scenario": []any{object{"name": "slow"}}}},
		"/faults/errorRate":       {"faults": object{"errorRate": 2}},
		"/ingress/hosts/0/paths":  {"ingress": object{"hosts": []any{object{"host": "a", "paths": "/"}}}},

		"tls.grpc has no effect without tls.enabled":      {"tls": object{"grpc": true}},
		"tls.clientCA has no effect without tls.enabled":  {"tls": object{"clientCA": true}},
		"jwt.audience needs the keys of another issuer":   {"jwt": object{"audience": []any{"us"}}},
		"tls.grpcClientCA has no effect without tls.grpc": {"tls": object{"enabled": true, "grpcClientCA": true}},
		"jwt.paths needs a key":                           {"jwt": object{"paths": []any{"/cache/*"}}},
		"grpcRoute.enabled needs a port":                  {"grpcRoute": object{"enabled": true}, "service": object{"grpcPort": 0}},
		"replicaCount is the minimum":                     {"hpa": object{"enabled": true}, "replicaCount": 0},
		"from 1 to hpa.maxReplicas":                       {"hpa": object{"enabled": true, "maxReplicas": 2}, "replicaCount": 3},
		"service.httpPort and service.metricsPort":        {"service": object{"httpPort": 9797}},
		"service.externalPort and service.grpcPort":       {"service": object{"externalPort": 9999}},
		"service.metricsPort and tls.port are both":       {"tls": object{"enabled": true, "port": 9797}},
		"settings.LEVEL has no effect":                    {"settings": object{"LEVEL": "debug"}},
		"settings.H2C has no effect":                      {"settings": object{"H2C": true}, "h2c": object{"enabled": true}},
		"the label app.kubernetes.io/name selects":        {"podLabels": object{"app.kubernetes.io/name": "web"}},

		// What podinfo would refuse.
		"/backend":                      {"backend": "backend:9898"},
		"/backends/1":                   {"backends": []any{"http://a", "ftp://b"}},
		"/cache":                        {"cache": "podinfo-redis:6379"},
		"/jwt/paths/0":                  {"jwt": object{"paths": []any{"cache"}}},
		"/faults/errorCodes":            {"faults": object{"errorCodes": "500, 600"}},
		"/faults/errorGRPCCodes/0":      {"faults": object{"errorGRPCCodes": []any{"Gone"}}},
		"/faults/errorGRPCCodes":        {"faults": object{"errorGRPCCodes": "OK"}},
		"'50%' does not match":          {"faults": object{"errorRate": "50%"}},
		"/faults/delayUnit":             {"faults": object{"delayUnit": "h"}},
		"/faults/delayMin":              {"faults": object{"delayMin": "-1"}},
		"/service/grpcPort":             {"service": object{"grpcPort": "70000"}},
		"/hpa/enabled":                  {"hpa": object{"enabled": "yes"}},
		"probes.type grpc needs a port": {"probes": object{"type": "grpc"}, "service": object{"grpcPort": 0}},
		"which the kubelet does not speak over TLS": {"probes": object{"type": "grpc"}, "tls": object{"enabled": true, "grpc": true}},
		"modules turns grpc-server off":             {"probes": object{"type": "grpc"}, "modules": []any{"-grpc-server"}},
		"/probes/type":                              {"probes": object{"type": "tcp"}},
		"host is 127.0.0.1, where only":             {"host": "127.0.0.1"},
		"host is localhost, where only":             {"host": "localhost", "probes": object{"type": "grpc"}},
		"host is ::1, where only":                   {"host": "::1"},
		"maxSurge are both 0":                       {"updateStrategy": object{"rollingUpdate": object{"maxSurge": 0}}},
		"/service/trafficDistribution":              {"service": object{"trafficDistribution": "PreferNear"}},
		"/proxy/url":                                {"proxy": object{"url": "orders:8080"}},
		"proxy.routes has no":                       {"proxy": object{"routes": []any{"/a"}}},
		"prefix has no effect":                      {"proxy": object{"url": "http://orders"}, "prefix": "/app"},

		"faults.delayMin is above": {"faults": object{"delayMin": 9}},
	} {
		if _, err := chart.Render("podinfo", kube, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want an error about %s, got %v", values, want, err)
		}
	}
}

// TestNulls sets each value to null, as a values file does to remove a default.
// Either the schema rejects that, or the manifest is still valid.
func TestNulls(t *testing.T) {
	leaves, err := chart.Values([]byte(packagingtest.Read(t, chart.Dir+"/values.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range leaves {
		if leaf.Section {
			continue
		}
		path := strings.Split(leaf.Path, ".")
		values := map[string]any{path[len(path)-1]: nil}
		for _, name := range slices.Backward(path[:len(path)-1]) {
			values = map[string]any{name: values}
		}
		files, err := chart.Render("podinfo", kube, values)
		if err != nil && strings.Contains(err.Error(), "values don't meet the specifications of the schema") {
			continue
		}
		if err == nil {
			err = checker.Check("1.35", []byte(chart.Manifest(chart.Documents(files))))
		}
		if err != nil {
			t.Errorf("%s: %v", leaf.Path, err)
		}
	}
}

// TestStrings sets values that Kubernetes accepts only as strings to a number, a
// boolean or a string that YAML reads as one.
func TestStrings(t *testing.T) {
	type object = map[string]any
	mixed := object{"number": 5, "large": float64(1000000), "boolean": true, "text": "on"}
	for name, values := range map[string]object{
		"annotations and labels of the Service":   {"service": object{"annotations": mixed, "additionalLabels": mixed}},
		"annotations and labels of the Ingress":   {"ingress": object{"enabled": true, "annotations": mixed, "additionalLabels": mixed}},
		"annotations and labels of the HTTPRoute": {"httpRoute": object{"enabled": true, "annotations": mixed, "additionalLabels": mixed}},
		"annotations and labels of the GRPCRoute": {"grpcRoute": object{"enabled": true, "annotations": mixed, "additionalLabels": mixed}},
		"annotations and labels of the Pods":      {"podAnnotations": mixed, "podLabels": mixed},
		"ServiceMonitor":                          {"serviceMonitor": object{"enabled": true, "additionalLabels": mixed}},
		"PrometheusRule and dashboard":            {"prometheusRule": object{"enabled": true, "additionalLabels": mixed}, "dashboard": object{"enabled": true, "additionalLabels": mixed}},
		"nodeSelector":                            {"nodeSelector": mixed},
		"labels that the chart has too":           {"service": object{"additionalLabels": object{"app.kubernetes.io/version": 7}}},
		"fullnameOverride":                        {"fullnameOverride": "on", "redis": object{"enabled": true}, "hpa": object{"enabled": true}, "ingress": object{"enabled": true}},
		"namespaceOverride":                       {"namespaceOverride": "2026"},
		"name of the service account":             {"serviceAccount": object{"enabled": true, "name": "1"}},
		"priorityClassName":                       {"priorityClassName": "true"},
		"class of the Ingress":                    {"ingress": object{"enabled": true, "className": "1"}},
		"names of the config":                     {"config": object{"configMap": "1", "secret": "2"}, "extraEnvs": []any{}},
		"names of the Secrets":                    {"tls": object{"enabled": true, "secretName": "1"}, "jwt": object{"secretName": "2", "secretKey": "3"}},
		"key of the Secret":                       {"jwt": object{"secret": strings.Repeat("0", 32), "secretKey": "3"}},
		"flags":                                   {"service": object{"grpcService": "a: b #c"}},
	} {
		if err := checker.Check("1.35", []byte(chart.Manifest(render(t, values)))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLongNames renders names of the maximum length, which are cut at a hyphen, and
// the objects that are named after them.
func TestLongNames(t *testing.T) {
	all := cases(t)
	for _, name := range []string{"redis", "memcached", "hooks", "tls", "jwt", "jwt-public-key", "config", "scenario", "network-policy"} {
		values := all[name]
		values["nameOverride"] = "abc-efghijkl"
		files, err := chart.Render(strings.Repeat("x", 53), kube, values)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := checker.Check("1.35", []byte(chart.Manifest(chart.Documents(files)))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestIndentedText: text keeps the indentation of its first line.
func TestIndentedText(t *testing.T) {
	got := []byte(chart.Manifest(render(t, map[string]any{
		"faults": map[string]any{"scenario": "    # A comment.\nrules:\n  - name: slow\n    delay: 200ms\n"},
		"jwt":    map[string]any{"publicKey": "  of:\nthe issuer"},
	})))
	if err := checker.Check("1.35", got); err != nil {
		t.Errorf("%v\n%s", err, got)
	}
}

// TestTaken renders unusual combinations of values that are valid.
func TestTaken(t *testing.T) {
	type object = map[string]any
	for _, values := range []object{
		{"networkPolicy": object{"enabled": true, "from": []any{object{"namespaceSelector": object{}}}}, "serviceMonitor": object{"enabled": true}},
		{"service": object{"enabled": false, "externalPort": 9999}},
	} {
		render(t, values)
	}
}

// TestSpellings: values that helm --set and other tools spell differently render
// the same.
func TestSpellings(t *testing.T) {
	for text, same := range map[string]string{
		`{replicaCount: "2"}`:                                                `{replicaCount: 2}`,
		`{hpa: {enabled: "true", cpu: "80"}}`:                                `{hpa: {enabled: true, cpu: 80}}`,
		`{hpa: {enabled: "false"}}`:                                          `{}`,
		`{hpa: {enabled: "True", maxReplicas: "3"}}`:                         `{hpa: {enabled: true, maxReplicas: 3}}`,
		`{ui: {message: 123}}`:                                               `{ui: {message: "123"}}`,
		`{ui: {message: true, logo: 1}}`:                                     `{ui: {message: "true", logo: "1"}}`,
		`{service: {grpcPort: "0", metricsPort: "9000", httpPort: "8080"}}`:  `{service: {grpcPort: 0, metricsPort: 9000, httpPort: 8080}}`,
		`{service: {grpcPort: ""}}`:                                          `{service: {grpcPort: 0}}`,
		`{faults: {delay: "true", error: "0", delayMin: "1"}}`:               `{faults: {delay: true, error: false, delayMin: 1}}`,
		`{faults: {errorCodes: "500, 503", errorGRPCCodes: "NOT_FOUND, 5"}}`: `{faults: {errorCodes: [500, 503], errorGRPCCodes: [NOT_FOUND, "5"]}}`,
		`{faults: {errorRate: "0.5", delayUnit: ""}}`:                        `{faults: {errorRate: 0.5}}`,
		`{modules: "-panic, random-error"}`:                                  `{modules: [-panic, random-error]}`,
		`{backends: "http://a,http://b"}`:                                    `{backends: [http://a, http://b]}`,
		`{fullnameOverride: 1}`:                                              `{fullnameOverride: "1"}`,
		`{podDisruptionBudget: {maxUnavailable: 1}, replicaCount: "2"}`:      `{podDisruptionBudget: {maxUnavailable: 1}, replicaCount: 2}`,
		`{hooks: {preInstall: {job: {enabled: "true", sleepSeconds: "1"}}}}`: `{hooks: {preInstall: {job: {enabled: true, sleepSeconds: 1}}}}`,
	} {
		got, want := chart.Manifest(render(t, values(t, text, text))), chart.Manifest(render(t, values(t, same, same)))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, color := range []string{"34577c", "rgb(1,2,3)"} { // podinfo warns of these
		render(t, map[string]any{"ui": map[string]any{"color": color}})
	}
}

// TestUsersVariablesWin: a variable that several values set appears once, and
// extraEnvs win over settings, and settings over the other values.
func TestUsersVariablesWin(t *testing.T) {
	got := chart.Manifest(render(t, map[string]any{
		"ui":        map[string]any{"color": "red", "message": "values", "logo": "values"},
		"settings":  map[string]any{"UI_MESSAGE": "settings", "UI_LOGO": "settings"},
		"extraEnvs": []any{map[string]any{"name": "PODINFO_UI_LOGO", "value": "extraEnvs"}},
	}))
	for name, want := range map[string]string{"COLOR": "red", "MESSAGE": "settings", "LOGO": "extraEnvs"} {
		entry := "- name: PODINFO_UI_" + name + "\n"
		if strings.Count(got, entry) != 1 || !strings.Contains(got, entry+"              value: "+want+"\n") {
			t.Errorf("want %s once, as %s, in\n%s", name, want, got)
		}
	}
}

// TestKeyFromElsewhere: jwt.paths needs no key in the values of jwt if podinfo
// gets one in another way.
func TestKeyFromElsewhere(t *testing.T) {
	type object = map[string]any
	for _, values := range []object{
		{"extraEnvs": []any{object{"name": "PODINFO_JWT_SECRET", "value": strings.Repeat("k", 32)}}},
		{"settings": object{"JWT_PUBLIC_KEY_FILE": "/keys/key.pem"}},
		{"extraArgs": []any{"--jwt-public-key-file=/keys/key.pem"}},
		{"config": object{"secret": "settings"}},
	} {
		values["jwt"] = object{"paths": []any{"/cache/*"}}
		render(t, values)
	}
}

// TestTests: helm test tests what is enabled. It gets a token from /token for paths
// that need one, and leaves out what then still requires another token, and modules
// that are off.
func TestTests(t *testing.T) {
	type object = map[string]any
	guard := func(paths ...any) object { return object{"secretName": "key", "paths": paths} }
	for _, tc := range []struct {
		values      object
		names, asks string
	}{
		{object{}, "grpc jwt service", "/api/info"},
		{object{"modules": []any{"-panic", "random-error"}}, "grpc jwt service", "/api/info"},
		{object{"modules": []any{"none", "http-server", "health"}}, "service", "/healthz"},
		{object{"modules": []any{"none", "all", "-token"}}, "grpc service", "/api/info"},
		{object{"modules": []any{"-cache"}, "cache": "redis://redis.caches"}, "grpc jwt service", "/api/info"},
		{object{"cache": "redis://redis.caches", "tls": object{"enabled": true}}, "cache grpc jwt service tls", "/api/info"},
		{object{"redis": object{"enabled": true}}, "cache grpc jwt service", "/api/info"},
		{object{"memcached": object{"enabled": "true"}}, "cache grpc jwt service", "/api/info"},
		{object{"modules": []any{"-cache"}, "redis": object{"enabled": true}}, "grpc jwt service", "/api/info"},
		{object{"cache": "redis://redis.caches", "jwt": guard("/cache/*")}, "cache grpc jwt service", "/api/info"},
		{object{"cache": "redis://redis.caches", "jwt": guard("/cache/*"), "modules": []any{"-token"}}, "grpc service", "/api/info"},
		{object{"cache": "redis://redis.caches", "jwt": object{"secretName": "key", "issuer": "others", "paths": []any{"/cache/*"}}}, "grpc jwt service", "/api/info"},
		{object{"redis": object{"enabled": true}, "jwt": object{"publicKey": "key", "paths": []any{"/*", "!/token*"}}}, "grpc jwt service", "/healthz"},
		{object{"jwt": guard("/*", "!/api/info")}, "grpc service", "/api/info"},
		{object{"jwt": guard("/*", "!/token", "!/token/*")}, "grpc jwt service", "/api/info"},
		{object{"jwt": guard("/token/validate")}, "grpc jwt service", "/api/info"},
		{object{"jwt": guard("/token")}, "grpc service", "/api/info"},
		{object{"jwt": guard("/")}, "grpc jwt service", "/api/info"},
		{object{"jwt": guard("/api")}, "grpc jwt service", "/api/info"},
		{object{"jwt": guard("/", "!/api/info")}, "grpc jwt service", "/api/info"},
		{object{"jwt": guard("/*", "!/token")}, "grpc jwt service", "/api/info"},
		{object{"tls": object{"enabled": true, "clientCA": true}}, "grpc jwt service", "/api/info"},
	} {
		files, err := chart.Render("podinfo", kube, tc.values)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for file := range files {
			if name, ok := strings.CutPrefix(file, "podinfo/templates/tests/"); ok {
				names = append(names, strings.TrimSuffix(name, ".yaml"))
			}
		}
		slices.Sort(names)
		if diff := cmp.Diff(tc.names, strings.Join(names, " ")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.values, diff)
		}
		if service := files["podinfo/templates/tests/service.yaml"]; !strings.Contains(service, ":9898"+tc.asks+"\n") {
			t.Errorf("%v: want %s in\n%s", tc.values, tc.asks, service)
		}
	}
}

// TestParentChart: keys of a parent chart are accepted.
func TestParentChart(t *testing.T) {
	if _, err := chart.Render("podinfo", kube, map[string]any{"enabled": true, "global": map[string]any{"a": "b"}}); err != nil {
		t.Error(err)
	}
}

// TestSetAndFileAgree: a number renders the same whether it comes from --set
// (int64) or from a file (float64).
func TestSetAndFileAgree(t *testing.T) {
	with := func(n any) string {
		job := map[string]any{"enabled": true, "sleepSeconds": n, "ttlSecondsAfterFinished": n, "exitCode": n}
		return chart.Manifest(render(t, map[string]any{
			"hooks":    map[string]any{"postInstall": map[string]any{"job": job}},
			"settings": map[string]any{"CACHE_TTL": n}, "faults": map[string]any{"seed": n},
			"podAnnotations": map[string]any{"n": n}, "hpa": map[string]any{"enabled": true, "memory": n, "requests": n},
		}))
	}
	if diff := cmp.Diff(with(int64(200)), with(float64(200))); diff != "" {
		t.Error(diff)
	}
	if text := with(float64(0)); !strings.Contains(text, "- sleep\n            - 0s\n            - --exit-code=0\n") || !strings.Contains(text, "ttlSecondsAfterFinished: 0") {
		t.Errorf("zeros:\n%s", text)
	}
}

func TestLargeNumbersStayWhole(t *testing.T) {
	got := chart.Manifest(render(t, map[string]any{"settings": map[string]any{"CACHE_MAX_BYTES": float64(67108864)}}))
	if !strings.Contains(got, `"67108864"`) {
		t.Error(got)
	}
}

func TestReadme(t *testing.T) {
	values, err := chart.Values([]byte(packagingtest.Read(t, chart.Dir+"/values.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	file := chart.Dir + "/README.md"
	old := packagingtest.Read(t, file)
	want, err := chart.Readme(old, values)
	if err != nil {
		t.Fatal(err)
	}
	if packagingtest.Update() {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, old); diff != "" {
		t.Errorf("%s does not match values.yaml: run the test with -update (-want +got):\n%s", file, diff)
	}
}

func TestValueWithoutComment(t *testing.T) {
	_, err := chart.Values([]byte("# A.\na: 1\nb:\n  # C.\n  c: {}\n  d: 2\n"))
	if err == nil || err.Error() != "line 6: b.d: no comment" {
		t.Error(err)
	}
}

// TestSchemaNamesEveryValue compares the names in values.yaml with the schema's.
func TestSchemaNamesEveryValue(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(packagingtest.Read(t, chart.Dir+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	in := named(schema, schema["definitions"].(map[string]any), "")
	all := values(t, "values.yaml", packagingtest.Read(t, chart.Dir+"/values.yaml"))
	for _, name := range in {
		startupOnly := name == "probes.readiness.enable" || name == "probes.liveness.enable" // they share the schema of the startup probe
		if !has(all, strings.Split(name, ".")) && !startupOnly {
			t.Errorf("values.yaml lacks %s, which the schema has", name)
		}
	}
	leaves, err := chart.Values([]byte(packagingtest.Read(t, chart.Dir+"/values.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range leaves {
		if !slices.Contains(in, leaf.Path) {
			t.Errorf("the schema lacks %s, which values.yaml has", leaf.Path)
		}
	}
}

// named returns the paths of the properties in a schema.
func named(schema, definitions map[string]any, parent string) (out []string) {
	if ref, ok := schema["$ref"].(string); ok {
		schema = definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, child := range properties {
		out = append(out, parent+name)
		out = append(out, named(child.(map[string]any), definitions, parent+name+".")...)
	}
	return out
}

func has(v any, path []string) bool {
	if len(path) == 0 {
		return true
	}
	m, _ := v.(map[string]any)
	child, ok := m[path[0]]
	return ok && has(child, path[1:])
}
