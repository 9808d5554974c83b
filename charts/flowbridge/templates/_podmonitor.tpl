{{/* Takes root, name, and selects: labels. */}}
{{- define "flowbridge.podMonitor" -}}
{{- with .root.Values.podMonitor -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  {{- include "flowbridge.metadata" (dict "root" $.root "name" $.name "labels" .labels) | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- toYaml $.selects | nindent 6 }}
  namespaceSelector:
    matchNames: [{{ $.root.Release.Namespace }}]
  podMetricsEndpoints:
    - port: http
      path: /metrics
      interval: {{ .interval }}
      scrapeTimeout: {{ .scrapeTimeout }}
      {{- with .relabelings }}
      relabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .metricRelabelings }}
      metricRelabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
{{- end -}}
