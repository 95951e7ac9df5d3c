{{- /*
A Pod of helm test: (dict "root" . "name" "grpc" "image" "…" "steps" (list (list "podcli" …) …)).
The steps run one after the other. The name is constant, so that the delete policy finds the previous Pod.
*/ -}}
{{- define "podinfo.test" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "podinfo.part" (list .root (printf "%s-test" .name)) }}
  namespace: {{ include "podinfo.namespace" .root | toYaml }}
  labels:
    {{- include "podinfo.partLabels" (list .root "test") | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    sidecar.istio.io/inject: "false"
    linkerd.io/inject: disabled
    appmesh.k8s.aws/sidecarInjectorWebhook: disabled
spec:
  restartPolicy: Never
  enableServiceLinks: false
  automountServiceAccountToken: false
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with initial .steps }}
  initContainers:
    {{- range $i, $step := . }}
    {{- include "podinfo.testStep" (dict "test" $ "name" (printf "step-%d" (add1 $i)) "command" $step) | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    {{- include "podinfo.testStep" (dict "test" . "name" .name "command" (last .steps)) | nindent 4 }}
{{- end }}

{{- /*
Returns "true" if, by modules and jwt.paths, a module is on and its route requires no token. A path to
guard covers what is below it, and / covers /api/info, which has the same handler:
(list . "token" "/token").
*/ -}}
{{- define "podinfo.open" -}}
{{- $module := index . 1 }}
{{- $path := index . 2 }}
{{- $on := true }}
{{- $guarded := false }}
{{- $spared := false }}
{{- with (index . 0).Values }}
{{- range .modules }}
{{- if has . (list "none" (print "-" $module)) }}
{{- $on = false }}
{{- else if has . (list "all" $module) }}
{{- $on = true }}
{{- end }}
{{- end }}
{{- range .jwt.paths }}
{{- $text := trimPrefix "!" . | regexQuoteMeta | replace "\\*" ".*" }}
{{- if hasPrefix "!" . }}
{{- $spared = or $spared (regexMatch (printf "^%s$" $text) $path) }}
{{- else if or (regexMatch (printf "^%s(/.*)?$" $text) $path) (and (eq . "/") (eq $path "/api/info")) }}
{{- $guarded = true }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $on (or $spared (not $guarded)) }}true{{ end }}
{{- end }}

{{- /* A check that succeeds whatever modules are off: (list . "http://…"). Probes never require a token. */ -}}
{{- define "podinfo.testRequest" -}}
{{- $check := printf "podcli check http %s/healthz --retry=5 --delay=2s" (index . 1) }}
{{- if include "podinfo.open" (list (index . 0) "info" "/api/info") }}
{{- $check = printf "podcli check http %s/api/info --retry=5 --delay=2s --expect-body=version" (index . 1) }}
{{- end }}
{{- splitList " " $check | toYaml }}
{{- end }}

{{- define "podinfo.testStep" -}}
- name: {{ .name }}
  image: {{ default (include "podinfo.image" .test.root) .test.image | quote }}
  imagePullPolicy: {{ .test.root.Values.image.pullPolicy }}
  securityContext:
    {{- include "podinfo.restricted" . | nindent 4 }}
  command:
    {{- toYaml .command | nindent 4 }}
{{- end }}
