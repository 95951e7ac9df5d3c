{{- /* Gives values the types that the templates expect. Helm's --set, and values that come from other tools, make text of numbers and booleans, and the other way round. Every template calls it first. */ -}}
{{- define "podinfo.normalize" -}}
{{- $bool := splitList " " "faults.delay faults.error faults.unhealthy faults.unready faults.testFail faults.testTimeout service.enabled h2c.enabled tls.enabled tls.grpc tls.grpcClientCA certificate.create hpa.enabled redis.enabled memcached.enabled serviceAccount.enabled serviceAccount.automount ingress.enabled httpRoute.enabled grpcRoute.enabled networkPolicy.enabled networkPolicy.egress.enabled serviceMonitor.enabled prometheusRule.enabled dashboard.enabled probes.readiness.enable probes.liveness.enable probes.startup.enable hooks.preInstall.job.enabled hooks.postInstall.job.enabled hooks.preDelete.job.enabled hooks.postDelete.job.enabled hooks.preUpgrade.job.enabled hooks.postUpgrade.job.enabled hooks.preRollback.job.enabled hooks.postRollback.job.enabled" }}
{{- $int := splitList " " "replicaCount faults.delayMin faults.delayMax faults.stressCPU faults.stressMemory service.metricsPort service.httpPort service.externalPort service.grpcPort service.nodePort service.hostPort tls.port tls.hostPort hpa.maxReplicas hpa.cpu probes.readiness.initialDelaySeconds probes.readiness.timeoutSeconds probes.readiness.failureThreshold probes.readiness.successThreshold probes.readiness.periodSeconds probes.liveness.initialDelaySeconds probes.liveness.timeoutSeconds probes.liveness.failureThreshold probes.liveness.successThreshold probes.liveness.periodSeconds probes.startup.initialDelaySeconds probes.startup.timeoutSeconds probes.startup.failureThreshold probes.startup.successThreshold probes.startup.periodSeconds hooks.preInstall.job.ttlSecondsAfterFinished hooks.preInstall.job.sleepSeconds hooks.preInstall.job.exitCode hooks.postInstall.job.ttlSecondsAfterFinished hooks.postInstall.job.sleepSeconds hooks.postInstall.job.exitCode hooks.preDelete.job.ttlSecondsAfterFinished hooks.preDelete.job.sleepSeconds hooks.preDelete.job.exitCode hooks.postDelete.job.ttlSecondsAfterFinished hooks.postDelete.job.sleepSeconds hooks.postDelete.job.exitCode hooks.preUpgrade.job.ttlSecondsAfterFinished hooks.preUpgrade.job.sleepSeconds hooks.preUpgrade.job.exitCode hooks.postUpgrade.job.ttlSecondsAfterFinished hooks.postUpgrade.job.sleepSeconds hooks.postUpgrade.job.exitCode hooks.preRollback.job.ttlSecondsAfterFinished hooks.preRollback.job.sleepSeconds hooks.preRollback.job.exitCode hooks.postRollback.job.ttlSecondsAfterFinished hooks.postRollback.job.sleepSeconds hooks.postRollback.job.exitCode" }}
{{- $text := splitList " " "nameOverride fullnameOverride namespaceOverride ui.color ui.message ui.logo service.grpcService config.name config.configMap config.secret tls.secretName jwt.secretName jwt.issuer otel.serviceName otel.sampler serviceAccount.name ingress.className priorityClassName" }}
{{- $list := splitList " " "backends modules faults.errorCodes faults.errorGRPCCodes proxy.routes jwt.paths" }}
{{- range $kind, $paths := dict "bool" $bool "int" $int "text" $text "list" $list }}
{{- range $paths }}
{{- $at := $.Values }}
{{- $names := splitList "." . }}
{{- range initial $names }}
{{- $at = default dict (index $at .) }}
{{- end }}
{{- $name := last $names }}
{{- $value := index $at $name }}
{{- if and (eq $kind "bool") (kindIs "string" $value) }}
{{- $_ := set $at $name (has (lower $value) (list "1" "t" "true")) }}
{{- else if and (eq $kind "int") (kindIs "string" $value) }}
{{- $_ := set $at $name (ternary nil (int64 $value) (eq $value "")) }}
{{- else if and (eq $kind "text") (not (kindIs "string" $value)) (not (kindIs "invalid" $value)) }}
{{- $_ := set $at $name (include "podinfo.scalar" $value) }}
{{- else if and (eq $kind "list") (kindIs "string" $value) }}
{{- $_ := set $at $name (regexSplit "\\s*,\\s*" (trim $value) -1 | compact) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
