{{/* (root, component, entry) -> the Service of a workload. Without an address of its own where each pod is called by name. */}}
{{- define "nearcode.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "nearcode.metadata" (merge (dict "annotations" .entry.service.annotations) .) | nindent 2 }}
spec:
  {{- if .entry.headless }}
  clusterIP: None
  publishNotReadyAddresses: true
  {{- else }}
  type: {{ .entry.service.type }}
  {{- end }}
  selector:
    {{- include "nearcode.selector" . | nindent 4 }}
  ports:
    {{- range $name, $number := .entry.ports }}
    - {name: {{ $name }}, port: {{ $number }}, targetPort: {{ $number }}, protocol: TCP}
    {{- end }}
{{- end -}}
