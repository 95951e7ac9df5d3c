{{- /* The flags of podinfo, the same as in upstream's chart. Everything else is an environment variable. */ -}}
{{- define "podinfo.flags" -}}
- --port={{ .Values.service.httpPort }}
{{- with .Values.host }}
- {{ printf "--host=%s" . | toYaml }}
{{- end }}
{{- if include "podinfo.prefix" . }}
- {{ printf "--prefix=%s" .Values.prefix | toYaml }}
{{- end }}
{{- if .Values.tls.enabled }}
- --secure-port={{ .Values.tls.port }}
{{- end }}
- {{ printf "--cert-path=%s" .Values.tls.certPath | toYaml }}
{{- with .Values.service.metricsPort }}
- --port-metrics={{ . }}
{{- end }}
{{- with .Values.service.grpcPort }}
- --grpc-port={{ . }}
{{- end }}
{{- with .Values.service.grpcService }}
- {{ printf "--grpc-service-name=%s" . | toYaml }}
{{- end }}
{{- range .Values.backends }}
- {{ printf "--backend-url=%s" . | toYaml }}
{{- end }}
{{- with include "podinfo.cacheServer" . }}
- {{ printf "--cache-server=%s" . | toYaml }}
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
- {{ printf "--config-path=%s" . | toYaml }}
{{- end }}
{{- with .Values.config.name }}
- {{ printf "--config=%s" . | toYaml }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The annotations of the Pods. The checksums make a change of what podinfo reads only at startup replace the Pods. */ -}}
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
{{- toYaml (merge (include "podinfo.strings" .Values.podAnnotations | fromYaml) $out) }}
{{- end }}
