{{/* Names of Secrets: those that were given, else those that helm makes (secrets.yaml). */}}
{{- define "nearcode.tlsSecret" -}}
{{- .root.Values.tls.existingSecret | default (printf "%s-%s-tls" (include "nearcode.fullname" .root) .component) -}}
{{- end -}}

{{- define "nearcode.tokenSecret" -}}
{{- .Values.token.existingSecret | default (printf "%s-token" (include "nearcode.fullname" .)) -}}
{{- end -}}

{{- define "nearcode.natsSecret" -}}
{{- if include "nearcode.ownNats" . -}}{{ .Values.nats.auth.existingSecret | default (printf "%s-nats-auth" (include "nearcode.fullname" .)) }}
{{- else -}}{{ .Values.externalNats.existingSecret }}{{- end -}}
{{- end -}}

{{- define "nearcode.qdrantSecret" -}}
{{- if include "nearcode.ownQdrant" . -}}{{ .Values.qdrant.apiKey.existingSecret | default (printf "%s-qdrant-auth" (include "nearcode.fullname" .)) }}
{{- else -}}{{ .Values.externalQdrant.existingSecret }}{{- end -}}
{{- end -}}

{{/* Who has a certificate: every workload, the operator wherever it runs, and what begins and ends by itself. */}}
{{- define "nearcode.identities" -}}
{{- $found := concat (include "nearcode.workloads" . | fromYaml | keys) (list "operator") -}}
{{- if eq .Values.profile "production" -}}{{- $found = append $found "worker" -}}{{- end -}}
{{- if .Values.tests.enabled -}}{{- $found = append $found "test" -}}{{- end -}}
{{- $found | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* (root, component) -> the names in its certificate. */}}
{{- define "nearcode.certificateNames" -}}
{{- $short := printf "%s-%s" (include "nearcode.fullname" .root) .component -}}
{{- $ends := list "" (printf ".%s" .root.Release.Namespace) (printf ".%s.svc" .root.Release.Namespace) (printf ".%s.svc.%s" .root.Release.Namespace .root.Values.clusterDomain) -}}
{{- $hosts := list $short -}}
{{- with get (include "nearcode.workloads" .root | fromYaml) .component -}}
{{- if .headless -}}{{- range $number := until (int .replicas) -}}{{- $hosts = append $hosts (printf "%s-%d.%s" $short $number $short) -}}{{- end -}}{{- end -}}
{{- end -}}
{{- $names := list "localhost" -}}
{{- range $host := $hosts -}}{{- range $ends -}}{{- $names = append $names (printf "%s%s" $host .) -}}{{- end -}}{{- end -}}
{{- if eq .component (include "nearcode.door" .root) -}}{{- $names = concat $names .root.Values.tls.names -}}{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* (root, name, key) -> what a Secret holds in the cluster, decoded; empty where it is not there or helm may not look. */}}
{{- define "nearcode.kept" -}}
{{- $secret := lookup "v1" "Secret" .root.Release.Namespace .name | default dict -}}
{{- get ($secret.data | default dict) .key | b64dec -}}
{{- end -}}
