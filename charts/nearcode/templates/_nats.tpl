{{/* Our own NATS. The program is in the engine's image, for the embedded profile; any other image with it will do. */}}
{{- define "nearcode.natsPod" -}}
{{- $image := .root.Values.nats.container.image -}}
annotations:
  checksum/settings: {{ include "nearcode.natsConfig" .root | sha256sum }}
containers:
  - name: nats
    image: {{ include "nearcode.image" (dict "root" .root "image" (ternary $image .root.Values.image (not (empty $image.repository)))) }}
    imagePullPolicy: {{ $image.pullPolicy }}
    command: {{ toJson .root.Values.nats.container.command }}
    args: [--config, /etc/nats/nats.conf]
    env:
      - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
      {{- with .entry.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      {{- include "nearcode.containerPorts" .entry | nindent 6 }}
    startupProbe: {httpGet: {path: /healthz, port: monitor, scheme: HTTPS}, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 90}
    readinessProbe: {httpGet: {path: "/healthz?js-server-only=true", port: monitor, scheme: HTTPS}, periodSeconds: 5, timeoutSeconds: 5}
    livenessProbe: {httpGet: {path: "/healthz?js-enabled-only=true", port: monitor, scheme: HTTPS}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
    resources: {{ toJson .entry.resources }}
    volumeMounts:
      - {name: data, mountPath: /data}
      - {name: nats, mountPath: /etc/nats, readOnly: true}
      {{- with .entry.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: nats
    projected:
      defaultMode: 0440
      sources:
        - configMap: {name: {{ include "nearcode.fullname" .root }}-nats}
        - secret: {name: {{ include "nearcode.natsSecret" .root }}, items: [{key: auth.conf, path: auth.conf}]}
        - secret:
            name: {{ include "nearcode.tlsSecret" . }}
            items: [{key: ca.crt, path: ca.crt}, {key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
{{- end -}}

{{/* nats.conf. The token comes by `include`, from a Secret. */}}
{{- define "nearcode.natsConfig" -}}
{{- $servers := include "nearcode.natsServers" . | int -}}
{{- $name := printf "%s-nats" (include "nearcode.fullname" .) -}}
{{- $files := `cert_file: "/etc/nats/tls.crt", key_file: "/etc/nats/tls.key", ca_file: "/etc/nats/ca.crt"` -}}
server_name: $POD_NAME
listen: "0.0.0.0:4222"
https: "0.0.0.0:8222"
tls { {{ $files }}, verify: true }
include "auth.conf"
jetstream { store_dir: "/data/jetstream", sync_interval: always }
lame_duck_duration: 30s
lame_duck_grace_period: 10s
{{- if gt $servers 1 }}
cluster {
  name: {{ $name }}
  listen: "0.0.0.0:6222"
  tls { {{ $files }}, verify: true }
  routes: [{{ range $number := until $servers }}{{ if $number }}, {{ end }}"tls://{{ $name }}-{{ $number }}.{{ $name }}:6222"{{ end }}]
}
{{- end }}
{{- end -}}
