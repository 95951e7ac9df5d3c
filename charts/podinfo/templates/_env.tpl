{{- /* The environment of podinfo. The last of several entries for a variable wins: the user's. */ -}}
{{- define "podinfo.envs" -}}
{{- $all := concat (include "podinfo.ownEnvs" . | fromYamlArray) (default list .Values.extraEnvs) }}
{{- $last := dict }}
{{- range $i, $env := $all }}
{{- $_ := set $last $env.name $i }}
{{- end }}
{{- $out := list }}
{{- range $i, $env := $all }}
{{- if eq $i (get $last $env.name) }}
{{- $out = append $out $env }}
{{- end }}
{{- end }}
{{- toYaml $out }}
{{- end }}

{{- /* The variables that the values set, then those of settings. */ -}}
{{- define "podinfo.ownEnvs" -}}
{{- include "podinfo.podEnvs" . }}
{{- include "podinfo.env" (list "PODINFO_UI_COLOR" .Values.ui.color) }}
{{- include "podinfo.env" (list "PODINFO_UI_MESSAGE" .Values.ui.message) }}
{{- include "podinfo.env" (list "PODINFO_UI_LOGO" .Values.ui.logo) }}
{{- include "podinfo.env" (list "PODINFO_BACKEND_URL" .Values.backend) }}
{{- include "podinfo.env" (list "PODINFO_MODULES" (join "," .Values.modules)) }}
{{- include "podinfo.faultEnvs" .Values.faults }}
{{- include "podinfo.env" (list "PODINFO_PROXY_ROUTES" (join "," (default dict .Values.proxy).routes)) }}
{{- include "podinfo.jwtEnvs" . }}
{{- if .Values.tls.enabled }}
{{- include "podinfo.env" (list "PODINFO_CLIENT_CA" (ternary (printf "%s/ca.crt" .Values.tls.certPath) "" .Values.tls.clientCA)) }}
{{- include "podinfo.env" (list "PODINFO_GRPC_TLS" (ternary true "" .Values.tls.grpc)) }}
{{- include "podinfo.env" (list "PODINFO_GRPC_CLIENT_CA" (ternary (printf "%s/ca.crt" .Values.tls.certPath) "" (and .Values.tls.grpc .Values.tls.grpcClientCA))) }}
{{- end }}
{{- include "podinfo.otelEnvs" . }}
{{- range $name, $value := .Values.settings }}
{{- include "podinfo.env" (list (printf "PODINFO_%s" $name) $value) }}
{{- end }}
{{- end }}

{{- define "podinfo.faultEnvs" -}}
{{- include "podinfo.env" (list "PODINFO_RANDOM_DELAY_MIN" .delayMin) }}
{{- include "podinfo.env" (list "PODINFO_RANDOM_DELAY_MAX" .delayMax) }}
{{- include "podinfo.env" (list "PODINFO_RANDOM_DELAY_UNIT" .delayUnit) }}
{{- include "podinfo.env" (list "PODINFO_RANDOM_ERROR_RATE" .errorRate) }}
{{- include "podinfo.env" (list "PODINFO_RANDOM_ERROR_CODES" (join "," .errorCodes)) }}
{{- include "podinfo.env" (list "PODINFO_RANDOM_ERROR_GRPC_CODES" (join "," .errorGRPCCodes)) }}
{{- include "podinfo.env" (list "PODINFO_SEED" .seed) }}
{{- if .scenario }}
{{- include "podinfo.env" (list "PODINFO_FAULTS_ENABLED" true) }}
{{- include "podinfo.env" (list "PODINFO_FAULTS_FILE" "/etc/podinfo/faults/scenario.yaml") }}
{{- end }}
{{- include "podinfo.env" (list "PODINFO_STRESS_CPU" (default "" .stressCPU)) }}
{{- include "podinfo.env" (list "PODINFO_STRESS_MEMORY" (default "" .stressMemory)) }}
{{- end }}

{{- define "podinfo.jwtEnvs" -}}
{{- with .Values.jwt }}
{{- if or .secret .secretName }}
- name: PODINFO_JWT_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ default (include "podinfo.part" (list $ "jwt")) .secretName | toYaml }}
      key: {{ .secretKey | toYaml }}
{{- end }}
{{- include "podinfo.env" (list "PODINFO_JWT_ENABLED" (ternary "" true (empty .paths))) }}
{{- include "podinfo.env" (list "PODINFO_JWT_PATHS" (join "," .paths)) }}
{{- include "podinfo.env" (list "PODINFO_JWT_ISSUER" .issuer) }}
{{- include "podinfo.env" (list "PODINFO_JWT_AUDIENCE" (join "," .audience)) }}
{{- include "podinfo.env" (list "PODINFO_JWT_PUBLIC_KEY_FILE" (ternary "" "/etc/podinfo/jwt/key.pem" (empty .publicKey))) }}
{{- end }}
{{- end }}

{{- /* What a Pod tells about itself in the resource of its telemetry. */ -}}
{{- define "podinfo.podEnvs" }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_TEMPLATE_HASH
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['pod-template-hash']"}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- end }}

{{- define "podinfo.otelEnvs" -}}
{{- with .Values.otel }}
{{- if or .serviceName .endpoint }}
{{- $attributes := list }}
{{- range $name, $value := .resourceAttributes }}
{{- $attributes = append $attributes (printf "%s=%s" $name (include "podinfo.scalar" $value)) }}
{{- end }}
{{- include "podinfo.env" (list "OTEL_RESOURCE_ATTRIBUTES" (join "," $attributes)) }}
{{- include "podinfo.env" (list "PODINFO_OTEL_SERVICE_NAME" (default (include "podinfo.fullname" $) .serviceName)) }}
{{- include "podinfo.env" (list "OTEL_EXPORTER_OTLP_ENDPOINT" .endpoint) }}
{{- include "podinfo.env" (list "OTEL_EXPORTER_OTLP_PROTOCOL" .protocol) }}
{{- include "podinfo.env" (list "OTEL_TRACES_SAMPLER" .sampler) }}
{{- include "podinfo.env" (list "OTEL_TRACES_SAMPLER_ARG" .samplerArg) }}
{{- end }}
{{- end }}
{{- end }}
