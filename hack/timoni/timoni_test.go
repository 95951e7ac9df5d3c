package timoni_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/hack/manifests"
	"github.com/seed-4591fe7d/podinfo/hack/timoni"
)

const module = "../../timoni/podinfo"

var update = flag.Bool("update", false, "write the golden files")

func instance() timoni.Instance {
	return timoni.Instance{Name: "podinfo", Namespace: "test", ModuleVersion: "6.15.0", KubeVersion: "1.35.4"}
}

// checker judges manifests; podinfo itself judges its flags and variables.
func checker(t *testing.T) *manifests.Checker {
	t.Helper()
	program := filepath.Join(t.TempDir(), "podinfo")
	if out, err := exec.Command("go", "-C", "../..", "build", "-o", program, "./cmd/podinfo").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c, err := manifests.New(program)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRender(t *testing.T) {
	check := checker(t)
	for _, tc := range []struct{ name, values string }{
		{"default", `{}`},
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
		}`},
		{"own-user", `{faults: scenario: "# A comment stays.\nrules: [{name: slow, delay: 200ms}]\n", podSecurityContext: {runAsUser: 65532, runAsGroup: null, fsGroup: null, supplementalGroups: [7]}, securityContext: readOnlyRootFilesystem: false}`},
		{"few-modules", `{podAnnotations: "prometheus.io/scrape": "false", modules: ["none", "http-server", "metrics-server", "health", "version"], test: {enabled: true, image: {repository: "example.com/curl", tag: "", digest: ""}}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := timoni.Render(module, instance(), tc.values)
			if err != nil {
				t.Fatal(err)
			}
			for _, version := range manifests.Versions {
				if err := check.Check(version, got); err != nil {
					t.Errorf("Kubernetes %s: %v", version, err)
				}
			}
			golden := filepath.Join("testdata", tc.name+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s is out of date: run `make timoni` and read the difference; got\n%s", golden, got)
			}
		})
	}
}

// TestUpstreamValues are the values that upstream's documentation recommends:
// they have to be taken as they are.
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

// TestVersions: the default image is the release that the program says it is.
func TestVersions(t *testing.T) {
	source, err := os.ReadFile("../../podinfo.go")
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
		t.Errorf("values.cue does not name release %q", release)
	}
}
