package timoni_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/hack/packaging/manifests"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/packagingtest"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/timoni"
)

const module = packagingtest.Root + "/timoni/podinfo"

var checker *manifests.Checker

func TestMain(m *testing.M) {
	os.Exit(packagingtest.Main(m, func(_ string, c *manifests.Checker) { checker = c }))
}

func instance() timoni.Instance {
	return timoni.Instance{Name: "podinfo", Namespace: "test", ModuleVersion: "6.15.0", KubeVersion: "1.35.4"}
}

// TestRender checks what the module makes of values. The manifest of the
// defaults and the one with everything turned on are golden files; the other
// cases are compared by their differences from the defaults.
func TestRender(t *testing.T) {
	usual := render(t, "{}")
	for _, tc := range []struct{ name, values, changes, contains string }{
		{"default", `{}`, "", ""},
		{"everything", `{
			image: {tag: "6.15.1", digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000", pullPolicy: "Always"}
			metadata: {labels: "example.com/team": "platform", annotations: "example.com/owner": "us"}
			ui: {color: "#336699", message: "hello", backend: "http://backend/echo"}
			modules: ["-panic", "pprof"]
			grpc: {enabled: true, port: 9900, serviceName: "front"}
			faults: scenario: {seed: 7, rules: [{name: "busy", match: percent: 0.5, fault: {status: 503, body: "<b>\"busy\"</b>"}}, {name: "nightly", when: daily: {from: "22:30", to: "06:00"}, delay: "200ms"}]}
			replicas: 3
			resources: {requests: {cpu: "100m", memory: "64Mi"}, limits: {cpu: "2000m", memory: "1Gi"}}
			podAnnotations: "example.com/pod": "yes"
			imagePullSecrets: [{name: "registry"}]
			tolerations: [{operator: "Exists"}]
			topologySpreadConstraints: [{maxSkew: 1, topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "ScheduleAnyway", labelSelector: matchLabels: "app.kubernetes.io/name": "podinfo"}]
			affinity: podAntiAffinity: preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: "kubernetes.io/hostname", labelSelector: matchLabels: "app.kubernetes.io/name": "podinfo"}}]
			service: {port: 8080, annotations: "example.com/service": "yes", labels: "example.com/tier": "front"}
			autoscaling: {enabled: true, cpu: 80, memory: "48Mi", maxReplicas: 6}
			ingress: {enabled: true, tls: true, host: "podinfo.example.com", className: "nginx", annotations: "cert-manager.io/cluster-issuer": "self-signed", labels: "example.com/edge": "public"}
			monitoring: {enabled: true, interval: 30}
			caching: {enabled: true, redisURL: "tcp://:secret@redis.caches:6379"}
			test: enabled: true
		}`, "", ""},
		{"own-user", `{faults: scenario: "# A comment stays.\nrules: [{name: slow, delay: 200ms}]\n", podSecurityContext: {runAsUser: 65532, runAsGroup: null, fsGroup: null, supplementalGroups: [7]}, securityContext: readOnlyRootFilesystem: false}`, `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].env[PODINFO_FAULTS_ENABLED]: {"value":"true"}
  + spec.template.spec.containers[podinfo].env[PODINFO_FAULTS_FILE]: {"value":"/etc/podinfo/faults/scenario.yaml"}
  - spec.template.spec.containers[podinfo].securityContext.readOnlyRootFilesystem: true
  + spec.template.spec.containers[podinfo].securityContext.readOnlyRootFilesystem: false
  + spec.template.spec.containers[podinfo].volumeMounts[/etc/podinfo/faults]: {"name":"faults","readOnly":true}
  - spec.template.spec.securityContext.fsGroup: 101
  - spec.template.spec.securityContext.runAsGroup: 101
  - spec.template.spec.securityContext.runAsUser: 100
  + spec.template.spec.securityContext.runAsUser: 65532
  + spec.template.spec.securityContext.supplementalGroups: [7]
  + spec.template.spec.volumes[faults]: {"configMap":{"name":"podinfo-faults"}}
+ ConfigMap podinfo-faults
`, "  scenario.yaml: |\n    # A comment stays.\n    rules: [{name: slow, delay: 200ms}]\n"},
		{"proxy", `{proxy: {url: "http://orders.shop.svc:8080", routes: ["/orders/{id}"]}}`, `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].command[]: "proxy"
  + spec.template.spec.containers[podinfo].command[]: "http://orders.shop.svc:8080"
  + spec.template.spec.containers[podinfo].command[]: "--proxy-all=false"
  + spec.template.spec.containers[podinfo].env[PODINFO_PROXY_ROUTES]: {"value":"/orders/{id}"}
`, ""},
		{"few-modules", `{podAnnotations: "prometheus.io/scrape": "false", modules: ["none", "http-server", "metrics-server", "health", "version"], test: {enabled: true, image: {repository: "example.com/curl", tag: "", digest: ""}}}`, `
~ Deployment podinfo
  - spec.template.metadata.annotations[prometheus.io/scrape]: "true"
  + spec.template.metadata.annotations[prometheus.io/scrape]: "false"
  + spec.template.spec.containers[podinfo].command[]: "--modules=none,http-server,metrics-server,health,version"
+ Job podinfo-test
`, "image: example.com/curl:latest\n"},
		{"exec-probes", `{probes: type: "exec"}`, `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].livenessProbe.exec: {"command":["podcli","check","http","localhost:9898/healthz"]}
  - spec.template.spec.containers[podinfo].livenessProbe.httpGet: {"path":"/healthz","port":"http"}
  + spec.template.spec.containers[podinfo].readinessProbe.exec: {"command":["podcli","check","http","localhost:9898/readyz"]}
  - spec.template.spec.containers[podinfo].readinessProbe.httpGet: {"path":"/readyz","port":"http"}
`, ""},
		{"grpc-probes", `{probes: type: "grpc"}`, `
~ Service podinfo
  + spec.ports[grpc]: {"port":9999,"protocol":"TCP","targetPort":"grpc"}
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].command[]: "--grpc-port=9999"
  + spec.template.spec.containers[podinfo].command[]: "--grpc-service-name=podinfo"
  + spec.template.spec.containers[podinfo].livenessProbe.grpc: {"port":9999,"service":"liveness"}
  - spec.template.spec.containers[podinfo].livenessProbe.httpGet: {"path":"/healthz","port":"http"}
  + spec.template.spec.containers[podinfo].ports[grpc]: {"containerPort":9999,"protocol":"TCP"}
  + spec.template.spec.containers[podinfo].readinessProbe.grpc: {"port":9999}
  - spec.template.spec.containers[podinfo].readinessProbe.httpGet: {"path":"/readyz","port":"http"}
`, ""},
	} {
		got := render(t, tc.values)
		for _, version := range manifests.Versions {
			if err := checker.Check(version, []byte(got)); err != nil {
				t.Errorf("%s, Kubernetes %s: %v", tc.name, version, err)
			}
		}
		if !strings.Contains(got, tc.contains) {
			t.Errorf("%s: want %q in\n%s", tc.name, tc.contains, got)
		}
		if tc.changes == "" {
			packagingtest.Golden(t, tc.name+".yaml", got)
		} else {
			packagingtest.WantSummary(t, tc.name, tc.changes, packagingtest.Changes(t, usual, got))
		}
	}
	packagingtest.NoOtherGoldens(t, "default.yaml", "everything.yaml")
}

func render(t *testing.T, values string) string {
	t.Helper()
	got, err := timoni.Render(module, instance(), values)
	if err != nil {
		t.Fatal(values, err)
	}
	return string(got)
}

// TestUpstreamValues renders the values that upstream's documentation
// recommends, which have to work unchanged.
func TestUpstreamValues(t *testing.T) {
	_, err := timoni.Render(module, instance(), `{
		podSecurityContext: {runAsUser: 100, runAsGroup: 101, fsGroup: 101}
		securityContext: {
			allowPrivilegeEscalation: false
			readOnlyRootFilesystem:   true
			runAsNonRoot:             true
			capabilities: drop: ["ALL"]
			seccompProfile: type: "RuntimeDefault"
		}
	}`)
	if err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	for values, about := range map[string]string{
		`{nonsense: true}`:                                             "nonsense",
		`{replicas: -1}`:                                               "replicas",
		`{service: port: 70000}`:                                       "port",
		`{resources: requests: cpu: "a lot"}`:                          "cpu",
		`{monitoring: interval: 1}`:                                    "interval",
		`{autoscaling: {minReplicas: 4, maxReplicas: 2}}`:              "maxReplicas",
		`{autoscaling: cpu: 0}`:                                        "cpu",
		`{caching: {enabled: true, redisURL: "redis://redis:6379"}}`:   "redisURL",
		`{caching: enabled: true}`:                                     "redisURL",
		`{probes: type: "tcp"}`:                                        "type",
		`{probes: type: "grpc", grpc: enabled: false}`:                 "enabled",
		`{modules: ["Random Error"]}`:                                  "modules",
		`{faults: scenario: [{name: "slow"}]}`:                         "scenario",
		`{image: tag: 6}`:                                              "tag",
		`{securityContext: runAsNonRoot: "yes"}`:                       "runAsNonRoot",
		`{ingress: {enabled: true, className: "nginx", hosts: ["a"]}}`: "hosts",
	} {
		if out, err := timoni.Render(module, instance(), values); err == nil || !strings.Contains(err.Error(), about) {
			t.Errorf("%s: error %v\n%s", values, err, out)
		}
	}
}

func TestMinimumVersion(t *testing.T) {
	for version, ok := range map[string]bool{"1.19.16": false, "1.20.0": true, "1.35.4-gke.100": true, "2.0.0": true, "one": false} {
		i := instance()
		i.KubeVersion = version
		if _, err := timoni.Render(module, i, `{}`); (err == nil) != ok {
			t.Errorf("Kubernetes %s: error %v", version, err)
		}
	}
}

// TestVersions: the tag of the default image is the release in podinfo.go.
func TestVersions(t *testing.T) {
	source, err := os.ReadFile(packagingtest.Root + "/podinfo.go")
	if err != nil {
		t.Fatal(err)
	}
	values, err := os.ReadFile(filepath.Join(module, "values.cue"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(source), `release  = "`)
	release, _, _ := strings.Cut(rest, `"`)
	if release == "" || !strings.Contains(string(values), `"`+release+`"`) {
		t.Errorf("values.cue does not contain the release %q", release)
	}
}
