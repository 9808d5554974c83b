{{/*
What a busy pod holds, and a second's work waiting: 0.7 × its requests a second × (flow time + 1 s), where slots or one
core for each process (1,000 requests a second) bind. The project's README, "How many", says why.
*/}}
{{- define "flowbridge.messageCount" -}}
{{- $keda := .Values.autoscaling.keda -}}
{{- $worker := .Values.config.worker -}}
{{- if kindIs "invalid" $keda.messageCount -}}
{{- $rate := minf (divf $worker.concurrency $keda.flowSeconds) (mulf 1000 $worker.processes) -}}
{{- max 1 (mulf 0.7 $rate (addf $keda.flowSeconds 1) | floor | int) -}}
{{- else -}}
{{- int $keda.messageCount -}}
{{- end -}}
{{- end -}}

{{/* The namespace's short name, and what Azure cloud its suffix belongs to: KEDA wants both apart. */}}
{{- define "flowbridge.keda.namespace" -}}
{{- $host := regexReplaceAll ":[0-9]+$" .Values.config.servicebus.namespace "" -}}
{{- $suffix := regexReplaceAll "^[^.]*[.]" $host "" -}}
namespace: {{ regexFind "^[^.]+" $host | quote }}
{{- if eq $suffix "servicebus.usgovcloudapi.net" }}
cloud: AzureUSGovernmentCloud
{{- else if eq $suffix "servicebus.chinacloudapi.cn" }}
cloud: AzureChinaCloud
{{- else if ne $suffix "servicebus.windows.net" }}
cloud: Private
endpointSuffix: {{ $suffix | quote }}
{{- end }}
{{- end -}}

{{/* Takes root, and entity: the metadata that names it. */}}
{{- define "flowbridge.keda.trigger" -}}
- type: azure-servicebus
  useCachedMetrics: {{ .root.Values.autoscaling.keda.useCachedMetrics }}
  metadata:
    {{- toYaml .entity | nindent 4 }}
    {{- if .root.Values.config.servicebus.namespace }}
    {{- include "flowbridge.keda.namespace" .root | nindent 4 }}
    {{- end }}
    messageCount: {{ include "flowbridge.messageCount" .root | quote }}
    activationMessageCount: {{ .root.Values.autoscaling.keda.activationMessageCount | int | quote }}
  authenticationRef:
    name: {{ include "flowbridge.fullname" .root }}
{{- end -}}

{{/* A pod with several processes has several series: the worst of them speaks for it. */}}
{{- define "flowbridge.waitUsedQuery" -}}
{{- default (printf "sum(max by (pod) (flowbridge_wait_used_ratio{%s}))" (include "flowbridge.series" .)) .Values.autoscaling.keda.prometheus.query -}}
{{- end -}}

{{/* Who goes is picked blindly and has to drain first, so one at a time. */}}
{{- define "flowbridge.scalingBehavior" -}}
{{- $down := .Values.autoscaling.scaleDown -}}
scaleDown:
  stabilizationWindowSeconds: {{ $down.stabilizationSeconds }}
  policies:
    - type: Pods
      value: {{ $down.pods }}
      periodSeconds: {{ default (ceil .Values.config.worker.grace_s) $down.periodSeconds | int | max 15 | min 1800 }}
{{- with .Values.autoscaling.scaleUp }}
scaleUp:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
