{{- /* The objects' name: the release's if it says podinfo, else both. */ -}}
{{- define "podinfo.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $full .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "podinfo.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "podinfo.selectorLabels" -}}
app.kubernetes.io/name: {{ include "podinfo.fullname" . }}
{{- end }}

{{- /* Labels of every object but the name, which selects Pods. */ -}}
{{- define "podinfo.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "podinfo.labels" -}}
{{ include "podinfo.commonLabels" . }}
{{ include "podinfo.selectorLabels" . }}
{{- end }}

{{- /* Labels of what is of podinfo but must not be taken for it: (list . "redis"). */ -}}
{{- define "podinfo.partLabels" -}}
{{- $name := printf "%s-%s" (include "podinfo.fullname" (index . 0)) (index . 1) -}}
{{ include "podinfo.commonLabels" (index . 0) }}
app.kubernetes.io/name: {{ $name }}
app: {{ $name }}
{{- end }}

{{- define "podinfo.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- /* A digest names another image than the one with the shell: leave it off. */ -}}
{{- define "podinfo.shellImage" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag | splitList "@" | first }}
{{- default .Values.image.repository .Values.shellImage.repository }}:{{ default (printf "%s-shell" $tag) .Values.shellImage.tag }}
{{- end }}

{{- define "podinfo.serviceAccountName" -}}
{{- default (include "podinfo.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "podinfo.tlsSecretName" -}}
{{- default (printf "%s-tls" (include "podinfo.fullname" .)) .Values.tls.secretName }}
{{- end }}

{{- /* The path of a route under the prefix: "" for the prefix /. */ -}}
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
{{- printf "tcp://%s-redis:6379" (include "podinfo.fullname" .) }}
{{- else if .Values.memcached.enabled }}
{{- printf "memcached://%s-memcached:11211" (include "podinfo.fullname" .) }}
{{- end }}
{{- end }}

{{- /* A number of a values file is a float, which prints 1e+06. */ -}}
{{- define "podinfo.scalar" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* An environment variable, unless its value is empty: (list "NAME" value). */ -}}
{{- define "podinfo.env" -}}
{{- $value := index . 1 }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- name: {{ index . 0 }}
  value: {{ include "podinfo.scalar" $value | quote }}
{{- end }}
{{- end }}

{{- /* What the restricted Pod Security level accepts. */ -}}
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

{{- define "podinfo.probe" -}}
exec:
  command:
    - podcli
    - check
    - http
    - localhost:{{ .port }}{{ .path }}
initialDelaySeconds: {{ .probe.initialDelaySeconds }}
timeoutSeconds: {{ .probe.timeoutSeconds }}
failureThreshold: {{ .probe.failureThreshold }}
successThreshold: {{ .probe.successThreshold }}
periodSeconds: {{ .probe.periodSeconds }}
{{- end }}

{{- /* The text of the scenario of faults. As JSON, numbers stay as they are. */ -}}
{{- define "podinfo.scenario" -}}
{{- with .Values.faults.scenario }}
{{- kindIs "string" . | ternary . (toPrettyJson .) }}
{{- end }}
{{- end }}

{{- /* Whether something is mounted as the config directory, and where that is. */ -}}
{{- define "podinfo.configMounted" -}}
{{- if or .Values.config.files .Values.config.configMap .Values.config.secret }}true{{ end }}
{{- end }}

{{- define "podinfo.configPath" -}}
{{- default (ternary "/etc/podinfo/config" "" (eq (include "podinfo.configMounted" .) "true")) .Values.config.path }}
{{- end }}
