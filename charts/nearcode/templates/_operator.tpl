{{/* The operator: in a pod of its own, or beside the embedded engine. */}}
{{- define "nearcode.operatorPod" -}}
annotations:
  checksum/settings: {{ include "nearcode.operatorSettings" .root | sha256sum }}
  checksum/job: {{ include "nearcode.job" .root | sha256sum }}
serviceAccountName: {{ include "nearcode.serviceAccount" .root }}
containers:
  {{- include "nearcode.operatorContainer" .root | nindent 2 }}
volumes:
  {{- include "nearcode.operatorVolumes" .root | nindent 2 }}
{{- end -}}

{{- define "nearcode.operatorContainer" -}}
- name: operator
  image: {{ include "nearcode.image" (dict "root" . "image" .Values.operator.image) }}
  imagePullPolicy: {{ .Values.operator.image.pullPolicy }}
  args: [run]
  env:
    - {name: NEARCODE_OPERATOR_CONFIG, value: /etc/nearcode-operator/operator.toml}
    - {name: HOME, value: /tmp}
    {{- with .Values.operator.pod.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - {name: operator-http, containerPort: 9444, protocol: TCP}
    - {name: operator-probe, containerPort: 8088, protocol: TCP}
  {{- include "nearcode.grpcProbes" (dict "port" 8088 "startSeconds" 120) | nindent 2 }}
  resources: {{ toJson .Values.operator.pod.resources }}
  volumeMounts:
    - {name: operator, mountPath: /etc/nearcode-operator, readOnly: true}
    - {name: kubernetes, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end -}}

{{/* Its settings, the Job's template, its identity; and the account's token, which no other container of the pod gets. */}}
{{- define "nearcode.operatorVolumes" -}}
- name: operator
  projected:
    defaultMode: 0440
    sources:
      - configMap: {name: {{ include "nearcode.fullname" . }}-operator}
      {{- include "nearcode.identitySources" (dict "root" . "component" "operator") | nindent 6 }}
- name: kubernetes
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end -}}

{{/* The Job that the operator makes per repository and generation; it adds name, labels, owner, arguments and parallelism. */}}
{{- define "nearcode.job" -}}
{{- $parts := dict "root" . "component" "worker" "entry" (include "nearcode.jobEntry" . | fromYaml) -}}
apiVersion: batch/v1
kind: Job
metadata:
  labels:
    {{- include "nearcode.labels" $parts | nindent 4 }}
spec:
  backoffLimit: {{ .Values.jobs.backoffLimit }}
  ttlSecondsAfterFinished: {{ .Values.jobs.ttlSecondsAfterFinished }}
  template:
    {{- include "nearcode.pod" $parts | nindent 4 }}
{{- end -}}

{{/* operator.toml, as a map. A fetch that fails is tried again after 10 s, then after twice as long each time: `helm test` makes its
     resource before its git server answers. */}}
{{- define "nearcode.operatorSettings" -}}
{{- $name := include "nearcode.fullname" . -}}
{{- $production := eq .Values.profile "production" -}}
{{- $settings := dict
  "namespace" .Release.Namespace
  "sweep" (dict "retry_seconds" 10)
  "credentials_secret" (printf "%s-credentials" $name)
  "engine" (dict "address" (ternary (printf "%s-ingestion:8443" $name) "localhost:8443" $production) "token_file" "/etc/nearcode-operator/token")
  "tls" (dict "ca_file" "/etc/nearcode-operator/tls/ca.crt" "cert_file" "/etc/nearcode-operator/tls/tls.crt" "key_file" "/etc/nearcode-operator/tls/tls.key")
  "ops" (dict "listen" "0.0.0.0:9444" "probes" "0.0.0.0:8088") -}}
{{- if $production -}}
{{- $_ := set $settings "jobs" (dict "enabled" true "budget" .Values.jobs.budget "template_file" "/etc/nearcode-operator/job.yaml") -}}
{{- $workers := dict -}}
{{- range $component, $stage := dict "chunking" "synced" "embedding" "cut" -}}
{{- $entry := get (include "nearcode.workloads" $ | fromYaml) $component | default dict -}}
{{- if eq (include "nearcode.scaledBy" (dict "root" $ "component" $component "entry" $entry)) "operator" -}}
{{- $_ := set $workers $component (dict "deployment" (printf "%s-%s" $name $component) "stages" (list $stage) "minimum" $entry.autoscaling.min "maximum" $entry.autoscaling.max) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $settings "workers" $workers -}}
{{- end -}}
{{- toYaml (mergeOverwrite $settings (deepCopy .Values.operator.settings)) -}}
{{- end -}}
