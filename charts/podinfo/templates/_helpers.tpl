{{- /* The name of the objects: the release name if it contains the chart name, else both. */ -}}
{{- define "podinfo.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $full .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The name of a component, short enough for a label and a Service: (list . "redis"). */ -}}
{{- define "podinfo.part" -}}
{{- $suffix := index . 1 }}
{{- include "podinfo.fullname" (index . 0) | trunc (int (sub 62 (len $suffix))) | trimSuffix "-" }}-{{ $suffix }}
{{- end }}

{{- define "podinfo.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "podinfo.selectorLabels" -}}
app.kubernetes.io/name: {{ include "podinfo.fullname" . | toYaml }}
{{- end }}

{{- /* The common labels of all objects, without the name, which selects Pods. */ -}}
{{- define "podinfo.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "podinfo.labels" -}}
{{ include "podinfo.commonLabels" . }}
{{ include "podinfo.selectorLabels" . }}
{{- end }}

{{- /* The labels of a component, which the selectors of podinfo must not match: (list . "redis"). */ -}}
{{- define "podinfo.partLabels" -}}
{{- $name := include "podinfo.part" . -}}
{{ include "podinfo.commonLabels" (index . 0) }}
app.kubernetes.io/name: {{ $name }}
app: {{ $name }}
{{- end }}

{{- /* Merges the labels of the user into others, except for the name, which selects Pods: (list (include "podinfo.labels" .) .Values.podLabels). */ -}}
{{- define "podinfo.moreLabels" -}}
{{- $more := include "podinfo.strings" (index . 1) | fromYaml }}
{{- if hasKey $more "app.kubernetes.io/name" }}
{{- fail "the label app.kubernetes.io/name selects the Pods and cannot be changed: remove it" }}
{{- end }}
{{- toYaml (merge $more (index . 0 | fromYaml)) }}
{{- end }}

{{- define "podinfo.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- define "podinfo.serviceAccountName" -}}
{{- default (include "podinfo.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "podinfo.tlsSecretName" -}}
{{- default (include "podinfo.part" (list . "tls")) .Values.tls.secretName }}
{{- end }}

{{- /* The prefix of a route, "" for /. */ -}}
{{- define "podinfo.prefix" -}}
{{- default "/" .Values.prefix | trimSuffix "/" }}
{{- end }}

{{- define "podinfo.host" -}}
{{ include "podinfo.fullname" . }}.{{ include "podinfo.namespace" . }}
{{- end }}

{{- define "podinfo.url" -}}
http://{{ include "podinfo.host" . }}:{{ .Values.service.externalPort }}{{ include "podinfo.prefix" . }}
{{- end }}

{{- define "podinfo.cacheServer" -}}
{{- if .Values.cache }}
{{- .Values.cache }}
{{- else if .Values.redis.enabled }}
{{- printf "tcp://%s:6379" (include "podinfo.part" (list . "redis")) }}
{{- else if .Values.memcached.enabled }}
{{- printf "memcached://%s:11211" (include "podinfo.part" (list . "memcached")) }}
{{- end }}
{{- end }}

{{- /* A scalar as text. Numbers in a values file are floats, which would print as 1e+06. */ -}}
{{- define "podinfo.scalar" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* A map of strings, from values that may be numbers and booleans. */ -}}
{{- define "podinfo.strings" -}}
{{- $out := dict }}
{{- range $name, $value := . }}
{{- $_ := set $out $name (include "podinfo.scalar" $value) }}
{{- end }}
{{- toYaml $out }}
{{- end }}

{{- /* An environment variable, or nothing if its value is empty: (list "NAME" value). */ -}}
{{- define "podinfo.env" -}}
{{- $value := index . 1 }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- name: {{ index . 0 }}
  value: {{ include "podinfo.scalar" $value | quote }}
{{- end }}
{{- end }}

{{- /* A security context that meets the restricted Pod Security level. */ -}}
{{- define "podinfo.restricted" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "podinfo.securityContext" -}}
{{- $own := include "podinfo.restricted" . | fromYaml }}
{{- if .Values.securityContext }}
{{- $own = .Values.securityContext }}
{{- else if or .Values.service.hostPort .Values.tls.hostPort }}
{{- $own = merge (dict "allowPrivilegeEscalation" true "capabilities" (dict "drop" (list "ALL") "add" (list "NET_BIND_SERVICE"))) $own }}
{{- end }}
{{- toYaml $own }}
{{- end }}

{{- /* Releases that reuse the values of an older chart have no type. */ -}}
{{- define "podinfo.probeType" -}}
{{- default "http" .Values.probes.type }}
{{- end }}

{{- /* A probe: (dict "root" . "probe" .Values.probes.liveness "path" "/healthz" "service" "liveness"). The path is for exec and http, the service for grpc. */ -}}
{{- define "podinfo.probe" -}}
{{- $type := include "podinfo.probeType" .root }}
{{- $path := print (include "podinfo.prefix" .root) .path }}
{{- if eq $type "exec" -}}
exec:
  command:
    - podcli
    - check
    - http
    - localhost:{{ .root.Values.service.httpPort }}{{ $path }}
{{- else if eq $type "grpc" -}}
grpc:
  port: {{ .root.Values.service.grpcPort }}
  {{- with .service }}
  service: {{ . }}
  {{- end }}
{{- else -}}
httpGet:
  path: {{ $path | toYaml }}
  port: http
{{- end }}
initialDelaySeconds: {{ .probe.initialDelaySeconds }}
timeoutSeconds: {{ .probe.timeoutSeconds }}
failureThreshold: {{ .probe.failureThreshold }}
successThreshold: {{ .probe.successThreshold }}
periodSeconds: {{ .probe.periodSeconds }}
{{- end }}

{{- /* The text of the fault scenario. JSON keeps numbers unchanged. */ -}}
{{- define "podinfo.scenario" -}}
{{- with .Values.faults.scenario }}
{{- kindIs "string" . | ternary . (toPrettyJson .) }}
{{- end }}
{{- end }}

{{- /* The config directory, and whether something is mounted there. */ -}}
{{- define "podinfo.configMounted" -}}
{{- if or .Values.config.files .Values.config.configMap .Values.config.secret }}true{{ end }}
{{- end }}

{{- define "podinfo.configPath" -}}
{{- default (ternary "/etc/podinfo/config" "" (eq (include "podinfo.configMounted" .) "true")) .Values.config.path }}
{{- end }}

{{- /* The names of the Jobs of hooks that neither Helm nor Kubernetes deletes after they have succeeded. */ -}}
{{- define "podinfo.lastingJobs" -}}
{{- range $name, $hook := .Values.hooks }}
{{- with $hook.job }}
{{- if and .enabled (kindIs "invalid" .ttlSecondsAfterFinished) (not (contains "hook-succeeded" (default "" .hookDeletePolicy))) }}
{{- print " " (include "podinfo.part" (list $ (kebabcase $name))) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
