{{/* What one value says about another; all that is wrong is told at once. What one value alone may be is in the schema. */}}
{{- define "flowbridge.validate" -}}
{{- $problems := concat (include "flowbridge.problems.bus" . | fromJsonArray) (include "flowbridge.problems.flows" . | fromJsonArray) (include "flowbridge.problems.secrets" . | fromJsonArray) (include "flowbridge.problems.pods" . | fromJsonArray) (include "flowbridge.problems.autoscaling" . | fromJsonArray) (include "flowbridge.problems.door" . | fromJsonArray) -}}
{{- with $problems -}}
{{- fail (printf "\n\nThese values can't work:\n  * %s\n" (join "\n  * " .)) -}}
{{- end -}}
{{- end -}}

{{- define "flowbridge.problems.bus" -}}
{{- $found := list -}}
{{- $bus := .Values.config.servicebus -}}
{{- $keys := include "flowbridge.secretKeys" . | fromJson -}}
{{- $isSecret := ne $keys.connectionString "" -}}
{{- if get $bus "connection_string" -}}
{{- $found = append $found "config.servicebus.connection_string would end up in a ConfigMap: put it into secrets.connectionString, or name a Secret of yours in secrets.existingSecret" -}}
{{- else if not (or $bus.namespace $isSecret (get $bus "connection_string_file")) -}}
{{- $found = append $found "config.servicebus.namespace is empty and there is no connection string: set config.servicebus.namespace (NAME.servicebus.windows.net), secrets.connectionString or secrets.existingSecret" -}}
{{- end -}}
{{- if and $bus.namespace (or .Values.secrets.connectionString (get $bus "connection_string_file")) -}}
{{- $found = append $found "config.servicebus.namespace and a connection string are both given: keep the namespace for an identity, or the connection string for an access key" -}}
{{- end -}}
{{- if and $isSecret (get $bus "connection_string_file") -}}
{{- $found = append $found "config.servicebus.connection_string_file is the chart's own where secrets holds the connection string: remove one of them" -}}
{{- end -}}
{{- if $bus.request_topic -}}
{{- if not $bus.request_subscription -}}
{{- $found = append $found "config.servicebus.request_topic is read through a subscription: set config.servicebus.request_subscription" -}}
{{- end -}}
{{- if and $bus.request_queue (ne $bus.request_queue "flow-requests") -}}
{{- $found = append $found "config.servicebus.request_queue and request_topic are both set: remove the one that isn't read" -}}
{{- end -}}
{{- if and $bus.request_sessions $bus.retry_queue -}}
{{- $found = append $found "config.servicebus.retry_queue is not used with request_sessions: remove it, or set request_sessions: false" -}}
{{- end -}}
{{- if not (or $bus.request_sessions $bus.retry_queue (empty .Values.config.worker.redelivery_s)) -}}
{{- $found = append $found "config.servicebus.request_topic needs a queue for copies, which never go to a topic: set config.servicebus.retry_queue, or config.worker.redelivery_s: []" -}}
{{- end -}}
{{- else if or $bus.request_subscription $bus.retry_queue -}}
{{- $found = append $found "config.servicebus.request_subscription and retry_queue go with a topic: set config.servicebus.request_topic, or remove them" -}}
{{- end -}}
{{- if get .Values.config.http "admin_token" -}}
{{- $found = append $found "config.http.admin_token would end up in a ConfigMap: put it into secrets.adminToken, or name a key of your Secret in secrets.adminTokenKey" -}}
{{- end -}}
{{- if and $keys.adminToken (get .Values.config.http "admin_token_file") -}}
{{- $found = append $found "config.http.admin_token_file is the chart's own where secrets holds the token: remove one of them" -}}
{{- end -}}
{{- $inline := .Values.secrets.connectionString -}}
{{- if and $inline (or (not (regexMatch "(?i)(^|;)\\s*endpoint\\s*=\\s*sb://[^/;]" $inline)) (regexMatch "(?i)(^|;)\\s*entitypath\\s*=" $inline)) -}}
{{- $found = append $found "secrets.connectionString must be the namespace's own, which begins Endpoint=sb://HOST/;… and has no EntityPath: copy it from a shared access policy of the namespace" -}}
{{- end -}}
{{- $seen := list -}}
{{- range $queue := $bus.reply_queues -}}
{{- if has (lower $queue) $seen -}}
{{- $found = append $found (printf "config.servicebus.reply_queues lists %q twice: list each queue once" $queue) -}}
{{- end -}}
{{- $seen = append $seen (lower $queue) -}}
{{- end -}}
{{- range $queue := list (ternary "" $bus.request_queue (not (empty $bus.request_topic))) $bus.retry_queue -}}
{{- if and $queue (has (lower $queue) $seen) -}}
{{- $found = append $found (printf "config.servicebus.reply_queues has %q, from which the worker reads requests: answer into another queue" $queue) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.config.identity.kind "static") $inline (not (regexMatch "(?i)(^|;)\\s*usedevelopmentemulator\\s*=\\s*true\\s*(;|$)" $inline)) -}}
{{- $found = append $found "config.identity.kind static is for the emulator only, and secrets.connectionString has no UseDevelopmentEmulator=true: use managed or workload" -}}
{{- end -}}
{{- if and (eq .Values.config.identity.kind "static") $bus.namespace -}}
{{- $found = append $found "config.identity.kind static is for the emulator only: use managed or workload with a namespace" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "flowbridge.problems.flows" -}}
{{- $found := list -}}
{{- $keys := include "flowbridge.secretKeys" . | fromJson -}}
{{- $names := list -}}
{{- $flows := .Values.config.flows -}}
{{- if not $flows -}}
{{- $found = append $found "config.flows is empty: add at least one flow with name and url" -}}
{{- end -}}
{{- range $index, $flow := $flows -}}
{{- $place := printf "config.flows[%d]" $index -}}
{{- $name := default "flow" $flow.name -}}
{{- if and (gt (len $flows) 1) (empty (trim (default "" $flow.name))) -}}
{{- $found = append $found (printf "%s.name is empty: with several flows, name each" $place) -}}
{{- end -}}
{{- if has $name $names -}}
{{- $found = append $found (printf "%s.name: %q is already the name of another flow: give each a name of its own" $place $name) -}}
{{- end -}}
{{- $names = append $names $name -}}
{{- $given := without (list (ternary "url" "" (not (empty $flow.url))) (ternary "url_file" "" (not (empty $flow.url_file))) (ternary "secrets" "" (hasKey $keys.flowUrls $name))) "" -}}
{{- if not $given -}}
{{- $found = append $found (printf "%s (%s) has no URL: set its url, or for a signed one secrets.flowUrls or secrets.flowUrlKeys under that name" $place $name) -}}
{{- else if gt (len $given) 1 -}}
{{- $found = append $found (printf "%s (%s) has its URL in several places (%s): keep one" $place $name (join ", " $given)) -}}
{{- end -}}
{{- if regexMatch "[?&][sS][iI][gG]=" (default "" $flow.url) -}}
{{- $found = append $found (printf "%s.url holds a signature (sig=), which would end up in a ConfigMap: put it into secrets.flowUrls, or name a key of your Secret in secrets.flowUrlKeys" $place) -}}
{{- end -}}
{{- end -}}
{{- range $index, $flow := $flows -}}
{{- $found = concat $found (include "flowbridge.problems.url" (dict "flow" $flow "place" (printf "config.flows[%d]" $index) "secret" (get $.Values.secrets.flowUrls (default "flow" $flow.name))) | fromJsonArray) -}}
{{- $found = concat $found (include "flowbridge.problems.flow" (dict "flow" $flow "place" (printf "config.flows[%d]" $index)) | fromJsonArray) -}}
{{- end -}}
{{- range $name, $_ := $keys.flowUrls -}}
{{- if not (has $name $names) -}}
{{- $found = append $found (printf "secrets has a URL for the flow %q, which is not in config.flows: correct the name, or remove it" $name) -}}
{{- end -}}
{{- end -}}
{{- range $index, $route := .Values.config.routes -}}
{{- if not (has $route.flow $names) -}}
{{- $found = append $found (printf "config.routes[%d].flow: there is no flow named %q" $index $route.flow) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Of a URL that can be read here: in the values, or in a Secret that the chart makes. It may hold a key, so none is quoted. */}}
{{- define "flowbridge.problems.url" -}}
{{- $found := list -}}
{{- $url := default .secret .flow.url -}}
{{- $auth := default "identity" .flow.auth -}}
{{- if $url -}}
{{- if not (regexMatch "(?i)^https?://[^/?#@\\s]+([/?][^#\\s]*)?$" $url) -}}
{{- $found = append $found (printf "%s needs an absolute https:// URL without user name and fragment: copy it from the flow's HTTP trigger" .place) -}}
{{- else -}}
{{- $host := regexReplaceAll "(?i)^https?://(\\[[^\\]]*\\]|[^/:?]*).*$" $url "${1}" -}}
{{- $isLoopback := regexMatch "(?i)^(localhost|127\\.[0-9.]+|\\[::1\\])$" $host -}}
{{- if and (hasPrefix "http://" (lower $url)) (not $isLoopback) -}}
{{- $found = append $found (printf "%s.url is http:// to %s, which isn't the pod itself: use https://; plain http is for loopback addresses only" .place $host) -}}
{{- end -}}
{{- if and (eq $auth "none") (not $isLoopback) -}}
{{- $found = append $found (printf "%s.auth: none is for loopback addresses only, and the URL names %s: use identity, or sas where the URL holds sig=" .place $host) -}}
{{- end -}}
{{- $isSigned := regexMatch "(?i)[?&]sig=" $url -}}
{{- if and (eq $auth "identity") $isSigned -}}
{{- $found = append $found (printf "%s.auth is identity and its URL holds sig=, which are refused together: set auth: sas, or take sig= out of the URL" .place) -}}
{{- end -}}
{{- if and (eq $auth "sas") (not $isSigned) -}}
{{- $found = append $found (printf "%s.auth: sas needs a URL with sig=: put that into secrets.flowUrls, or use identity" .place) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "flowbridge.problems.flow" -}}
{{- $found := list -}}
{{- $flow := .flow -}}
{{- $place := .place -}}
{{- if and $flow.hedge_after_s (not $flow.idempotent) -}}
{{- $found = append $found (printf "%s.hedge_after_s makes a second call of the same request, and the flow is not idempotent: set idempotent: true if the flow bears that, or remove it" $place) -}}
{{- end -}}
{{- $first := dig "retry" "first_s" 0.5 $flow | float64 -}}
{{- $max := dig "retry" "max_s" 20.0 $flow | float64 -}}
{{- if gt $first $max -}}
{{- $found = append $found (printf "%s.retry.first_s (%v) is above its max_s (%v): lower the one or raise the other" $place $first $max) -}}
{{- end -}}
{{- if and $flow.body (kindIs "map" $flow.body_template) -}}
{{- $found = append $found (printf "%s.body and body_template exclude each other: keep one" $place) -}}
{{- end -}}
{{- if has $flow.method (list "GET" "DELETE") -}}
{{- if or (kindIs "map" $flow.body_template) (ne (default "message" $flow.body) "message") $flow.request_schema -}}
{{- $found = append $found (printf "%s.method %s sends no body: put what the flow needs into query, or remove body, body_template and request_schema" $place $flow.method) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "flowbridge.problems.secrets" -}}
{{- $found := list -}}
{{- $secrets := .Values.secrets -}}
{{- $isInline := or $secrets.connectionString $secrets.adminToken $secrets.doorSecret $secrets.flowUrls -}}
{{- if and $secrets.existingSecret $isInline -}}
{{- $found = append $found "secrets.existingSecret and values in secrets (connectionString, adminToken, doorSecret, flowUrls) exclude each other: keep your Secret and name its keys, or let the chart make one" -}}
{{- end -}}
{{- if and $secrets.adminToken (not (regexMatch "^[!-~]{16,}$" $secrets.adminToken)) -}}
{{- $found = append $found "secrets.adminToken must be at least 16 printable ASCII characters without spaces: make one with openssl rand -hex 32" -}}
{{- end -}}
{{- if and $secrets.doorSecret (not (regexMatch "^[!-~]{32,}$" $secrets.doorSecret)) -}}
{{- $found = append $found "secrets.doorSecret must be at least 32 printable ASCII characters without spaces: make one with openssl rand -hex 32" -}}
{{- end -}}
{{- if and (not $secrets.existingSecret) (or $secrets.adminTokenKey $secrets.doorSecretKey $secrets.flowUrlKeys) -}}
{{- $found = append $found "secrets.adminTokenKey, secrets.doorSecretKey and secrets.flowUrlKeys name keys of a Secret of yours: set secrets.existingSecret" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "flowbridge.problems.pods" -}}
{{- $found := list -}}
{{- $worker := .Values.config.worker -}}
{{- if ge (float64 $worker.drain_s) (float64 $worker.grace_s) -}}
{{- $found = append $found (printf "config.worker.drain_s (%v) must be less than config.worker.grace_s (%v), which is the pod's termination grace period: lower the one or raise the other" $worker.drain_s $worker.grace_s) -}}
{{- end -}}
{{- $slots := mul (ternary 2 1 (not (empty .Values.config.servicebus.retry_queue))) $worker.processes | int -}}
{{- if lt (int $worker.concurrency) $slots -}}
{{- $found = append $found (printf "config.worker.concurrency (%v) is less than a slot of each process for each queue it reads, %d in all: raise it, or lower config.worker.processes" $worker.concurrency $slots) -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- $isMax := not (kindIs "invalid" .maxUnavailable) -}}
{{- $isMin := not (kindIs "invalid" .minAvailable) -}}
{{- if and .enabled $isMax $isMin -}}
{{- $found = append $found "podDisruptionBudget.maxUnavailable and minAvailable exclude each other: keep one" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.config.identity.kind "workload") (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- $found = append $found "config.identity.kind workload needs a ServiceAccount that the federated credential names: set serviceAccount.create: true, or serviceAccount.name to one that is annotated" -}}
{{- end -}}
{{- if and (eq .Values.config.identity.kind "workload") .Values.serviceAccount.create (not .Values.config.identity.client_id) (not (hasKey .Values.serviceAccount.annotations "azure.workload.identity/client-id")) -}}
{{- $found = append $found "config.identity.kind workload needs the identity's client id: set config.identity.client_id" -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if has .name (list "FLOWBRIDGE_CONFIG" "FLOWBRIDGE_LOG_LEVEL" "FLOWBRIDGE_WORKER__GRACE_S" "FLOWBRIDGE_WORKER__DRAIN_S" "FLOWBRIDGE_HTTP__HOST" "FLOWBRIDGE_HTTP__PORT" "FLOWBRIDGE_DOOR__HOST" "FLOWBRIDGE_DOOR__PORT" "FLOWBRIDGE_DOOR__REPLICA" "FLOWBRIDGE_DOOR__REPLICAS" "FLOWBRIDGE_DOOR__PEERS" "FLOWBRIDGE_DOOR__DRAIN_S") -}}
{{- $found = append $found (printf "extraEnv sets %s, which the chart must know itself: set it under config (or logLevel)" .name) -}}
{{- end -}}
{{- end -}}
{{- if and $worker.replicas $worker.replicas_dns -}}
{{- $found = append $found "config.worker.replicas and replicas_dns exclude each other: keep one" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "flowbridge.problems.autoscaling" -}}
{{- $found := list -}}
{{- $scaling := .Values.autoscaling -}}
{{- $isOn := include "flowbridge.isAutoscaled" . -}}
{{- $worker := .Values.config.worker -}}
{{- $most := ternary $scaling.maxReplicas .Values.replicaCount (ne $isOn "") -}}
{{- if and $scaling.keda.enabled $scaling.hpa.enabled -}}
{{- $found = append $found "autoscaling.keda.enabled and autoscaling.hpa.enabled exclude each other, because KEDA makes an HPA of its own: keep one" -}}
{{- end -}}
{{- if $isOn -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- $found = append $found (printf "autoscaling.minReplicas (%v) is above autoscaling.maxReplicas (%v): lower the one or raise the other" $scaling.minReplicas $scaling.maxReplicas) -}}
{{- end -}}
{{- if and $scaling.hpa.enabled (eq (int $scaling.minReplicas) 0) -}}
{{- $found = append $found "autoscaling.minReplicas is 0, which only KEDA can do: set it to 1 or more, or use autoscaling.keda" -}}
{{- end -}}
{{- if and $scaling.keda.enabled .Values.config.servicebus.request_sessions (eq (int $scaling.minReplicas) 0) -}}
{{- $found = append $found "autoscaling.minReplicas is 0 and config.servicebus.request_sessions is true: KEDA counts messages, not the sessions that wait for a worker, so keep 1 or more" -}}
{{- end -}}
{{- if not (or .Values.fleet.enabled $worker.replicas $worker.replicas_dns) -}}
{{- $found = append $found "autoscaling changes the number of pods that share the flows' limits, and nothing counts them: set fleet.enabled: true, or config.worker.replicas to the most there will be" -}}
{{- end -}}
{{- end -}}
{{- range $index, $flow := .Values.config.flows -}}
{{- $calls := default 100 $flow.concurrency | int -}}
{{- if lt $calls (mul $most $worker.processes | int) -}}
{{- $found = append $found (printf "config.flows[%d].concurrency (%d) is less than one call for each of %v pods of %v process(es): raise it if the flow bears that, or lower %s" $index $calls $most $worker.processes (ternary "autoscaling.maxReplicas" "replicaCount" (ne $isOn ""))) -}}
{{- end -}}
{{- end -}}
{{- if and $scaling.keda.enabled $scaling.keda.prometheus.enabled (not $scaling.keda.prometheus.serverAddress) -}}
{{- $found = append $found "autoscaling.keda.prometheus needs serverAddress: set it to the URL of Prometheus" -}}
{{- end -}}
{{- if and $scaling.keda.enabled (get .Values.config.servicebus "connection_string_file") -}}
{{- $found = append $found "autoscaling.keda can't read config.servicebus.connection_string_file: name the Secret in secrets.existingSecret instead" -}}
{{- end -}}
{{- if and $scaling.keda.enabled $scaling.keda.paused (not (kindIs "invalid" $scaling.keda.pausedReplicas)) -}}
{{- $found = append $found "autoscaling.keda.paused and pausedReplicas exclude each other: keep one" -}}
{{- end -}}
{{- if $scaling.hpa.enabled -}}
{{- if not (or $scaling.hpa.cpuUtilization $scaling.hpa.waitUsedRatio $scaling.hpa.metrics) -}}
{{- $found = append $found "autoscaling.hpa has nothing to scale by: set cpuUtilization, waitUsedRatio or metrics" -}}
{{- end -}}
{{- if and $scaling.hpa.cpuUtilization (not (dig "requests" "cpu" "" .Values.resources)) -}}
{{- $found = append $found "autoscaling.hpa.cpuUtilization is a percentage of resources.requests.cpu, which isn't set: set it, or cpuUtilization: null" -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "flowbridge.problems.door" -}}
{{- $found := list -}}
{{- if .Values.door.enabled -}}
{{- $door := .Values.config.door -}}
{{- $queues := list -}}
{{- range .Values.config.servicebus.reply_queues -}}
{{- $queues = append $queues (lower .) -}}
{{- end -}}
{{- range $key, $what := dict "tenants" "the ids of the tenants whose tokens are good" "audiences" "what tokens are for (api://…)" "callers" "who may ask, by name and ids or roles" -}}
{{- if not (get $door $key) -}}
{{- $found = append $found (printf "config.door.%s is empty, and the door is reached by others than this pod: say %s" $key $what) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "replica" "replicas" "peers" -}}
{{- if hasKey $door $key -}}
{{- $found = append $found (printf "config.door.%s is the chart's own, by the names of the pods: remove it" $key) -}}
{{- end -}}
{{- end -}}
{{- $isSecret := ne (include "flowbridge.secretKeys" . | fromJson).doorSecret "" -}}
{{- if get $door "secret" -}}
{{- $found = append $found "config.door.secret would end up in a ConfigMap: put it into secrets.doorSecret, or name a key of your Secret in secrets.doorSecretKey" -}}
{{- else if not (or $isSecret (get $door "secret_file")) -}}
{{- $found = append $found "the door has no secret, by which requests' ids say whose they are: set secrets.doorSecret (openssl rand -hex 32), or name a key of your Secret in secrets.doorSecretKey" -}}
{{- end -}}
{{- if and $isSecret (get $door "secret_file") -}}
{{- $found = append $found "config.door.secret_file is the chart's own where secrets holds the door's secret: remove one of them" -}}
{{- end -}}
{{- if eq (int $door.port) (int .Values.config.http.port) -}}
{{- $found = append $found (printf "config.door.port and config.http.port are both %d: give each its own" (int $door.port)) -}}
{{- end -}}
{{- if gt (float64 $door.default_wait_s) (float64 $door.max_wait_s) -}}
{{- $found = append $found (printf "config.door.default_wait_s (%v) is above config.door.max_wait_s (%v): lower the one or raise the other" $door.default_wait_s $door.max_wait_s) -}}
{{- end -}}
{{- if not $queues -}}
{{- $found = append $found "config.servicebus.reply_queues is empty, and the door is answered on one of them: add a queue with sessions" -}}
{{- else if and $door.reply_queue (not (has (lower $door.reply_queue) $queues)) -}}
{{- $found = append $found (printf "config.door.reply_queue %q is none of config.servicebus.reply_queues, so no worker would answer there: add it to them" $door.reply_queue) -}}
{{- end -}}
{{- $found = concat $found (include "flowbridge.problems.callers" . | fromJsonArray) -}}
{{- if and .Values.door.ingress.enabled (not .Values.door.ingress.host) -}}
{{- $found = append $found "door.ingress needs the name that callers use: set door.ingress.host" -}}
{{- end -}}
{{- if and (eq .Values.config.identity.kind "workload") .Values.door.serviceAccount.create (not (or .Values.door.clientId .Values.config.identity.client_id)) (not (hasKey .Values.door.serviceAccount.annotations "azure.workload.identity/client-id")) -}}
{{- $found = append $found "door.serviceAccount needs the identity's client id with config.identity.kind workload: set door.clientId" -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "flowbridge.problems.callers" -}}
{{- $found := list -}}
{{- $names := list -}}
{{- $flows := list "*" -}}
{{- range .Values.config.flows -}}
{{- $flows = append $flows (default "flow" .name) -}}
{{- end -}}
{{- range $index, $caller := .Values.config.door.callers -}}
{{- $place := printf "config.door.callers[%d]" $index -}}
{{- if has $caller.name $names -}}
{{- $found = append $found (printf "%s.name: %q is already the name of another: give each caller its own" $place $caller.name) -}}
{{- end -}}
{{- $names = append $names $caller.name -}}
{{- if not (or $caller.ids $caller.roles) -}}
{{- $found = append $found (printf "%s (%s) has neither ids nor roles, so it is nobody: add object or application ids, or roles that tokens have" $place $caller.name) -}}
{{- end -}}
{{- range $flow := $caller.flows -}}
{{- if not (has $flow $flows) -}}
{{- $found = append $found (printf "%s.flows: there is no flow named %q" $place $flow) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}
