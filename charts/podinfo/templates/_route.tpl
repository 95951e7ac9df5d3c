{{- /* A Gateway API route: (dict "root" . "kind" "HTTPRoute" "values" .Values.httpRoute "port" 9898). */ -}}
{{- define "podinfo.route" -}}
apiVersion: gateway.networking.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ include "podinfo.fullname" .root }}
  namespace: {{ include "podinfo.namespace" .root }}
  labels:
    {{- include "podinfo.labels" .root | nindent 4 }}
    {{- with .values.additionalLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
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
