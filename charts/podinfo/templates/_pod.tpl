{{- /* podinfo's flags: those that upstream's chart has. All else is an environment variable. */ -}}
{{- define "podinfo.flags" -}}
- --port={{ .Values.service.httpPort }}
{{- with .Values.host }}
- --host={{ . }}
{{- end }}
{{- if include "podinfo.prefix" . }}
- --prefix={{ .Values.prefix }}
{{- end }}
{{- if .Values.tls.enabled }}
- --secure-port={{ .Values.tls.port }}
{{- end }}
- --cert-path={{ .Values.tls.certPath }}
{{- with .Values.service.metricsPort }}
- --port-metrics={{ . }}
{{- end }}
{{- with .Values.service.grpcPort }}
- --grpc-port={{ . }}
{{- end }}
{{- with .Values.service.grpcService }}
- --grpc-service-name={{ . }}
{{- end }}
{{- range .Values.backends }}
- --backend-url={{ . }}
{{- end }}
{{- with include "podinfo.cacheServer" . }}
- --cache-server={{ . }}
{{- end }}
- --level={{ .Values.logLevel }}
- --random-delay={{ .Values.faults.delay }}
- --random-error={{ .Values.faults.error }}
{{- if .Values.faults.unhealthy }}
- --unhealthy
{{- end }}
{{- if .Values.faults.unready }}
- --unready
{{- end }}
{{- if .Values.h2c.enabled }}
- --h2c
{{- end }}
{{- with include "podinfo.configPath" . }}
- --config-path={{ . }}
{{- end }}
{{- with .Values.config.name }}
- --config={{ . }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Annotations of the Pods. What is read only at the start is hashed, so that its change replaces them. */ -}}
{{- define "podinfo.podAnnotations" -}}
{{- $out := dict "prometheus.io/scrape" "true" "prometheus.io/port" (toString .Values.service.httpPort) }}
{{- with include "podinfo.prefix" . }}
{{- $_ := set $out "prometheus.io/path" (printf "%s/metrics" .) }}
{{- end }}
{{- with index (default dict .Values.config.files) (default "config.yaml" .Values.config.name) }}
{{- $_ := set $out "checksum/config" (sha256sum .) }}
{{- end }}
{{- with print (default "" .Values.jwt.secret) (default "" .Values.jwt.publicKey) }}
{{- $_ := set $out "checksum/jwt" (sha256sum .) }}
{{- end }}
{{- range $name, $value := .Values.podAnnotations }}
{{- $_ := set $out $name (include "podinfo.scalar" $value) }}
{{- end }}
{{- toYaml $out }}
{{- end }}
