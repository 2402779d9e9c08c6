{{/* The settings file of every process of the engine, as a map: what the chart knows, then `settings` over it. */}}
{{- define "nearcode.settings" -}}
{{- $name := include "nearcode.fullname" . -}}
{{- $production := eq .Values.profile "production" -}}
{{- $settings := dict
  "home" "/data"
  "tls" (dict "ca_file" "/etc/nearcode/tls/ca.crt" "cert_file" "/etc/nearcode/tls/tls.crt" "key_file" "/etc/nearcode/tls/tls.key")
  "ops" (dict "listen" "0.0.0.0:9443" "probes" "0.0.0.0:8087")
  "gateway" (dict "listen" "0.0.0.0:8443" "address" "localhost:8443" "token_file" "/etc/nearcode/token" "connect" (not $production))
  "ingestion" (dict "credentials_dir" "/etc/nearcode-credentials" "git_ca_files" dict)
  "embedding" dict "generation" dict -}}
{{- if .Values.tests.enabled -}}
{{- $_ := set $settings.ingestion.git_ca_files (include "nearcode.testUrl" . | trimSuffix "/shop") "/etc/nearcode/tls/ca.crt" -}}
{{- end -}}
{{- if $production -}}
{{- $_ := set $settings.gateway "address" (printf "%s-gateway:8443" $name) -}}
{{- range list "ingestion" "chunking" "embedding" "retrieval" "generation" -}}
{{- $_ := set $settings . (merge (get $settings . | default dict) (dict "listen" "0.0.0.0:8443" "address" (printf "%s-%s:8443" $name .))) -}}
{{- end -}}
{{- $_ := set $settings "events" (merge (include "nearcode.natsSettings" . | fromYaml) (dict "bulk" false)) -}}
{{- $_ := set $settings "index" (include "nearcode.qdrantSettings" . | fromYaml) -}}
{{- end -}}
{{- if include "nearcode.ownTriton" . -}}
{{- $_ := set $settings.embedding "chat" (dict "url" (printf "grpcs://%s-triton:8001" $name) "profile" .Values.triton.model) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $settings (deepCopy .Values.settings)) -}}
{{- end -}}
