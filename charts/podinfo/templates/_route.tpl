{{- /* A Gateway API route: (dict "root" . "kind" "HTTPRoute" "values" .Values.httpRoute "port" 9898). */ -}}
{{- define "podinfo.route" -}}
apiVersion: gateway.networking.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ include "podinfo.fullname" .root | toYaml }}
  namespace: {{ include "podinfo.namespace" .root | toYaml }}
  labels:
    {{- include "podinfo.moreLabels" (list (include "podinfo.labels" .root) .values.additionalLabels) | nindent 4 }}
  {{- with .values.annotations }}
  annotations:
    {{- include "podinfo.strings" . | nindent 4 }}
  {{- end }}
spec:
  {{- with .values.parentRefs }}
  parentRefs:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.hostnames }}
  hostnames:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    {{- range default (list dict) .values.rules }}
    {{- $backend := dict "name" (include "podinfo.fullname" $.root) "port" $.port "weight" 1 }}
    {{- $rule := hasKey . "backendRefs" | ternary . (merge (dict "backendRefs" (list $backend)) .) }}
    - {{ toYaml $rule | indent 6 | trim }}
    {{- end }}
{{- end }}
