{{- /* Values that do not go together: something would have no effect, or not start, or Kubernetes would refuse it. */ -}}
{{- define "podinfo.checks" -}}
{{- with .Values }}
{{- if and .redis.enabled .memcached.enabled }}
{{- fail "redis.enabled and memcached.enabled: the cache has one server" }}
{{- end }}
{{- if and .tls.grpc (not .tls.enabled) }}
{{- fail "tls.grpc without tls.enabled: gRPC would be served without TLS" }}
{{- end }}
{{- if and .tls.grpcClientCA (not .tls.grpc) }}
{{- fail "tls.grpcClientCA without tls.grpc: no certificate would be asked for" }}
{{- end }}
{{- if and .grpcRoute.enabled (not .service.grpcPort) }}
{{- fail "grpcRoute.enabled without service.grpcPort: there is no port to route to" }}
{{- end }}
{{- if and .hpa.enabled (or (lt (int .replicaCount) 1) (gt (int .replicaCount) (int .hpa.maxReplicas))) }}
{{- fail "hpa.enabled: replicaCount is the least number of Pods, from 1 to hpa.maxReplicas" }}
{{- end }}
{{- $tlsPort := and .tls.enabled .tls.port }}
{{- include "podinfo.checkPorts" (dict "service.httpPort" .service.httpPort "service.metricsPort" .service.metricsPort "service.grpcPort" .service.grpcPort "tls.port" $tlsPort) }}
{{- if .service.enabled }}
{{- include "podinfo.checkPorts" (dict "service.externalPort" .service.externalPort "service.grpcPort" .service.grpcPort "tls.port" $tlsPort) }}
{{- end }}
{{- end }}
{{- include "podinfo.checkSettings" . }}
{{- include "podinfo.checkJWT" . }}
{{- end }}

{{- /* Ports by the names of their values; one that is empty or 0 is not opened. */ -}}
{{- define "podinfo.checkPorts" -}}
{{- $names := dict }}
{{- range $name, $port := . }}
{{- if $port }}
{{- $port = toString (int $port) }}
{{- if hasKey $names $port }}
{{- fail (printf "%s and %s are both %s" (get $names $port) $name $port) }}
{{- end }}
{{- $_ := set $names $port $name }}
{{- end }}
{{- end }}
{{- end }}

{{- define "podinfo.checkSettings" -}}
{{- $flags := include "podinfo.flags" . | fromYamlArray }}
{{- range $name, $_ := .Values.settings }}
{{- $flag := $name | lower | replace "_" "-" | printf "--%s" }}
{{- range $flags }}
{{- if or (eq . $flag) (hasPrefix (print $flag "=") .) }}
{{- fail (printf "settings.%s has no effect, as the chart gives %s: use the value that says it, such as logLevel" $name .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The key may come from jwt's values, another variable, a flag or a config file. */ -}}
{{- define "podinfo.checkJWT" -}}
{{- $given := print (include "podinfo.envs" .) (include "podinfo.flags" .) | lower | replace "_" "-" }}
{{- if and .Values.jwt.paths (not (include "podinfo.configPath" .)) (not (regexMatch "jwt-(secret|public-key)" $given)) }}
{{- fail "jwt.paths without jwt.secret, jwt.secretName or jwt.publicKey: podinfo does not trust tokens that everyone can sign" }}
{{- end }}
{{- end }}
