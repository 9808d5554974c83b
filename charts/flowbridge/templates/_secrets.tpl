{{/*
Which keys of which Secret hold what, as JSON: connectionString, adminToken and doorSecret are keys or empty, flowUrls has
keys by flow. A key of our own is made from the flow's name, never from its place in the list: while pods are replaced, old ones
read the new Secret and must not find another flow's URL.
*/}}
{{- define "flowbridge.secretKeys" -}}
{{- $secrets := .Values.secrets -}}
{{- $keys := dict "connectionString" "" "adminToken" "" "doorSecret" "" "flowUrls" dict -}}
{{- if $secrets.existingSecret -}}
{{- if not .Values.config.servicebus.namespace -}}
{{- $_ := set $keys "connectionString" $secrets.connectionStringKey -}}
{{- end -}}
{{- $_ := set $keys "adminToken" $secrets.adminTokenKey -}}
{{- if .Values.door.enabled -}}
{{- $_ := set $keys "doorSecret" $secrets.doorSecretKey -}}
{{- end -}}
{{- $_ := set $keys "flowUrls" $secrets.flowUrlKeys -}}
{{- else -}}
{{- if $secrets.connectionString -}}
{{- $_ := set $keys "connectionString" "connection-string" -}}
{{- end -}}
{{- if $secrets.adminToken -}}
{{- $_ := set $keys "adminToken" "admin-token" -}}
{{- end -}}
{{- if and .Values.door.enabled $secrets.doorSecret -}}
{{- $_ := set $keys "doorSecret" "door-secret" -}}
{{- end -}}
{{- range $name, $_ := $secrets.flowUrls -}}
{{- $_ := set $keys.flowUrls $name (include "flowbridge.flowUrlKey" $name) -}}
{{- end -}}
{{- end -}}
{{- toJson $keys -}}
{{- end -}}

{{- define "flowbridge.flowUrlKey" -}}
{{- if regexMatch "^[-._a-zA-Z0-9]{1,60}$" . -}}
{{- printf "flow-url-%s" . -}}
{{- else -}}
{{- printf "flow-url-%s" (sha256sum . | trunc 16) -}}
{{- end -}}
{{- end -}}

{{/* Empty where nothing is secret. */}}
{{- define "flowbridge.secretName" -}}
{{- $keys := include "flowbridge.secretKeys" . | fromJson -}}
{{- if or $keys.connectionString $keys.adminToken $keys.doorSecret $keys.flowUrls -}}
{{- default (include "flowbridge.fullname" .) .Values.secrets.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* Takes root, and maybe isDoor: the keys that a pod has as files, as JSON. */}}
{{- define "flowbridge.mountedKeys" -}}
{{- $keys := include "flowbridge.secretKeys" .root | fromJson -}}
{{- $mounted := concat (list $keys.connectionString $keys.adminToken (ternary $keys.doorSecret "" (not (empty .isDoor)))) (values $keys.flowUrls) -}}
{{- without $mounted "" | uniq | sortAlpha | toJson -}}
{{- end -}}

{{- define "flowbridge.madeSecret" -}}
{{- $secrets := .Values.secrets -}}
{{- $keys := include "flowbridge.secretKeys" . | fromJson -}}
{{- with $keys.connectionString }}
{{ . }}: {{ $secrets.connectionString | b64enc }}
{{- end }}
{{- with $keys.adminToken }}
{{ . }}: {{ $secrets.adminToken | b64enc }}
{{- end }}
{{- range $name, $key := $keys.flowUrls }}
{{ $key }}: {{ get $secrets.flowUrls $name | b64enc }}
{{- end }}
{{- end -}}

{{/* Apart, as the door's configuration is. */}}
{{- define "flowbridge.madeSecret.door" -}}
{{- with (include "flowbridge.secretKeys" . | fromJson).doorSecret }}
{{ . }}: {{ $.Values.secrets.doorSecret | b64enc }}
{{- end }}
{{- end -}}
