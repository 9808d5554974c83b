{{/* What the worker's pod and the test's have in common. Each takes the root. */}}
{{- define "flowbridge.podLabels" -}}
{{- if eq .Values.config.identity.kind "workload" }}
azure.workload.identity/use: "true"
{{- end }}
{{- with .Values.podLabels }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{/* The Secret's checksum only where the chart makes it; flows' URLs are read again by the worker itself. */}}
{{- define "flowbridge.checksums" -}}
checksum/config: {{ printf "%s%s" (include "flowbridge.toml" .) (toJson .Values.configFiles) | sha256sum }}
{{- if not .Values.secrets.existingSecret }}
checksum/secret: {{ include "flowbridge.madeSecret" . | sha256sum }}
{{- end }}
{{- end -}}

{{- define "flowbridge.podSpec" -}}
serviceAccountName: {{ include "flowbridge.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.initContainers }}
initContainers:
  {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "flowbridge.fullname" . }}
      items:
        - key: flowbridge.toml
          path: flowbridge.toml
  {{- if .Values.configFiles }}
  - name: files
    configMap:
      name: {{ include "flowbridge.fullname" . }}-files
  {{- end }}
  {{- $keys := include "flowbridge.secretKeys" . | fromJson }}
  {{- with include "flowbridge.secretName" . }}
  - name: secrets
    secret:
      secretName: {{ . }}
      defaultMode: 0440
      items:
        {{- range without (concat (list $keys.connectionString $keys.adminToken) (values $keys.flowUrls)) "" | uniq | sortAlpha }}
        - key: {{ . | quote }}
          path: {{ . | quote }}
        {{- end }}
  {{- end }}
  - name: tmp
    emptyDir:
      sizeLimit: {{ .Values.tmpSize }}
  {{- with .Values.extraVolumes }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "flowbridge.container" -}}
image: {{ include "flowbridge.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
env:
  - name: FLOWBRIDGE_CONFIG
    value: /etc/flowbridge/config/flowbridge.toml
  # The image's own variable would win over the file.
  - name: FLOWBRIDGE_HTTP__HOST
    value: {{ .Values.config.http.host | quote }}
  - name: FLOWBRIDGE_LOG_LEVEL
    value: {{ .Values.logLevel }}
  {{- with .Values.extraEnv }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: /etc/flowbridge/config
    readOnly: true
  {{- if .Values.configFiles }}
  - name: files
    mountPath: /etc/flowbridge/files
    readOnly: true
  {{- end }}
  {{- if include "flowbridge.secretName" . }}
  - name: secrets
    mountPath: /etc/flowbridge/secrets
    readOnly: true
  {{- end }}
  - name: tmp
    mountPath: /tmp
  {{- with .Values.extraVolumeMounts }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
{{- end -}}
