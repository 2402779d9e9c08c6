{{/* NATS and Qdrant: how many of our own there are, and how the engine reaches them or those of others. */}}
{{- define "nearcode.ownNats" -}}{{- if and (eq .Values.profile "production") .Values.nats.enabled -}}true{{- end -}}{{- end -}}
{{- define "nearcode.ownQdrant" -}}{{- if and (eq .Values.profile "production") .Values.qdrant.enabled -}}true{{- end -}}{{- end -}}
{{- define "nearcode.ownTriton" -}}{{- if .Values.triton.enabled -}}true{{- end -}}{{- end -}}
{{- define "nearcode.natsServers" -}}{{- .Values.nats.config.cluster.replicas | default .Values.servers -}}{{- end -}}
{{- define "nearcode.qdrantServers" -}}{{- .Values.qdrant.replicaCount | default .Values.servers -}}{{- end -}}

{{/* (root, component, servers, scheme, port) -> the address of every pod of a StatefulSet, separated by commas. */}}
{{- define "nearcode.addresses" -}}
{{- $name := printf "%s-%s" (include "nearcode.fullname" .root) .component -}}
{{- $found := list -}}
{{- range $number := until (int .servers) }}{{- $found = append $found (printf "%s://%s-%d.%s:%d" $.scheme $name $number $name (int $.port)) -}}{{- end -}}
{{- join "," $found -}}
{{- end -}}

{{- define "nearcode.natsSettings" -}}
{{- if include "nearcode.ownNats" . -}}
{{- $servers := include "nearcode.natsServers" . | int -}}
url: {{ include "nearcode.addresses" (dict "root" . "component" "nats" "servers" $servers "scheme" "tls" "port" 4222) }}
monitor_url: {{ include "nearcode.addresses" (dict "root" . "component" "nats" "servers" $servers "scheme" "https" "port" 8222) }}
replicas: {{ min $servers 5 }}
token_file: /etc/nearcode/nats/token
{{- else -}}
{{- with .Values.externalNats -}}
url: {{ required "nats.enabled is false: give externalNats.url" .url }}
monitor_url: {{ .monitorUrl | quote }}
replicas: {{ .replicas }}
unsafe_sync: {{ .unsafeSync }}
{{- with .existingSecret }}
token_file: /etc/nearcode/nats/token
{{- end }}
{{- with .caSecret }}
ca_file: /etc/nearcode/nats/ca.crt
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nearcode.qdrantSettings" -}}
{{- if include "nearcode.ownQdrant" . -}}
{{- $servers := include "nearcode.qdrantServers" . | int -}}
{{- $copies := min $servers 3 -}}
url: {{ include "nearcode.addresses" (dict "root" . "component" "qdrant" "servers" $servers "scheme" "https" "port" 6333) }}
grpc_port: 6334
replicas: {{ $copies }}
write_consistency: {{ add (div $copies 2) 1 }}
shards: {{ $servers }}
api_key_file: /etc/nearcode/qdrant/api-key
{{- else -}}
{{- with .Values.externalQdrant -}}
url: {{ required "qdrant.enabled is false: give externalQdrant.url" .url }}
grpc_port: {{ .grpcPort }}
replicas: {{ .replicas }}
write_consistency: {{ add (div (int .replicas) 2) 1 }}
shards: {{ .replicas }}
{{- with .existingSecret }}
api_key_file: /etc/nearcode/qdrant/api-key
{{- end }}
{{- with .caSecret }}
ca_file: /etc/nearcode/qdrant/ca.crt
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}
