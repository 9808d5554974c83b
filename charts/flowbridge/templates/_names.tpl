{{/*
Names. The full name is at most 52 characters, so that KEDA's HPA (keda-hpa-NAME, from 54 on too long) and every suffix
of the chart's fit; what is cut ends in a digest, so that two long names never become one.
*/}}
{{- define "flowbridge.name" -}}
{{- include "flowbridge.cut" (default .Chart.Name .Values.nameOverride) -}}
{{- end -}}

{{- define "flowbridge.fullname" -}}
{{- $name := include "flowbridge.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- include "flowbridge.cut" .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- include "flowbridge.cut" .Release.Name -}}
{{- else -}}
{{- include "flowbridge.cut" (printf "%s-%s" .Release.Name $name) -}}
{{- end -}}
{{- end -}}

{{- define "flowbridge.cut" -}}
{{- if gt (len .) 52 -}}
{{- printf "%s-%s" (. | trunc 43 | trimSuffix "-") (sha256sum . | trunc 8) -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- define "flowbridge.selectorLabels" -}}
app.kubernetes.io/name: {{ include "flowbridge.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The pods of the Deployment, not the test's. */}}
{{- define "flowbridge.workerLabels" -}}
{{ include "flowbridge.selectorLabels" . }}
app.kubernetes.io/component: worker
{{- end -}}

{{- define "flowbridge.doorLabels" -}}
{{ include "flowbridge.selectorLabels" . }}
app.kubernetes.io/component: door
{{- end -}}

{{/* Cut as a whole: Kubernetes labels a StatefulSet's pods with its name and ten characters more, of 63. */}}
{{- define "flowbridge.doorName" -}}
{{- include "flowbridge.cut" (printf "%s-door" (include "flowbridge.fullname" .)) -}}
{{- end -}}

{{- define "flowbridge.doorPeersName" -}}
{{- printf "%s-peers" (include "flowbridge.doorName" .) -}}
{{- end -}}

{{- define "flowbridge.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "flowbridge.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Metadata of an object: name, namespace, labels, annotations. Takes root, name, and maybe namespace, labels, annotations. */}}
{{- define "flowbridge.metadata" -}}
{{- $labels := merge (dict) (.labels | default dict) (include "flowbridge.labels" .root | fromYaml) -}}
{{- $annotations := merge (dict) (.annotations | default dict) .root.Values.commonAnnotations -}}
name: {{ .name }}
namespace: {{ default .root.Release.Namespace .namespace }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "flowbridge.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "flowbridge.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "flowbridge.doorServiceAccountName" -}}
{{- $account := .Values.door.serviceAccount -}}
{{- if $account.create -}}
{{- default (include "flowbridge.doorName" .) $account.name -}}
{{- else -}}
{{- default (include "flowbridge.serviceAccountName" .) $account.name -}}
{{- end -}}
{{- end -}}

{{/* By which workload identity's webhook knows a ServiceAccount. Takes root, and clientId. */}}
{{- define "flowbridge.identityAnnotations" -}}
{{- if eq .root.Values.config.identity.kind "workload" }}
{{- with .clientId }}
azure.workload.identity/client-id: {{ . | quote }}
{{- end }}
{{- with .root.Values.workloadIdentity.tenantId }}
azure.workload.identity/tenant-id: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "flowbridge.image" -}}
{{- $image := .Values.image -}}
{{- $repository := ternary (printf "%s/%s" $image.registry $image.repository) $image.repository (ne $image.registry "") -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "flowbridge.isAutoscaled" -}}
{{- if or .Values.autoscaling.keda.enabled .Values.autoscaling.hpa.enabled -}}true{{- end -}}
{{- end -}}

{{/* Label matchers of the workers' series, as their PodMonitor makes them, and of the doors'. */}}
{{- define "flowbridge.series" -}}
{{- include "flowbridge.seriesOf" (dict "root" . "monitor" (include "flowbridge.fullname" .)) -}}
{{- end -}}

{{- define "flowbridge.doorSeries" -}}
{{- include "flowbridge.seriesOf" (dict "root" . "monitor" (include "flowbridge.doorName" .)) -}}
{{- end -}}

{{- define "flowbridge.seriesOf" -}}
{{- with .root.Values.prometheusRule.selector -}}
{{- . -}}
{{- else -}}
{{- printf "namespace=%q,job=%q" .root.Release.Namespace (printf "%s/%s" .root.Release.Namespace .monitor) -}}
{{- end -}}
{{- end -}}
