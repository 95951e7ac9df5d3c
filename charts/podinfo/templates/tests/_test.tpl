{{- /*
A Pod of helm test: (dict "root" . "name" "grpc" "image" "…" "steps" (list (list "podcli" …) …)).
The steps run one after the other. Its name does not change, so that the delete policy finds the last one.
*/ -}}
{{- define "podinfo.test" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "podinfo.fullname" .root }}-{{ .name }}-test
  namespace: {{ include "podinfo.namespace" .root }}
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

{{- define "podinfo.testStep" -}}
- name: {{ .name }}
  image: {{ default (include "podinfo.image" .test.root) .test.image | quote }}
  imagePullPolicy: {{ .test.root.Values.image.pullPolicy }}
  securityContext:
    {{- include "podinfo.restricted" . | nindent 4 }}
  command:
    {{- toYaml .command | nindent 4 }}
{{- end }}
