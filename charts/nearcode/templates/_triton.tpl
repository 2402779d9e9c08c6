{{/* Triton. Inference is spoken over TLS to callers with a certificate of ours; its own HTTP door speaks no TLS and stays shut.
     The doors open when the models are loaded, so metrics, which hold no code, tell whether it is ready. */}}
{{- define "nearcode.tritonPod" -}}
containers:
  - name: triton
    image: {{ include "nearcode.image" (dict "root" .root "image" .root.Values.triton.image) }}
    imagePullPolicy: {{ .root.Values.triton.image.pullPolicy }}
    command: {{ toJson .root.Values.triton.command }}
    args:
      - --load-model={{ .root.Values.triton.model }}
      - --allow-http=false
      - --grpc-port=8001
      - --metrics-port=8002
      - --grpc-use-ssl=true
      - --grpc-use-ssl-mutual=true
      - --grpc-server-cert=/etc/triton/tls.crt
      - --grpc-server-key=/etc/triton/tls.key
      - --grpc-root-cert=/etc/triton/ca.crt
      - --exit-timeout-secs=30
    env:
      - {name: HOME, value: /data}
      {{- with .entry.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      {{- include "nearcode.containerPorts" .entry | nindent 6 }}
    startupProbe: {httpGet: {path: /metrics, port: metrics}, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 120}
    readinessProbe: {httpGet: {path: /metrics, port: metrics}, periodSeconds: 5, timeoutSeconds: 5}
    livenessProbe: {httpGet: {path: /metrics, port: metrics}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
    {{- $gpus := .root.Values.triton.gpus | int }}
    resources: {{ mergeOverwrite (deepCopy .entry.resources) (ternary (dict "limits" (dict "nvidia.com/gpu" $gpus)) dict (gt $gpus 0)) | toJson }}
    volumeMounts:
      - {name: data, mountPath: /data}
      - {name: shm, mountPath: /dev/shm}
      - {name: triton, mountPath: /etc/triton, readOnly: true}
      {{- with .entry.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: shm
    emptyDir: {medium: Memory, sizeLimit: 256Mi}
  - name: triton
    secret: {secretName: {{ include "nearcode.tlsSecret" . }}, defaultMode: 0440}
{{- end -}}
