{{/* (root, component, entry, policies) -> who may call a component: those that say so in `calls`, by all its ports but metrics. */}}
{{- define "nearcode.ingress" -}}
{{- $ports := omit (.entry.ports | default dict) "metrics" "operator-http" -}}
{{- $callers := list -}}
{{- range $caller, $entry := .policies -}}
{{- if has $.component ($entry.calls | default list) -}}{{- $callers = append $callers $caller -}}{{- end -}}
{{- end -}}
{{- if and (eq .component "test") .entry.ports -}}
{{- range $caller, $entry := .policies -}}{{- if $entry.fetches -}}{{- $callers = append $callers $caller -}}{{- end -}}{{- end -}}
{{- end -}}
{{- if eq .component (include "nearcode.door" .root) }}
- {{ with .root.Values.networkPolicy.gatewayFrom }}from: {{ toJson . }}
  {{ end }}ports: [{port: {{ .entry.ports.grpc }}, protocol: TCP}]
{{- end }}
{{- with $callers }}
- from:
    {{- range . }}
    - podSelector:
        matchLabels:
          {{- include "nearcode.selector" (dict "root" $.root "component" .) | nindent 10 }}
    {{- end }}
  ports:
    {{- include "nearcode.policyPorts" (dict "ports" $ports) | nindent 4 }}
{{- end }}
{{- if and .root.Values.networkPolicy.metricsFrom (get (.entry.ports | default dict) "metrics") }}
- from: {{ toJson .root.Values.networkPolicy.metricsFrom }}
  ports: [{port: {{ .entry.ports.metrics }}, protocol: TCP}]
{{- end }}
{{- end -}}

{{/* What a component may call: name servers, components in `calls`, code hosts, the API server, what its settings name. */}}
{{- define "nearcode.egress" -}}
{{- $policy := .root.Values.networkPolicy -}}
- to: {{ toJson $policy.dnsTo }}
  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}, {port: 5353, protocol: UDP}, {port: 5353, protocol: TCP}]
{{- range $callee := .entry.calls }}
{{- with get $.policies $callee }}
- to:
    - podSelector:
        matchLabels:
          {{- include "nearcode.selector" (dict "root" $.root "component" $callee) | nindent 10 }}
  ports:
    {{- include "nearcode.policyPorts" (dict "ports" (omit .ports "metrics")) | nindent 4 }}
{{- end }}
{{- end }}
{{- if .entry.fetches }}
- {{ with $policy.codeHosts.to }}to: {{ toJson . }}
  {{ end }}ports:
    {{- range $policy.codeHosts.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- with get .policies "test" }}
- to:
    - podSelector:
        matchLabels:
          {{- include "nearcode.selector" (dict "root" $.root "component" "test") | nindent 10 }}
  ports:
    {{- include "nearcode.policyPorts" (dict "ports" .ports) | nindent 4 }}
{{- end }}
{{- end }}
{{- if .entry.callsApiServer }}
- {{ with $policy.apiServer.to }}to: {{ toJson . }}
  {{ end }}ports:
    {{- range $policy.apiServer.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- range $port := include "nearcode.outsidePorts" . | fromJsonArray }}
- ports: [{port: {{ int $port }}, protocol: TCP}]
{{- end }}
{{- with .entry.egress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "nearcode.policyPorts" -}}
{{- range $name, $number := .ports }}
- {port: {{ $number }}, protocol: TCP}
{{- end }}
{{- end -}}

{{/* Ports of servers beyond the release that the settings name. */}}
{{- define "nearcode.outsidePorts" -}}
{{- $settings := include "nearcode.settings" .root | fromYaml -}}
{{- $urls := list -}}
{{- $calls := .entry.calls | default list -}}
{{- $everything := eq .component "engine" -}}
{{- if or $everything (eq .component "generation") -}}{{- $urls = append $urls (dig "generation" "url" "" $settings) -}}{{- end -}}
{{- if or $everything (has "triton" $calls) -}}{{- if not (include "nearcode.ownTriton" .root) -}}{{- $urls = append $urls (dig "embedding" "chat" "url" "" $settings) -}}{{- end -}}{{- end -}}
{{- if eq (dig "telemetry" "spans" "off" $settings) "otlp" -}}{{- $urls = append $urls (dig "telemetry" "otlp_endpoint" "http://x:4317" $settings) -}}{{- end -}}
{{- if and (has "nats" $calls) (not (include "nearcode.ownNats" .root)) -}}
{{- $urls = concat $urls (splitList "," (dig "events" "url" "" $settings)) (splitList "," (dig "events" "monitor_url" "" $settings)) -}}
{{- end -}}
{{- $ports := list -}}
{{- if and (has "qdrant" $calls) (not (include "nearcode.ownQdrant" .root)) -}}
{{- $urls = concat $urls (splitList "," (dig "index" "url" "" $settings)) -}}
{{- $ports = append $ports (dig "index" "grpc_port" 6334 $settings | int) -}}
{{- end -}}
{{- range $urls -}}
{{- if . -}}
{{- $port := regexFind ":[0-9]+$" (urlParse (trim .)).host | trimPrefix ":" -}}
{{- $ports = append $ports ($port | default (ternary 443 80 (hasPrefix "https" (trim .))) | int) -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}
