{{/* The pod of `helm test`: a git server beside what asks the engine. */}}
{{- define "nearcode.testDefaults" -}}
type: test
restartPolicy: Never
ports: {git: 8443}
terminationGracePeriodSeconds: 5
{{- end -}}

{{- define "nearcode.testUrl" -}}https://{{ include "nearcode.fullname" . }}-test:8443/shop{{- end -}}

{{- define "nearcode.testPod" -}}
{{- $image := include "nearcode.image" (dict "root" .root "image" .root.Values.image) -}}
{{- $mounts := list (dict "name" "settings" "mountPath" "/etc/nearcode" "readOnly" true) (dict "name" "scripts" "mountPath" "/tests" "readOnly" true) -}}
initContainers:
  - name: git
    image: {{ $image }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    restartPolicy: Always
    command: [/opt/nearcode/bin/python, /tests/git_server.py]
    args: [--root, /tmp/git, --cert, /etc/nearcode/tls/tls.crt, --key, /etc/nearcode/tls/tls.key, --listen, "0.0.0.0:8443", --sample, shop]
    env: [{name: HOME, value: /tmp}]
    ports:
      {{- include "nearcode.containerPorts" .entry | nindent 6 }}
    startupProbe: {tcpSocket: {port: git}, periodSeconds: 1, failureThreshold: 60}
    resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {cpu: 500m, memory: 128Mi}}
    volumeMounts: {{ toJson $mounts }}
containers:
  - name: answers
    image: {{ $image }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: [/opt/nearcode/bin/python, /tests/answers.py]
    args: [{{ include "nearcode.testUrl" .root }}, --seconds, {{ .root.Values.tests.timeoutSeconds | quote }}]
    env:
      - {name: NEARCODE_CONFIG, value: /etc/nearcode/nearcode.toml}
      - {name: NEARCODE_HOME, value: /tmp/nearcode}
      - {name: NEARCODE_GATEWAY__ADDRESS, value: "{{ include "nearcode.fullname" .root }}-{{ include "nearcode.door" .root }}:8443"}
      - {name: HOME, value: /tmp}
    resources: {requests: {cpu: 50m, memory: 128Mi}, limits: {cpu: "1", memory: 512Mi}}
    volumeMounts: {{ toJson $mounts }}
volumes:
  - name: settings
    projected:
      defaultMode: 0440
      sources:
        - configMap: {name: {{ include "nearcode.fullname" .root }}-settings, items: [{key: nearcode.toml, path: nearcode.toml}]}
        {{- include "nearcode.identitySources" . | nindent 8 }}
  - name: scripts
    configMap: {name: {{ include "nearcode.fullname" .root }}-test, defaultMode: 0444}
{{- end -}}
