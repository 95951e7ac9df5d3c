{{- /* Releases that reuse the values of an older chart have no proxy. */ -}}
{{- /* The command that puts podinfo in front of another service. Its probes and metrics stay on the HTTP port. */ -}}
{{- define "podinfo.proxyArgs" -}}
{{- with (default dict .Values.proxy).url -}}
- proxy
- {{ . | toYaml }}
- --proxy-all=false
{{- end }}
{{- end }}

{{- define "podinfo.checkProxy" -}}
{{- $proxy := default dict .Values.proxy }}
{{- if and $proxy.routes (not $proxy.url) }}
{{- fail "proxy.routes has no effect without proxy.url: set proxy.url too" }}
{{- end }}
{{- if and $proxy.url (include "podinfo.prefix" .) }}
{{- fail "prefix has no effect on the service behind proxy.url: remove it, or add it to proxy.url" }}
{{- end }}
{{- end }}
