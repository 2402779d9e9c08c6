{{/* Every workload of this profile by component, each an entry of `services` over `defaults`, with what the chart adds:
     type (which containers), ports, calls, headless. One template makes them all (_workload.tpl). */}}
{{- define "nearcode.workloads" -}}
{{- $entries := dict -}}
{{- range $component, $given := .Values.services -}}
{{- if eq $given.profile $.Values.profile -}}
{{- $_ := set $entries $component (mergeOverwrite (include "nearcode.engineDefaults" $ | fromYaml) (deepCopy $given)) -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.profile "production" -}}
{{- $_ := set $entries "operator" (mergeOverwrite (include "nearcode.operatorDefaults" . | fromYaml) (deepCopy .Values.operator.pod)) -}}
{{- end -}}
{{- if include "nearcode.ownNats" . -}}
{{- $_ := set $entries "nats" (mergeOverwrite (include "nearcode.natsDefaults" . | fromYaml) (deepCopy (omit .Values.nats "container" "config" "auth" "enabled"))) -}}
{{- end -}}
{{- if include "nearcode.ownQdrant" . -}}
{{- $_ := set $entries "qdrant" (mergeOverwrite (include "nearcode.qdrantDefaults" . | fromYaml) (deepCopy (omit .Values.qdrant "image" "command" "config" "persistence" "replicaCount" "apiKey" "enabled"))) -}}
{{- end -}}
{{- if include "nearcode.ownTriton" . -}}
{{- $_ := set $entries "triton" (mergeOverwrite (include "nearcode.tritonDefaults" . | fromYaml) (deepCopy (omit .Values.triton "image" "command" "model" "gpus" "enabled"))) -}}
{{- end -}}
{{- range $component, $entry := $entries -}}
{{- $_ := set $entries $component (mergeOverwrite (deepCopy $.Values.defaults) $entry) -}}
{{- end -}}
{{- toYaml $entries -}}
{{- end -}}

{{- define "nearcode.engineDefaults" -}}
type: engine
ports: {grpc: 8443, metrics: 9443}
{{- if eq .Values.profile "embedded" }}
callsApiServer: true
{{- end }}
{{- end -}}

{{- define "nearcode.operatorDefaults" -}}
type: operator
kind: Deployment
strategy: {type: Recreate}
ports: {metrics: 9444}
calls: [ingestion]
callsApiServer: true
{{- end -}}

{{/* The pod of an indexing Job. */}}
{{- define "nearcode.jobEntry" -}}
{{- $entry := mergeOverwrite (deepCopy .Values.defaults) (include "nearcode.engineDefaults" . | fromYaml) (deepCopy .Values.jobs.pod) -}}
{{- toYaml (merge (dict "restartPolicy" "Never") $entry) -}}
{{- end -}}

{{- define "nearcode.natsDefaults" -}}
type: nats
kind: StatefulSet
replicas: {{ include "nearcode.natsServers" . }}
ports: {nats: 4222, monitor: 8222{{ if gt (include "nearcode.natsServers" . | int) 1 }}, cluster: 6222{{ end }}}
headless: true
data: {persistent: true, size: {{ .Values.nats.config.jetstream.fileStore.pvc.size }}, storageClassName: {{ .Values.nats.config.jetstream.fileStore.pvc.storageClassName | quote }}}
calls: [nats]
{{- end -}}

{{- define "nearcode.qdrantDefaults" -}}
type: qdrant
kind: StatefulSet
replicas: {{ include "nearcode.qdrantServers" . }}
ports: {http: 6333, grpc: 6334, p2p: 6335}
headless: true
data: {persistent: true, size: {{ .Values.qdrant.persistence.size }}, storageClassName: {{ .Values.qdrant.persistence.storageClassName | quote }}}
calls: [qdrant]
{{- end -}}

{{- define "nearcode.tritonDefaults" -}}
type: triton
kind: Deployment
ports: {grpc: 8001, metrics: 8002}
data: {persistent: false, size: 256Mi}
{{- end -}}
