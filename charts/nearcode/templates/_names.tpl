{{/* A name for everything, at most 36 characters, so that the longest suffix and a pod's number stay within 63. Names that
     must be cut, or are no DNS label, get a hash of the whole one: two releases never share a name. */}}
{{- define "nearcode.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $full := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) -}}
{{- if or (gt (len $full) 36) (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $full)) -}}
{{- $label := regexReplaceAll "[^a-z0-9]+" (lower $full) "-" | trimAll "-" -}}
{{- printf "%s-%s" (printf "%s%s" (ternary "" "n" (regexMatch "^[a-z]" $label)) $label | trunc 27 | trimSuffix "-") (sha256sum $full | trunc 8) -}}
{{- else -}}{{- $full -}}{{- end -}}
{{- end -}}

{{/* (root, component) -> labels that select a component's pods. */}}
{{- define "nearcode.selector" -}}
app.kubernetes.io/name: {{ .root.Values.nameOverride | default .root.Chart.Name | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* (root, component) -> labels of everything. */}}
{{- define "nearcode.labels" -}}
{{ include "nearcode.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: nearcode
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (root, component, suffix) -> metadata of an object. */}}
{{- define "nearcode.metadata" -}}
name: {{ include "nearcode.fullname" .root }}{{ with .component }}-{{ . }}{{ end }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "nearcode.labels" (dict "root" .root "component" .component) | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (root, image) -> REGISTRY/REPOSITORY:TAG, or @DIGEST. */}}
{{- define "nearcode.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- $version := ternary (printf "@%s" .image.digest) (printf ":%s" (.image.tag | default .root.Chart.AppVersion)) (not (empty .image.digest)) -}}
{{- with $registry }}{{ . }}/{{ end }}{{ .image.repository }}{{ $version }}
{{- end -}}

{{- define "nearcode.serviceAccount" -}}
{{- .Values.operator.serviceAccount.name | default (printf "%s-operator" (include "nearcode.fullname" .)) -}}
{{- end -}}

{{- define "nearcode.onOpenshift" -}}
{{- if eq (toString .Values.openshift) "auto" -}}{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}true{{- end -}}
{{- else if eq (toString .Values.openshift) "true" -}}true{{- end -}}
{{- end -}}

{{/* Where callers find the engine: the component whose Service they call. */}}
{{- define "nearcode.door" -}}{{ ternary "engine" "gateway" (eq .Values.profile "embedded") }}{{- end -}}

{{/* A size like 512Mi or 2Gi, in Mi. */}}
{{- define "nearcode.mebibytes" -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- if hasSuffix "Ti" . -}}{{ mul $number 1048576 }}{{- else if hasSuffix "Gi" . -}}{{ mul $number 1024 }}{{- else -}}{{ $number }}{{- end -}}
{{- end -}}

{{/* Settings as TOML: what is no table first, then the tables. (values, path) */}}
{{- define "nearcode.toml" -}}
{{- $path := .path | default "" -}}
{{- range $key, $value := .values }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "nearcode.tomlKey" $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .values }}
{{- if and (kindIs "map" $value) $value }}
{{- $inner := printf "%s%s" (ternary (printf "%s." $path) "" (ne $path "")) (include "nearcode.tomlKey" $key) }}

[{{ $inner }}]
{{- include "nearcode.toml" (dict "values" $value "path" $inner) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "nearcode.tomlKey" -}}
{{- ternary . (toJson .) (regexMatch "^[A-Za-z0-9_-]+$" .) -}}
{{- end -}}
