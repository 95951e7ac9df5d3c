package kustomize_test

import (
	"strings"
	"testing"
)

// TestCheck breaks rendered manifests and expects the error of the checker.
func TestCheck(t *testing.T) {
	base := render(t, root)
	monitored := mix(t, "monitoring")
	routed := mix(t, "gateway", "ingress")
	secured := mix(t, "tls")
	cached := mix(t, "redis")
	flaky := string(render(t, root+"/overlays/flaky"))
	proxied := string(render(t, root+"/overlays/fault-proxy-nginx"))
	env := "- name: PODINFO_UI_COLOR\n          value: '#34577c'"
	tests := map[string]struct {
		manifest, old, new, want string
	}{
		"empty":                       {base, base, "# nothing\n", "the manifest is empty"},
		"invalid YAML":                {base, "kind: Service", "kind: {", "yaml"},
		"duplicate key":               {base, "kind: Service", "kind: Service\nkind: Service", `"kind" already set`},
		"duplicate object":            {base, base, base + "---\n" + base, "duplicate Service podinfo"},
		"kind":                        {base, "kind: Service", "kind: Servic", "no schema for v1/Servic"},
		"field":                       {base, "imagePullPolicy:", "imagePullPolice:", "additional properties 'imagePullPolice' not allowed"},
		"field in metadata":           {base, "metadata:\n", "metadata:\n  label: {}\n", "additional properties 'label' not allowed"},
		"type":                        {base, "minReadySeconds: 3", `minReadySeconds: "3"`, "got string, want integer"},
		"required field":              {base, "  maxReplicas: 4\n", "", "missing property 'maxReplicas'"},
		"required field is null":      {base, "maxReplicas: 4", "maxReplicas: null", "missing property 'maxReplicas'"},
		"optional field is null":      {base, "minReadySeconds: 3", "minReadySeconds: null", ""},
		"quantity as a number":        {base, "cpu: 100m", "cpu: 1", ""},
		"field of a PodMonitor":       {monitored, "podMetricsEndpoints:", "endpoints:", "additional properties 'endpoints' not allowed"},
		"duration of a PodMonitor":    {monitored, "interval: 15s", "interval: quick", "does not match pattern"},
		"field of a PrometheusRule":   {monitored, "- alert: PodinfoDown", "- alarm: PodinfoDown", "additional properties 'alarm' not allowed"},
		"metadata of a CRD":           {monitored, "kind: PodMonitor\nmetadata:", "kind: PodMonitor\nmetadata:\n  nam: a", "additional properties 'nam' not allowed"},
		"match of an HTTPRoute":       {routed, "type: PathPrefix", "type: Prefix", "value must be one of"},
		"root":                        {base, "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"},
		"capabilities":                {base, "drop:\n            - ALL", "drop: []", "unrestricted capabilities"},
		"seccomp":                     {base, "type: RuntimeDefault", "type: Unconfined", "seccompProfile"},
		"variable":                    {base, env, env + "\n        - name: PODINFO_UI_COLOUR\n          value: red", "unknown setting PODINFO_UI_COLOUR"},
		"duplicate variable":          {base, env, env + "\n        " + env, "PODINFO_UI_COLOR is set twice"},
		"variable without effect":     {base, env, "- name: PODINFO_LEVEL\n          value: debug", "PODINFO_LEVEL has no effect"},
		"value":                       {base, env, "- name: PODINFO_CACHE_TTL\n          value: forever", "PODINFO_CACHE_TTL"},
		"value of a flag":             {base, "--port=9898", "--port=98980", "PODINFO_PORT"},
		"flag":                        {base, "--random-delay=false", "--random-delays", "unknown flag: --random-delays"},
		"module":                      {base, env, "- name: PODINFO_MODULES\n          value: -panics", `"panics"`},
		"variable of a ConfigMap":     {base, env, "- name: PODINFO_UI_COLOR\n          valueFrom: {configMapKeyRef: {name: colours, key: red}}", "no ConfigMap colours"},
		"grace period":                {base, "terminationGracePeriodSeconds: 15", "terminationGracePeriodSeconds: 8", "takes up to 8s to shut down"},
		"selector of pods":            {base, "selector:\n    app: podinfo", "selector:\n    app: podinf", "no pod matches the selector app=podinf"},
		"selector of own pods":        {base, "  selector:\n    matchLabels:\n      app: podinfo\n  strategy:", "  selector:\n    matchLabels:\n      app: podinf\n  strategy:", "the selector app=podinf does not match its own pods"},
		"port of pods":                {base, "targetPort: grpc", "targetPort: grcp", "a selected pod has no port grcp"},
		"scaled object":               {base, "kind: Deployment\n    name: podinfo", "kind: Deployment\n    name: podinfod", "no object to scale"},
		"replicas of a scaled object": {base, "minReadySeconds: 3", "minReadySeconds: 3\n  replicas: 2", "sets replicas"},
		"volume":                      {base, "name: tmp\n      enable", "name: temp\n      enable", "no volume temp"},
		"port of a PodMonitor":        {monitored, "port: http-metrics", "port: metrics", "a selected pod has no port metrics"},
		"port of an Ingress":          {routed, "port:\n              name: http", "port:\n              name: https", "Service podinfo has no port https"},
		"service of a route":          {routed, "- name: podinfo\n      port: 9999", "- name: podcast\n      port: 9999", "no Service podcast"},
		"issuer":                      {secured, "kind: Issuer\nmetadata:\n  name: podinfo", "kind: Issuer\nmetadata:\n  name: podcast", "no Issuer podinfo"},
		"issuer of the cluster":       {secured, "kind: Issuer\n    name: podinfo", "kind: ClusterIssuer\n    name: anyone", ""},
		"server of the cache":         {cached, "tcp://redis:6379", "tcp://:secret@rediss:6379/1", "PODINFO_CACHE_SERVER: no Service rediss"},
		"servers of the cache":        {cached, "tcp://redis:6379", "memcached://one.elsewhere:11211,two:11211", "no Service two"},
		"cache elsewhere":             {cached, "tcp://redis:6379", "tcp://redis.elsewhere:6379", ""},
		"value of a label":            {base, "app.kubernetes.io/name: podinfo\n  name: podinfo\n", "app.kubernetes.io/name: " + strings.Repeat("x", 64) + "\n  name: podinfo\n", "metadata.labels: Invalid value"},
		"label of pods":               {base, "app.kubernetes.io/name: podinfo\n    spec:", "app.kubernetes.io/name: podinfo\n        team: '-'\n    spec:", "labels of its pods: Invalid value"},
		"name of a service":           {base, "  name: podinfo\nspec:\n  ports:", "  name: " + strings.Repeat("x", 64) + "\nspec:\n  ports:", "metadata.name: must be no more than 63"},
		"scenario":                    {flaky, "percent: 20", "percent: 200", "PODINFO_FAULTS:3:23: rule \"flaky\""},
		"name of a scenario":          {flaky, "name: podinfo-faults", "name: podinfo-fault", "no ConfigMap podinfo-faults"},
		"key of a scenario":           {flaky, "scenario.yaml: |", "scenario.yml: |", "ConfigMap podinfo-faults has no key scenario.yaml"},
		"scenario in another folder":  {flaky, "mountPath: /etc/podinfo/faults", "mountPath: /etc/podinfo/fault", "no mounted ConfigMap contains /etc/podinfo/faults/scenario.yaml"},
		"scenario by subPath":         {flaky, "mountPath: /etc/podinfo/faults", "subPath: scenario.yaml\n          mountPath: /etc/podinfo/faults/scenario.yaml", "is mounted by subPath"},
		"scenario without effect":     {flaky, "name: PODINFO_FAULTS_ENABLED\n          value: \"true\"", "name: PODINFO_FAULTS_ENABLED\n          value: \"false\"", "the module faults is off"},
		"target of a proxy":           {proxied, "target: http://localhost:8080", "target: localhost:8080", "PODINFO_PROXY_URL"},
		"key of a target":             {proxied, "key: target", "key: url", "no URL for podinfo proxy: $(TARGET) is empty"},
		"scenario of a proxy":         {proxied, "percent: 50", "percent: 500", `rule "late"`},
		"port of a proxy":             {proxied, "targetPort: fault-proxy", "targetPort: proxy", "a selected pod has no port proxy"},
		"service account":             {base, "enableServiceLinks: false", "serviceAccountName: robot", "no ServiceAccount robot"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			manifest := strings.Replace(test.manifest, test.old, test.new, 1)
			err := checker.Check("1.29", []byte(manifest))
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

func TestVersionWithoutSchemas(t *testing.T) {
	if err := checker.Check("1.20", []byte(render(t, root))); err == nil {
		t.Error("Kubernetes 1.20 has no schemas here")
	}
}
