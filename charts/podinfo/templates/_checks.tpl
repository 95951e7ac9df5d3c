{{- /* Rejects combinations of values that have no effect, do not start, or are invalid for Kubernetes. */ -}}
{{- define "podinfo.checks" -}}
{{- with .Values }}
{{- if and .redis.enabled .memcached.enabled }}
{{- fail "redis.enabled and memcached.enabled are both true: choose one cache server" }}
{{- end }}
{{- if and .tls.grpc (not .tls.enabled) }}
{{- fail "tls.grpc has no effect without tls.enabled: set tls.enabled too" }}
{{- end }}
{{- if and .tls.clientCA (not .tls.enabled) }}
{{- fail "tls.clientCA has no effect without tls.enabled: set tls.enabled too" }}
{{- end }}
{{- if and .tls.grpcClientCA (not .tls.grpc) }}
{{- fail "tls.grpcClientCA has no effect without tls.grpc: set tls.grpc too" }}
{{- end }}
{{- if and .grpcRoute.enabled (not .service.grpcPort) }}
{{- fail "grpcRoute.enabled needs a port to route to: set service.grpcPort" }}
{{- end }}
{{- if and .hpa.enabled (or (lt (int .replicaCount) 1) (gt (int .replicaCount) (int .hpa.maxReplicas))) }}
{{- fail "replicaCount is the minimum number of Pods of the HPA: set it to a value from 1 to hpa.maxReplicas" }}
{{- end }}
{{- if gt (int (default 0 .faults.delayMin)) (int (default 5 .faults.delayMax)) }}
{{- fail "faults.delayMin is above faults.delayMax, which is 5 if it is empty: set both" }}
{{- end }}
{{- if and (eq (include "podinfo.probeType" $) "grpc") (not .service.grpcPort) }}
{{- fail "probes.type grpc needs a port to probe: set service.grpcPort" }}
{{- end }}
{{- if and (eq (include "podinfo.probeType" $) "grpc") .tls.grpc }}
{{- fail "probes.type is grpc, which the kubelet does not speak over TLS: set probes.type to http or exec, or tls.grpc to false" }}
{{- end }}
{{- if and (eq (include "podinfo.probeType" $) "grpc") (not (include "podinfo.on" (list $ "grpc-server"))) }}
{{- fail "probes.type is grpc, and modules turns grpc-server off: set probes.type to http or exec" }}
{{- end }}
{{- if and (ne (include "podinfo.probeType" $) "exec") (regexMatch "^(localhost|127\\..*|\\[?::1\\]?)$" (default "" .host)) }}
{{- fail (printf "host is %s, where only the container itself can reach podinfo: set probes.type to exec" .host) }}
{{- end }}
{{- with .updateStrategy }}
{{- if and (eq .type "RollingUpdate") (has (toString .rollingUpdate.maxUnavailable) (list "0" "0%")) (has (toString .rollingUpdate.maxSurge) (list "0" "0%")) }}
{{- fail "updateStrategy.rollingUpdate.maxUnavailable and maxSurge are both 0, so no Pod could be replaced: set one of them" }}
{{- end }}
{{- end }}
{{- $tlsPort := and .tls.enabled .tls.port }}
{{- include "podinfo.checkPorts" (dict "service.httpPort" .service.httpPort "service.metricsPort" .service.metricsPort "service.grpcPort" .service.grpcPort "tls.port" $tlsPort) }}
{{- if .service.enabled }}
{{- include "podinfo.checkPorts" (dict "service.externalPort" .service.externalPort "service.grpcPort" .service.grpcPort "tls.port" $tlsPort) }}
{{- end }}
{{- end }}
{{- include "podinfo.checkProxy" . }}
{{- include "podinfo.checkSettings" . }}
{{- include "podinfo.checkJWT" . }}
{{- end }}

{{- /* Fails if two ports are equal. The argument maps names of values to ports; empty or 0 opens no port. */ -}}
{{- define "podinfo.checkPorts" -}}
{{- $names := dict }}
{{- range $name, $port := . }}
{{- if $port }}
{{- $port = toString (int $port) }}
{{- if hasKey $names $port }}
{{- fail (printf "%s and %s are both %s: choose different ports" (get $names $port) $name $port) }}
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
{{- fail (printf "settings.%s has no effect: the chart passes %s, so set the value for it instead, such as logLevel" $name .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The key may come from the values of jwt, another variable, a flag or a config file. */ -}}
{{- define "podinfo.checkJWT" -}}
{{- if and .Values.jwt.audience (not .Values.jwt.publicKey) (not (include "podinfo.configPath" .)) (not (regexMatch "(?i)jwt.public.key" (print (include "podinfo.envs" .) (include "podinfo.flags" .)))) }}
{{- fail "jwt.audience needs the keys of another issuer, as tokens of /token have no audience: set jwt.publicKey" }}
{{- end }}
{{- $given := print (include "podinfo.envs" .) (include "podinfo.flags" .) | lower | replace "_" "-" }}
{{- if and .Values.jwt.paths (not (include "podinfo.configPath" .)) (not (regexMatch "jwt-(secret|public-key)" $given)) }}
{{- fail "jwt.paths needs a key, as the default key is public: set jwt.secret, jwt.secretName or jwt.publicKey" }}
{{- end }}
{{- end }}
