{{/* A pod of the engine: one service, all of them, or a Job's worker. The embedded one has the operator beside. */}}
{{- define "nearcode.enginePod" -}}
{{- $settings := include "nearcode.settings" .root -}}
annotations:
  checksum/settings: {{ sha256sum $settings }}
containers:
  - name: {{ .component }}
    image: {{ include "nearcode.image" (dict "root" .root "image" .root.Values.image) }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    {{- with .entry.args }}
    args: {{ toJson . }}
    {{- end }}
    env:
      - {name: NEARCODE_CONFIG, value: /etc/nearcode/nearcode.toml}
      - {name: HOME, value: /data}
      {{- if eq .component "gateway" }}
      - {name: NEARCODE_GATEWAY__ADDRESS, value: "localhost:8443"}
      {{- end }}
      {{- with .entry.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      {{- include "nearcode.containerPorts" (dict "ports" (merge (dict "probes" 8087) .entry.ports)) | nindent 6 }}
    {{- include "nearcode.grpcProbes" (dict "port" 8087 "startSeconds" 300) | nindent 4 }}
    resources: {{ toJson .entry.resources }}
    volumeMounts:
      - {name: data, mountPath: /data}
      - {name: settings, mountPath: /etc/nearcode, readOnly: true}
      {{- if .entry.fetches }}
      - {name: credentials, mountPath: /etc/nearcode-credentials, readOnly: true}
      {{- end }}
      {{- with .entry.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- if eq .root.Values.profile "embedded" }}
  {{- include "nearcode.operatorContainer" .root | nindent 2 }}
{{- end }}
volumes:
  - name: settings
    projected:
      defaultMode: 0440
      sources:
        {{- include "nearcode.settingsSources" . | nindent 8 }}
  {{- if .entry.fetches }}
  - name: credentials
    secret: {secretName: {{ include "nearcode.fullname" .root }}-credentials, defaultMode: 0440, optional: true}
  {{- end }}
  {{- if eq .root.Values.profile "embedded" }}
  {{- include "nearcode.operatorVolumes" .root | nindent 2 }}
  {{- end }}
{{- if eq .root.Values.profile "embedded" }}
serviceAccountName: {{ include "nearcode.serviceAccount" .root }}
{{- end }}
{{- end -}}

{{/* What lies in /etc/nearcode: the settings file and the secrets that it names. */}}
{{- define "nearcode.settingsSources" -}}
{{- $name := include "nearcode.fullname" .root -}}
- configMap: {name: {{ $name }}-settings, items: [{key: nearcode.toml, path: nearcode.toml}]}
{{ include "nearcode.identitySources" . }}
{{- if eq .root.Values.profile "production" }}
{{- with .root.Values.externalNats.caSecret }}
- secret: {name: {{ . }}, items: [{key: ca.crt, path: nats/ca.crt}]}
{{- end }}
{{- with .root.Values.externalQdrant.caSecret }}
- secret: {name: {{ . }}, items: [{key: ca.crt, path: qdrant/ca.crt}]}
{{- end }}
{{- with include "nearcode.natsSecret" .root }}
- secret: {name: {{ . }}, items: [{key: token, path: nats/token}]}
{{- end }}
{{- with include "nearcode.qdrantSecret" .root }}
- secret: {name: {{ . }}, items: [{key: api-key, path: qdrant/api-key}]}
{{- end }}
{{- end }}
{{- range $file, $from := .root.Values.secretFiles }}
- secret: {name: {{ $from.secret }}, items: [{key: {{ $from.key }}, path: secrets/{{ $file }}}]}
{{- end }}
{{- end -}}

{{/* (root, component) -> certificate and token of a component. */}}
{{- define "nearcode.identitySources" -}}
- secret:
    name: {{ include "nearcode.tlsSecret" . }}
    items: [{key: ca.crt, path: tls/ca.crt}, {key: tls.crt, path: tls/tls.crt}, {key: tls.key, path: tls/tls.key}]
- secret: {name: {{ include "nearcode.tokenSecret" .root }}, items: [{key: token, path: token}]}
{{- end -}}

{{- define "nearcode.containerPorts" -}}
{{- range $name, $number := .ports }}
- {name: {{ $name }}, containerPort: {{ $number }}, protocol: TCP}
{{- end }}
{{- end -}}

{{/* (port, startSeconds) -> probes by the plaintext door that answers health checks and nothing else. */}}
{{- define "nearcode.grpcProbes" -}}
startupProbe: {grpc: {port: {{ .port }}, service: livez}, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: {{ div .startSeconds 2 }}}
readinessProbe: {grpc: {port: {{ .port }}, service: readyz}, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 3}
livenessProbe: {grpc: {port: {{ .port }}, service: livez}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
{{- end -}}
