package chart_test

import (
	"testing"

	"github.com/seed-4591fe7d/podinfo/hack/packaging/chart"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/packagingtest"
)

// A renderCase is a set of values and the changes they make to the default
// manifest.
type renderCase struct {
	values    string // YAML
	changes   string // summary of the changes, or empty if they are in testdata/NAME.txt
	complaint string // error that the checker is expected to report
	since     string // oldest version of Kubernetes that has all fields, or empty
}

// renderCases returns the cases of TestRender, by name. Other tests use the
// values too.
func renderCases(t *testing.T) map[string]renderCase {
	return map[string]renderCase{
		"prod": {values: packagingtest.Read(t, chart.Dir+"/values-prod.yaml"), changes: `
~ Deployment podinfo
  - spec.replicas: 1
  + spec.template.spec.containers[podinfo].command[]: "--cache-server=tcp://podinfo-redis:6379"
  + spec.template.spec.containers[podinfo].resources.limits.memory: "256Mi"
  - spec.template.spec.containers[podinfo].resources.requests.cpu: "1m"
  + spec.template.spec.containers[podinfo].resources.requests.cpu: "100m"
  - spec.template.spec.containers[podinfo].resources.requests.memory: "16Mi"
  + spec.template.spec.containers[podinfo].resources.requests.memory: "64Mi"
+ HorizontalPodAutoscaler podinfo
+ ConfigMap podinfo-redis
+ Deployment podinfo-redis
+ Service podinfo-redis
+ Pod podinfo-cache-test
`},
		"no size limit": {values: `dataSizeLimit: ""`, changes: `
~ Deployment podinfo
  - spec.template.spec.volumes[data].emptyDir.sizeLimit: "1280Mi"
`},
		"config": {values: `
config:
  files:
    config.yaml: |
      ui-message: from the file
    other.txt: watched
  configMap: more
  secret: credentials
dataVolume:
  persistentVolumeClaim:
    claimName: podinfo
extraVolumes:
  - name: scratch
    emptyDir: {}
extraVolumeMounts:
  - name: scratch
    mountPath: /tmp
`},
		"faults": {values: `
faults:
  delay: true
  delayMin: 50
  delayMax: 300
  delayUnit: ms
  error: true
  errorRate: 0.05
  errorCodes: [500, 503]
  errorGRPCCodes: [Unavailable]
  seed: 7
  unhealthy: true
  unready: true
  stressCPU: 1
  stressMemory: 50
  testFail: true
  testTimeout: true
`},
		"proxy": {values: `
proxy:
  url: http://orders.shop.svc:8080
  routes: ["/orders/{id}"]
faults:
  scenario:
    rules:
      - name: lost-response
        match: {methods: [POST], path: /orders}
        at: after
        fault: {reset: true}
`},
		"grpcroute-rules": {values: `
grpcRoute:
  enabled: true
  parentRefs:
    - name: gateway
  rules:
    - matches:
        - method:
            service: echo.EchoService
`},
		"hooks": {values: `
image:
  tag: 6.15.0@sha256:0000000000000000000000000000000000000000000000000000000000000000
  pullSecrets: [{name: registry}]
hooks:
  preInstall:
    job:
      enabled: true
      hookDeletePolicy: ""
  postUpgrade:
    job:
      enabled: true
      hookDeletePolicy: hook-succeeded,hook-failed
      sleepSeconds: 5
      ttlSecondsAfterFinished: 60
      exitCode: 1
`},
		"hpa-all": {values: `
replicaCount: 2
hpa:
  enabled: true
  maxReplicas: 4
  cpu: 80
  memory: 100Mi
  requests: 200
`},
		"httproute": {values: `
httpRoute:
  enabled: true
  additionalLabels:
    edge: public
  annotations:
    example.com/owner: us
  parentRefs:
    - name: gateway
      namespace: gateways
  hostnames: [podinfo.example.com]
  rules:
    - matches:
        - path:
            type: PathPrefix
            value: /api
      timeouts:
        request: 10s
    - filters: # a rule without matches
        - type: RequestHeaderModifier
          requestHeaderModifier:
            set:
              - name: X-Edge
                value: "yes"
    - backendRefs: []
      filters:
        - type: RequestRedirect
          requestRedirect:
            hostname: elsewhere.example.com
`},
		"ingress": {values: `
ingress:
  enabled: true
  className: nginx
  additionalLabels:
    edge: public
  annotations:
    cert-manager.io/cluster-issuer: self-signed
  hosts:
    - host: podinfo.example.com
      paths:
        - path: /
          pathType: Prefix
        - path: /api
  tls:
    - secretName: podinfo-edge
      hosts: [podinfo.example.com]
`},
		"jwt": {values: `
jwt:
  secret: 0123456789abcdef0123456789abcdef
  paths: [/cache/*, /echo.EchoService/*]
`},
		"memcached": {values: `
memcached:
  enabled: true
networkPolicy:
  enabled: true
  from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: edge
  metricsFrom:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: monitoring
  egress:
    enabled: true
    rules:
      - to:
          - podSelector: {}
`},
		"monitoring": {values: `
serviceMonitor:
  enabled: true
  interval: 5s
otel:
  serviceName: front
  endpoint: http://collector:4317
  sampler: parentbased_traceidratio
  samplerArg: 0.25
  resourceAttributes:
    deployment.environment.name: demo
`},
		"alerts and dashboard": {values: `
prometheusRule:
  enabled: true
  additionalLabels:
    release: prometheus
dashboard:
  enabled: "true"
`, changes: `
+ ConfigMap podinfo-dashboard
+ PrometheusRule podinfo
`},
		"network-policy": {values: `
cache: redis://redis.caches:6379
redis:
  enabled: true
serviceMonitor:
  enabled: true
networkPolicy:
  enabled: true
  from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: edge
  metricsFrom:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: monitoring
  egress:
    enabled: true
    rules:
      - to:
          - namespaceSelector:
              matchLabels:
                kubernetes.io/metadata.name: caches
        ports:
          - port: 6379
`},
		"redis": {values: `
redis:
  enabled: true
  imagePullSecrets: [{name: registry}]
serviceAccount:
  enabled: true
networkPolicy:
  enabled: true
  egress:
    enabled: true
`},
		"scenario": {values: `
faults:
  scenario:
    seed: 1234567890
    rules:
      - name: shed
        limit: {rate: 1000000, burst: 2000000}
      - name: nightly
        when: {daily: {from: "22:30", to: "06:00"}}
        match: {percent: 0.5, path: "/cache/{key}"}
        delay: {p50: 80ms, p99: 1200ms}
        fault: {status: 503, body: '<b>"busy" & closed</b>'}
`},
		"serviceaccount": {values: `
serviceAccount:
  enabled: true
  name: demo
  automount: true
  imagePullSecrets: [{name: registry}]
`},
		"tls": {values: `
tls:
  enabled: true
  grpc: true
  grpcClientCA: true
certificate:
  create: true
  dnsNames: [podinfo, podinfo.demo.svc]
  duration: 24h
  renewBefore: 8h
`},
		"tls-client-ca": {values: `
tls:
  enabled: true
  clientCA: true
`, changes: `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].command[]: "--secure-port=9899"
  + spec.template.spec.containers[podinfo].env[PODINFO_CLIENT_CA]: {"value":"/data/cert/ca.crt"}
  + spec.template.spec.containers[podinfo].ports[https]: {"containerPort":9899,"protocol":"TCP"}
  + spec.template.spec.containers[podinfo].volumeMounts[/data/cert]: {"name":"tls","readOnly":true}
  + spec.template.spec.volumes[tls]: {"secret":{"secretName":"podinfo-tls"}}
~ Service podinfo
  + spec.ports[https]: {"port":9899,"protocol":"TCP","targetPort":"https"}
`},
		"backend": {values: `
backend: http://backend-podinfo:9898/echo
ui:
  color: "#123456"
  message: "hello: there"
  logo: https://example.com/logo.svg
`, changes: `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].env[PODINFO_BACKEND_URL]: {"value":"http://backend-podinfo:9898/echo"}
  - spec.template.spec.containers[podinfo].env[PODINFO_UI_COLOR].value: "#34577c"
  + spec.template.spec.containers[podinfo].env[PODINFO_UI_COLOR].value: "#123456"
  + spec.template.spec.containers[podinfo].env[PODINFO_UI_LOGO]: {"value":"https://example.com/logo.svg"}
  + spec.template.spec.containers[podinfo].env[PODINFO_UI_MESSAGE]: {"value":"hello: there"}
`},
		"backends": {values: `
backends:
  - http://one:9898/echo
  - http://two:9898/echo
`, changes: `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].command[]: "--backend-url=http://one:9898/echo"
  + spec.template.spec.containers[podinfo].command[]: "--backend-url=http://two:9898/echo"
`},
		"cache": {values: `
cache: memcached://one.caches:11211,two.caches:11211
prefix: /app
`},
		"config-path": {values: `
config:
  path: /etc/app
  name: app.yaml
  files:
    app.yaml: "ui-message: hello"
`, complaint: "Deployment podinfo: container podinfo: podinfo: config file: open /etc/app/app.yaml: no such file or directory", changes: `
~ Deployment podinfo
  + spec.template.metadata.annotations[checksum/config]: "9eb6c4cfc1270d87ecb485f0eb790fe3d8540c6c955b7276dfa74db1e4162b71"
  + spec.template.spec.containers[podinfo].command[]: "--config-path=/etc/app"
  + spec.template.spec.containers[podinfo].command[]: "--config=app.yaml"
  + spec.template.spec.containers[podinfo].volumeMounts[/etc/app]: {"name":"config","readOnly":true}
  + spec.template.spec.volumes[config]: {"projected":{"sources":[{"configMap":{"name":"podinfo-config"}}]}}
+ ConfigMap podinfo-config
`},
		"h2c": {values: `
h2c:
  enabled: true
host: 0.0.0.0
logLevel: debug
service:
  grpcPort: 0
  metricsPort: 0
extraArgs: [--http-server-timeout=60s]
extraEnvs:
  - name: PODINFO_ENV_REVEAL
    value: "true"
`, changes: `
~ Deployment podinfo
  - spec.template.spec.containers[podinfo].command[]: "--port-metrics=9797"
  - spec.template.spec.containers[podinfo].command[]: "--grpc-port=9999"
  - spec.template.spec.containers[podinfo].command[]: "--level=info"
  + spec.template.spec.containers[podinfo].command[]: "--host=0.0.0.0"
  + spec.template.spec.containers[podinfo].command[]: "--level=debug"
  + spec.template.spec.containers[podinfo].command[]: "--h2c"
  + spec.template.spec.containers[podinfo].command[]: "--http-server-timeout=60s"
  + spec.template.spec.containers[podinfo].env[PODINFO_ENV_REVEAL]: {"value":"true"}
  - spec.template.spec.containers[podinfo].ports[grpc]: {"containerPort":9999,"protocol":"TCP"}
  - spec.template.spec.containers[podinfo].ports[http-metrics]: {"containerPort":9797,"protocol":"TCP"}
~ Service podinfo
  - spec.ports[grpc]: {"port":9999,"protocol":"TCP","targetPort":"grpc"}
- Pod podinfo-grpc-test
`},
		"host-port": {values: `
service:
  hostPort: 80
tls:
  enabled: true
  hostPort: 443
`, complaint: `Deployment podinfo: not restricted: hostPort: container "podinfo" uses hostPorts 443, 80
not restricted: allowPrivilegeEscalation != false: container "podinfo" must set securityContext.allowPrivilegeEscalation=false`, changes: `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].command[]: "--secure-port=9899"
  + spec.template.spec.containers[podinfo].ports[http].hostPort: 80
  + spec.template.spec.containers[podinfo].ports[https]: {"containerPort":9899,"hostPort":443,"protocol":"TCP"}
  - spec.template.spec.containers[podinfo].securityContext.allowPrivilegeEscalation: false
  + spec.template.spec.containers[podinfo].securityContext.allowPrivilegeEscalation: true
  + spec.template.spec.containers[podinfo].securityContext.capabilities.add: ["NET_BIND_SERVICE"]
  + spec.template.spec.containers[podinfo].volumeMounts[/data/cert]: {"name":"tls","readOnly":true}
  + spec.template.spec.volumes[tls]: {"secret":{"secretName":"podinfo-tls"}}
~ Service podinfo
  + spec.ports[https]: {"port":9899,"protocol":"TCP","targetPort":"https"}
+ Pod podinfo-tls-test
`},
		"hpa-no-target": {values: `
hpa:
  enabled: true
`},
		"routes-default": {values: `
httpRoute:
  enabled: true
grpcRoute:
  enabled: true
  parentRefs:
    - name: gateway
`},
		"jwt-public-key": {values: `
jwt:
  secretName: tokens
  secretKey: key
  paths: ["/*", "!/api/info"]
  issuer: https://issuer.example.com
  audience: [podinfo, https://podinfo.example.com]
  publicKey: |
    -----BEGIN PUBLIC KEY-----
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
    -----END PUBLIC KEY-----
`},
		"modules": {values: `
modules: [-panic, -ws-echo, pprof]
settings:
  DELAY_MAX: 10s
  CACHE_MAX_BYTES: 1048576
  CACHE_REQUIRED: false
`, changes: `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].env[PODINFO_CACHE_MAX_BYTES]: {"value":"1048576"}
  + spec.template.spec.containers[podinfo].env[PODINFO_CACHE_REQUIRED]: {"value":"false"}
  + spec.template.spec.containers[podinfo].env[PODINFO_DELAY_MAX]: {"value":"10s"}
  + spec.template.spec.containers[podinfo].env[PODINFO_MODULES]: {"value":"-panic,-ws-echo,pprof"}
`},
		"no-service": {values: `
service:
  enabled: false
`, changes: `
- Service podinfo
`},
		"otel-endpoint": {values: `
otel:
  endpoint: http://collector:4318
  protocol: http/protobuf
`, changes: `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].env[OTEL_EXPORTER_OTLP_ENDPOINT]: {"value":"http://collector:4318"}
  + spec.template.spec.containers[podinfo].env[OTEL_EXPORTER_OTLP_PROTOCOL]: {"value":"http/protobuf"}
  + spec.template.spec.containers[podinfo].env[PODINFO_OTEL_SERVICE_NAME]: {"value":"podinfo"}
`},
		"prefix": {values: `
prefix: /app/
probes:
  startup:
    enable: true
serviceMonitor:
  enabled: true
  additionalLabels:
    release: prometheus
`},
		"replicas": {values: `
replicaCount: 3
podDisruptionBudget:
  maxUnavailable: 1
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        app.kubernetes.io/name: podinfo
updateStrategy:
  rollingUpdate:
    maxSurge: 2
`},
		"scenario-text": {values: `
faults:
  scenario: |
    # A comment stays.
    rules:
      - name: slow
        delay: 200ms
`},
		"scheduling": {values: `
nodeSelector:
  kubernetes.io/os: linux
tolerations:
  - operator: Exists
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 1
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              app.kubernetes.io/name: podinfo
priorityClassName: low
podAnnotations:
  prometheus.io/scrape: "false"
  example.com/number: 5
podLabels:
  team: platform
updateStrategy:
  type: Recreate
`, changes: `
~ Deployment podinfo
  - spec.strategy.rollingUpdate: {"maxSurge":1,"maxUnavailable":0}
  - spec.strategy.type: "RollingUpdate"
  + spec.strategy.type: "Recreate"
  + spec.template.metadata.annotations[example.com/number]: "5"
  - spec.template.metadata.annotations[prometheus.io/scrape]: "true"
  + spec.template.metadata.annotations[prometheus.io/scrape]: "false"
  + spec.template.metadata.labels.team: "platform"
  + spec.template.spec.affinity: {"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"podAffinityTerm":{"labelSelector":{"matchLabels":{"app.kubernetes.io/name":"podinfo"}},"topologyKey":"kubernetes.io/hostname"},"weight":1}]}}
  + spec.template.spec.nodeSelector: {"kubernetes.io/os":"linux"}
  + spec.template.spec.priorityClassName: "low"
  + spec.template.spec.tolerations: [{"operator":"Exists"}]
`},
		"security-context": {values: `
securityContext:
  allowPrivilegeEscalation: false
  runAsNonRoot: true
  runAsUser: 10001
  capabilities:
    drop: [ALL]
podSecurityContext:
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
`, changes: `
~ Deployment podinfo
  - spec.template.spec.containers[podinfo].securityContext.readOnlyRootFilesystem: true
  + spec.template.spec.containers[podinfo].securityContext.runAsUser: 10001
  - spec.template.spec.containers[podinfo].securityContext.seccompProfile: {"type":"RuntimeDefault"}
  + spec.template.spec.securityContext: {"fsGroup":10001,"seccompProfile":{"type":"RuntimeDefault"}}
`},
		"service-load-balancer": {values: `
service:
  type: LoadBalancer
  externalPort: 80
  externalTrafficPolicy: Local
  trafficDistribution: PreferClose
`, since: "1.30", changes: `
~ Service podinfo
  + spec.externalTrafficPolicy: "Local"
  - spec.ports[http].port: 9898
  + spec.ports[http].port: 80
  + spec.trafficDistribution: "PreferClose"
  - spec.type: "ClusterIP"
  + spec.type: "LoadBalancer"
~ Pod podinfo-jwt-test
  - spec.containers[jwt].command[]: "http://podinfo.demo:9898/token/validate"
  - spec.containers[jwt].command[]: "--token-url=http://podinfo.demo:9898/token"
  + spec.containers[jwt].command[]: "http://podinfo.demo:80/token/validate"
  + spec.containers[jwt].command[]: "--token-url=http://podinfo.demo:80/token"
  - spec.initContainers[step-1].command[]: "http://podinfo.demo:9898/token/validate"
  + spec.initContainers[step-1].command[]: "http://podinfo.demo:80/token/validate"
~ Pod podinfo-service-test
  - spec.containers[service].command[]: "http://podinfo.demo:9898/api/info"
  + spec.containers[service].command[]: "http://podinfo.demo:80/api/info"
`},
		"probes-exec": {values: `
host: 127.0.0.1
probes:
  type: exec
`, changes: `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].command[]: "--host=127.0.0.1"
  + spec.template.spec.containers[podinfo].livenessProbe.exec: {"command":["podcli","check","http","localhost:9898/healthz"]}
  - spec.template.spec.containers[podinfo].livenessProbe.httpGet: {"path":"/healthz","port":"http"}
  + spec.template.spec.containers[podinfo].readinessProbe.exec: {"command":["podcli","check","http","localhost:9898/readyz"]}
  - spec.template.spec.containers[podinfo].readinessProbe.httpGet: {"path":"/readyz","port":"http"}
`},
		"probes-grpc": {values: `
probes:
  type: grpc
`, changes: `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].livenessProbe.grpc: {"port":9999,"service":"liveness"}
  - spec.template.spec.containers[podinfo].livenessProbe.httpGet: {"path":"/healthz","port":"http"}
  + spec.template.spec.containers[podinfo].readinessProbe.grpc: {"port":9999}
  - spec.template.spec.containers[podinfo].readinessProbe.httpGet: {"path":"/readyz","port":"http"}
`},
		"jwt-guards-everything": {values: `
jwt:
  secret: 0123456789abcdef0123456789abcdef
  paths: ["/*", "!/token"]
redis:
  enabled: true
`},
		"certificate-names": {values: `
tls:
  enabled: true
certificate:
  create: true
fullnameOverride: front
`},
		"service-node-port": {values: `
service:
  type: NodePort
  annotations:
    example.com/owner: us
  additionalLabels:
    tier: front
`, changes: `
~ Service podinfo
  + metadata.annotations: {"example.com/owner":"us"}
  + metadata.labels.tier: "front"
  + spec.ports[http].nodePort: 31198
  - spec.type: "ClusterIP"
  + spec.type: "NodePort"
`},
		"tls-grpc": {values: `
tls:
  enabled: true
  grpc: true
`, changes: `
~ Deployment podinfo
  + spec.template.spec.containers[podinfo].command[]: "--secure-port=9899"
  + spec.template.spec.containers[podinfo].env[PODINFO_GRPC_TLS]: {"value":"true"}
  + spec.template.spec.containers[podinfo].ports[https]: {"containerPort":9899,"protocol":"TCP"}
  + spec.template.spec.containers[podinfo].volumeMounts[/data/cert]: {"name":"tls","readOnly":true}
  + spec.template.spec.volumes[tls]: {"secret":{"secretName":"podinfo-tls"}}
~ Service podinfo
  + spec.ports[https]: {"port":9899,"protocol":"TCP","targetPort":"https"}
~ Pod podinfo-grpc-test
  + spec.containers[grpc].command[]: "--tls"
  + spec.containers[grpc].command[]: "--insecure"
+ Pod podinfo-tls-test
`},
		"tls-secret": {values: `
tls:
  enabled: true
  secretName: edge
  certPath: /certs
  port: 8443
`},
	}
}
