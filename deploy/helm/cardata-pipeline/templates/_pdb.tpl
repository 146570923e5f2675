{{/* A pod that is not ready anyway may always be evicted: a missing login must not stop a node's drain. */}}
{{- define "cardata.pdb" -}}
{{- if .values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "cardata.fullname" .root }}-{{ .component }}
  labels:
    {{- include "cardata.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "cardata.selector" . | nindent 6 }}
{{- end }}
{{- end }}
