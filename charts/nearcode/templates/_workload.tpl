{{/* The one workload template. (root, component, entry) -> a Deployment or StatefulSet. */}}
{{- define "nearcode.workload" -}}
{{- $several := gt (int .entry.replicas) 1 -}}
{{- $scaled := include "nearcode.scaledBy" . -}}
apiVersion: apps/v1
kind: {{ .entry.kind }}
metadata:
  {{- include "nearcode.metadata" . | nindent 2 }}
spec:
  {{- if not $scaled }}
  replicas: {{ .entry.replicas }}
  {{- end }}
  {{- if eq .entry.kind "StatefulSet" }}
  serviceName: {{ include "nearcode.fullname" .root }}-{{ .component }}
  podManagementPolicy: Parallel
  persistentVolumeClaimRetentionPolicy: {whenDeleted: {{ .root.Values.persistence.whenDeleted }}, whenScaled: Retain}
  {{- else }}
  strategy: {{ .entry.strategy | default (dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" 1 "maxUnavailable" 0)) | toJson }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- include "nearcode.selector" . | nindent 6 }}
  template:
    {{- include "nearcode.pod" . | nindent 4 }}
  {{- if and (eq .entry.kind "StatefulSet") (include "nearcode.claimed" .) }}
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: data
        labels:
          {{- include "nearcode.selector" . | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .entry.data.storageClassName | default .root.Values.persistence.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ .entry.data.size }}}}
  {{- end }}
{{- end -}}

{{/* Who sets the number of pods: operator, hpa, or nobody. */}}
{{- define "nearcode.scaledBy" -}}
{{- $by := .root.Values.autoscaling.by -}}
{{- if and .entry.autoscaling (ne $by "none") -}}
{{- ternary "operator" "hpa" (and (eq $by "operator") (has .component (list "chunking" "embedding"))) -}}
{{- end -}}
{{- end -}}

{{/* Whether its data is on a claimed volume. */}}
{{- define "nearcode.claimed" -}}
{{- if and .entry.data .entry.data.persistent .root.Values.persistence.enabled -}}true{{- end -}}
{{- end -}}

{{/* (root, component, entry) -> a pod template. `nearcode.TYPEPod` gives what differs: annotations, containers, volumes. */}}
{{- define "nearcode.pod" -}}
{{- $own := include (printf "nearcode.%sPod" .entry.type) . | fromYaml -}}
{{- $containers := list -}}
{{- range concat $own.containers .entry.extraContainers -}}
{{- $containers = append $containers (include "nearcode.hardened" (dict "entry" $.entry "claimed" (include "nearcode.claimed" $) "container" .) | fromYaml) -}}
{{- end -}}
metadata:
  labels:
    {{- include "nearcode.labels" . | nindent 4 }}
    {{- with .entry.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with mergeOverwrite ($own.annotations | default dict) (deepCopy .entry.podAnnotations) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $own.serviceAccountName }}
  serviceAccountName: {{ . }}
  {{- end }}
  {{- with .entry.restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with .root.Values.global.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- include "nearcode.podSecurityContext" . | nindent 4 }}
  terminationGracePeriodSeconds: {{ .entry.terminationGracePeriodSeconds }}
  {{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
  {{- with get $.entry $field }}
  {{ $field }}: {{ toJson . }}
  {{- end }}
  {{- end }}
  {{- with include "nearcode.spread" . }}
  topologySpreadConstraints:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with $own.initContainers }}
  initContainers:
    {{- range . }}
    - {{- include "nearcode.hardened" (dict "entry" $.entry "claimed" (include "nearcode.claimed" $) "container" .) | nindent 6 }}
    {{- end }}
  {{- end }}
  containers:
    {{- toYaml $containers | nindent 4 }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: {{ .entry.tmpSize }}}
    {{- if and .entry.data (not (include "nearcode.claimed" .)) }}
    - name: data
      emptyDir: {sizeLimit: {{ .entry.data.size }}}
    {{- end }}
    {{- with concat $own.volumes .entry.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The restricted profile, with no user of ours: the image says it, or OpenShift. */}}
{{- define "nearcode.podSecurityContext" -}}
{{- $context := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- if not (include "nearcode.onOpenshift" .root) -}}
{{- $_ := merge $context (dict "fsGroup" 65532 "fsGroupChangePolicy" "OnRootMismatch") -}}
{{- end -}}
{{- $context = mergeOverwrite $context (deepCopy .entry.podSecurityContext) -}}
{{- range $field, $value := $context -}}{{- if kindIs "invalid" $value -}}{{- $_ := unset $context $field -}}{{- end -}}{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* (entry, claimed, container) -> the container with what none goes without. Its local disk: logs, /tmp, and /data unless that
     is a claimed volume. */}}
{{- define "nearcode.hardened" -}}
{{- $local := add 256 (include "nearcode.mebibytes" .entry.tmpSize) -}}
{{- if and .entry.data (not .claimed) -}}{{- $local = add $local (include "nearcode.mebibytes" .entry.data.size) -}}{{- end -}}
{{- $common := dict
  "terminationMessagePolicy" "FallbackToLogsOnError"
  "securityContext" (dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")))
  "resources" (dict "requests" (dict "ephemeral-storage" "64Mi") "limits" (dict "ephemeral-storage" (printf "%dMi" $local))) -}}
{{- $container := merge (deepCopy .container) $common -}}
{{- $_ := set $container "volumeMounts" (append ($container.volumeMounts | default list) (dict "name" "tmp" "mountPath" "/tmp")) -}}
{{- toYaml $container -}}
{{- end -}}

{{/* Several pods avoid sharing a node, if nothing else was asked for. */}}
{{- define "nearcode.spread" -}}
{{- $several := or (gt (int .entry.replicas) 1) (include "nearcode.scaledBy" .) -}}
{{- if .entry.topologySpreadConstraints -}}
{{- toYaml .entry.topologySpreadConstraints -}}
{{- else if $several -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "nearcode.selector" . | nindent 6 }}
{{- end -}}
{{- end -}}
