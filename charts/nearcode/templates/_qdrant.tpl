{{/* Our own Qdrant: a cluster, also of one, so that it can grow. */}}
{{- define "nearcode.qdrantPod" -}}
{{- $name := printf "%s-qdrant" (include "nearcode.fullname" .root) -}}
{{- $start := printf "%s --config-path config.yaml --uri https://$POD_NAME.%s:6335" (join " " .root.Values.qdrant.command) $name -}}
annotations:
  checksum/settings: {{ include "nearcode.qdrantConfig" .root | sha256sum }}
containers:
  - name: qdrant
    image: {{ include "nearcode.image" (dict "root" .root "image" .root.Values.qdrant.image) }}
    imagePullPolicy: {{ .root.Values.qdrant.image.pullPolicy }}
    {{- if gt (int .entry.replicas) 1 }}
    command: [/bin/sh, -c]
    args:
      - |
        if [ "$POD_NAME" = "{{ $name }}-0" ]; then exec {{ $start }}; fi
        exec {{ $start }} --bootstrap https://{{ $name }}-0.{{ $name }}:6335
    {{- else }}
    command: {{ toJson .root.Values.qdrant.command }}
    args: [--config-path, config.yaml, --uri, "https://$(POD_NAME).{{ $name }}:6335"]
    {{- end }}
    workingDir: /etc/qdrant
    env:
      - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
      - {name: QDRANT_INIT_FILE_PATH, value: /data/.qdrant-initialized}
      {{- with .entry.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      {{- include "nearcode.containerPorts" .entry | nindent 6 }}
    startupProbe: {httpGet: {path: /livez, port: http, scheme: HTTPS}, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 300}
    readinessProbe: {httpGet: {path: /readyz, port: http, scheme: HTTPS}, periodSeconds: 5, timeoutSeconds: 5}
    livenessProbe: {httpGet: {path: /livez, port: http, scheme: HTTPS}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
    resources: {{ toJson .entry.resources }}
    volumeMounts:
      - {name: data, mountPath: /data}
      - {name: qdrant, mountPath: /etc/qdrant, readOnly: true}
      {{- with .entry.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: qdrant
    projected:
      defaultMode: 0440
      sources:
        - configMap: {name: {{ $name }}}
        - secret: {name: {{ include "nearcode.qdrantSecret" .root }}, items: [{key: local.yaml, path: config/local.yaml}]}
        - secret:
            name: {{ include "nearcode.tlsSecret" . }}
            items: [{key: ca.crt, path: tls/ca.crt}, {key: tls.crt, path: tls/tls.crt}, {key: tls.key, path: tls/tls.key}]
{{- end -}}

{{/* config.yaml. The API key is in config/local.yaml, from a Secret, which Qdrant reads by itself. */}}
{{- define "nearcode.qdrantConfig" -}}
{{- $settings := dict
  "log_level" "INFO"
  "telemetry_disabled" true
  "storage" (dict "storage_path" "/data/storage" "snapshots_path" "/data/snapshots")
  "service" (dict "host" "0.0.0.0" "http_port" 6333 "grpc_port" 6334 "enable_tls" true)
  "tls" (dict "cert" "/etc/qdrant/tls/tls.crt" "key" "/etc/qdrant/tls/tls.key" "ca_cert" "/etc/qdrant/tls/ca.crt" "cert_ttl" 3600)
  "cluster" (dict "enabled" true "p2p" (dict "port" 6335 "enable_tls" true)) -}}
{{- toYaml (mergeOverwrite $settings (deepCopy .Values.qdrant.config)) -}}
{{- end -}}
