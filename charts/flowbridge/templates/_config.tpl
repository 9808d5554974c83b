{{/*
The worker's configuration as JSON: .Values.config, and what the chart knows better. The directories are those of the
pod's mounts.
*/}}
{{- define "flowbridge.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $keys := include "flowbridge.secretKeys" . | fromJson -}}
{{- $secrets := "/etc/flowbridge/secrets" -}}
{{- if $config.servicebus.request_topic -}}
{{- $_ := unset $config.servicebus "request_queue" -}}
{{- end -}}
{{- with $keys.connectionString -}}
{{- $_ := set $config.servicebus "connection_string_file" (printf "%s/%s" $secrets .) -}}
{{- end -}}
{{- with $keys.adminToken -}}
{{- $_ := set $config.http "admin_token_file" (printf "%s/%s" $secrets .) -}}
{{- end -}}
{{- if not (or $config.worker.replicas_dns $config.worker.replicas) -}}
{{- if .Values.fleet.enabled -}}
{{- $_ := set $config.worker "replicas_dns" (include "flowbridge.fleetName" .) -}}
{{- else if not (include "flowbridge.isAutoscaled" .) -}}
{{- $_ := set $config.worker "replicas" (max 1 (int .Values.replicaCount)) -}}
{{- end -}}
{{- end -}}
{{- with $keys.doorSecret -}}
{{- $_ := set $config.door "secret_file" (printf "%s/%s" $secrets .) -}}
{{- end -}}
{{- if .Values.door.enabled -}}
{{- $_ := set $config.door "replicas" (include "flowbridge.doorReplicas" . | fromJsonArray) -}}
{{- $_ := set $config.door "peers" (printf "http://{replica}.%s.%s.svc.%s:%d" (include "flowbridge.doorPeersName" .) .Release.Namespace .Values.clusterDomain (int $config.door.port)) -}}
{{- end -}}
{{- range $flow := $config.flows -}}
{{- with get $keys.flowUrls (default "flow" $flow.name) -}}
{{- $_ := set $flow "url_file" (printf "%s/%s" $secrets .) -}}
{{- end -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* Whole, so that with two dots it is asked for once. */}}
{{- define "flowbridge.fleetName" -}}
{{- printf "%s-workers.%s.svc.%s" (include "flowbridge.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{/* As the StatefulSet names its pods, and each pod itself. */}}
{{- define "flowbridge.doorReplicas" -}}
{{- $names := list -}}
{{- range $index := until (int .Values.door.replicaCount) -}}
{{- $names = append $names (printf "%s-%d" (include "flowbridge.doorName" $) $index) -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* Helm's toToml writes 200 as 200.0, which the worker refuses for a count, and 10485760 as 1.048576e+07. */}}
{{- define "flowbridge.toml" -}}
{{- $config := include "flowbridge.config" . | fromJson -}}
{{- range $name := list "servicebus" "identity" "worker" "dataverse" "http" -}}
[{{ $name }}]
{{ include "flowbridge.toml.keys" (get $config $name) }}
{{ end -}}
{{- range $config.flows -}}
[[flows]]
{{ include "flowbridge.toml.keys" . }}
{{ end -}}
{{- range $config.routes -}}
[[routes]]
{{ include "flowbridge.toml.keys" . }}
{{ end -}}
{{- end -}}

{{/* Apart, because what concerns the door alone is no reason to replace workers, which can't read its secret either. */}}
{{- define "flowbridge.toml.door" -}}
{{- if .Values.door.enabled -}}
{{- $door := (include "flowbridge.config" . | fromJson).door -}}
[door]
{{ include "flowbridge.toml.keys" (omit $door "callers") }}
{{ range $door.callers -}}
[[door.callers]]
{{ include "flowbridge.toml.keys" . }}
{{ end -}}
{{- end -}}
{{- end -}}

{{/* An empty string and null are what the worker takes for absent. */}}
{{- define "flowbridge.toml.keys" -}}
{{- range $key, $value := . -}}
{{- if not (or (kindIs "invalid" $value) (and (kindIs "string" $value) (eq (toString $value) ""))) -}}
{{ include "flowbridge.toml.key" $key }} = {{ include "flowbridge.toml.value" $value }}
{{ end -}}
{{- end -}}
{{- end -}}

{{- define "flowbridge.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . -}}{{ . }}{{- else -}}{{ include "flowbridge.toml.value" . }}{{- end -}}
{{- end -}}

{{/* JSON's escapes are TOML's, but for the one character that only TOML wants escaped. */}}
{{- define "flowbridge.toml.value" -}}
{{- if kindIs "string" . -}}
{{ toJson . | replace "\u007f" "\\u007f" }}
{{- else if kindIs "map" . -}}
{ {{- $separator := " " -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{ $separator }}{{ include "flowbridge.toml.key" $key }} = {{ include "flowbridge.toml.value" $value }}
{{- $separator = ", " -}}
{{- end -}}
{{- end }} }
{{- else if kindIs "slice" . -}}
[{{- range $index, $value := . -}}
{{- if $index }}, {{ end }}{{ include "flowbridge.toml.value" $value }}
{{- end -}}]
{{- else if kindIs "invalid" . -}}
{{- fail "config holds null in a list, for which TOML has no word: leave it out" -}}
{{- else if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}
