{{- /*
A Pod of helm test: (dict "root" . "name" "grpc" "steps" (list (list "podcli" …) …)).
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

{{- /* Returns "true" if, by modules, a module is on: (list . "token"). */ -}}
{{- define "podinfo.on" -}}
{{- $module := index . 1 }}
{{- $on := true }}
{{- range (index . 0).Values.modules }}
{{- if has . (list "none" (print "-" $module)) }}
{{- $on = false }}
{{- else if has . (list "all" $module) }}
{{- $on = true }}
{{- end }}
{{- end }}
{{- if $on }}true{{ end }}
{{- end }}

{{- /*
Returns "true" if, by jwt.paths, a route requires a token: (list . "/cache/{key}"). A path to guard covers
what is below it, and / covers /api/info, which has the same handler.
*/ -}}
{{- define "podinfo.guarded" -}}
{{- $path := index . 1 }}
{{- $guarded := false }}
{{- $spared := false }}
{{- range (index . 0).Values.jwt.paths }}
{{- $text := trimPrefix "!" . | regexQuoteMeta | replace "\\*" ".*" }}
{{- if hasPrefix "!" . }}
{{- $spared = or $spared (regexMatch (printf "^%s$" $text) $path) }}
{{- else if or (regexMatch (printf "^%s(/.*)?$" $text) $path) (and (eq . "/") (eq $path "/api/info")) }}
{{- $guarded = true }}
{{- end }}
{{- end }}
{{- if and $guarded (not $spared) }}true{{ end }}
{{- end }}

{{- /* Returns "true" if /token issues tokens to everyone, and the guarded routes accept them. */ -}}
{{- define "podinfo.issues" -}}
{{- $other := regexMatch "(?i)jwt.(public.key|issuer)" (print (include "podinfo.envs" .) (include "podinfo.flags" .)) }}
{{- if and (include "podinfo.on" (list . "token")) (not (include "podinfo.guarded" (list . "/token"))) (not $other) (not (include "podinfo.configPath" .)) }}true{{ end }}
{{- end }}

{{- /* Returns how a test can call a route: "open", "token" with one of /token, or nothing: (list . "info" "/api/info"). */ -}}
{{- define "podinfo.access" -}}
{{- $root := index . 0 }}
{{- if include "podinfo.on" (list $root (index . 1)) }}
{{- if not (include "podinfo.guarded" (list $root (index . 2))) }}open
{{- else if include "podinfo.issues" $root }}token
{{- end }}
{{- end }}
{{- end }}

{{- /* The command that checks a route: (dict "root" . "url" "http://…" "path" "/api/info" "access" "token" "flags" (list "--insecure")). */ -}}
{{- define "podinfo.check" -}}
{{- $check := list "podcli" "check" "http" (print .url .path) "--retry=5" "--delay=2s" }}
{{- if eq .access "token" }}
{{- $check = append $check (printf "--token-url=%s/token" .url) }}
{{- end }}
{{- concat $check (default list .flags) | toYaml }}
{{- end }}

{{- /* A check that succeeds whatever modules are off: (list . "http://…" "--insecure"). Probes never require a token. */ -}}
{{- define "podinfo.testRequest" -}}
{{- $access := include "podinfo.access" (list (index . 0) "info" "/api/info") }}
{{- $check := dict "root" (index . 0) "url" (index . 1) "path" "/healthz" "access" "open" "flags" (slice . 2) }}
{{- if $access }}
{{- $check = merge (dict "path" "/api/info" "access" $access "flags" (append (slice . 2) "--expect-body=version")) $check }}
{{- end }}
{{- include "podinfo.check" $check }}
{{- end }}

{{- define "podinfo.testStep" -}}
- name: {{ .name }}
  image: {{ include "podinfo.image" .test.root | quote }}
  imagePullPolicy: {{ .test.root.Values.image.pullPolicy }}
  securityContext:
    {{- include "podinfo.restricted" . | nindent 4 }}
  command:
    {{- toYaml .command | nindent 4 }}
{{- end }}
