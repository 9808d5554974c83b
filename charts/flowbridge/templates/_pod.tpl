{{/* What the pods of worker, door and test have in common. Each takes the root, unless it says more. */}}
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

{{/* Takes root, labels (which its own objects select by), and checksums. */}}
{{- define "flowbridge.podMetadata" -}}
labels:
  {{- merge (dict) .labels (include "flowbridge.podLabels" .root | fromYaml) (include "flowbridge.labels" .root | fromYaml) | toYaml | nindent 2 }}
annotations:
  {{- toYaml .checksums | nindent 2 }}
  kubectl.kubernetes.io/default-container: flowbridge
  {{- with merge (dict) .root.Values.podAnnotations .root.Values.commonAnnotations }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Takes root, labels, and key: the label that tells revisions apart. */}}
{{- define "flowbridge.topologySpread" -}}
{{- with .root.Values.topologySpread }}
{{- if and .enabled .topologyKeys }}
topologySpreadConstraints:
  {{- range .topologyKeys }}
  - topologyKey: {{ . }}
    maxSkew: {{ $.root.Values.topologySpread.maxSkew }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    matchLabelKeys: [{{ $.key }}]
    labelSelector:
      matchLabels:
        {{- toYaml $.labels | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* On the port that `http` names. */}}
{{- define "flowbridge.probes" -}}
startupProbe:
  httpGet: { path: /livez, port: http }
  {{- toYaml .Values.probes.startup | nindent 2 }}
livenessProbe:
  httpGet: { path: /livez, port: http }
  {{- toYaml .Values.probes.live | nindent 2 }}
readinessProbe:
  httpGet: { path: /readyz, port: http }
  {{- toYaml .Values.probes.ready | nindent 2 }}
{{- end -}}

{{/* Takes root, and maybe isDoor. */}}
{{- define "flowbridge.podSpec" -}}
{{- $isDoor := .isDoor -}}
{{- with .root -}}
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
  {{- tpl (toYaml .) $.root | nindent 2 }}
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
  {{- tpl (toYaml .) $.root | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "flowbridge.fullname" . }}
      items:
        - key: {{ ternary "door.toml" "flowbridge.toml" (not (empty $isDoor)) }}
          path: flowbridge.toml
  {{- if .Values.configFiles }}
  - name: files
    configMap:
      name: {{ include "flowbridge.fullname" . }}-files
  {{- end }}
  {{- with include "flowbridge.mountedKeys" $ | fromJsonArray }}
  - name: secrets
    secret:
      secretName: {{ include "flowbridge.secretName" $.root }}
      defaultMode: 0440
      items:
        {{- range . }}
        - key: {{ . | quote }}
          path: {{ . | quote }}
        {{- end }}
  {{- end }}
  - name: tmp
    emptyDir:
      sizeLimit: {{ .Values.tmpSize }}
  {{- with .Values.extraVolumes }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Takes root, resources, and maybe env and isDoor. */}}
{{- define "flowbridge.container" -}}
{{- $more := .env -}}
{{- $resources := .resources -}}
{{- with .root -}}
image: {{ include "flowbridge.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- with $resources }}
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
  {{- with $more }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- tpl (toYaml .) $.root | nindent 2 }}
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
  {{- if include "flowbridge.mountedKeys" $ | fromJsonArray }}
  - name: secrets
    mountPath: /etc/flowbridge/secrets
    readOnly: true
  {{- end }}
  - name: tmp
    mountPath: /tmp
  {{- with .Values.extraVolumeMounts }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}
