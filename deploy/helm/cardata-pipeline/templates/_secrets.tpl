{{/*
Secrets that the chart makes when none is named. What the cluster holds already
is kept; `helm template` cannot see it and makes new ones each time.
*/}}
{{- define "cardata.kept" -}}
{{- $held := lookup "v1" "Secret" .root.Release.Namespace .name }}
{{- with $held }}{{ .data | toJson }}{{ end }}
{{- end }}

{{/* One rendering makes each value once: the pods' checksums and the secret itself must agree. */}}
{{- define "cardata.permitSecretData" -}}
{{- $cache := .Values.permit }}
{{- if not (hasKey $cache "made") }}
{{- $held := include "cardata.kept" (dict "root" . "name" (include "cardata.permitSecret" .)) | default "{}" | fromJson }}
{{- $_ := set $cache "made" (dict .Values.permit.key (get $held .Values.permit.key | default (randAlphaNum 40 | b64enc)) | toJson) }}
{{- end }}
{{- $cache.made }}
{{- end }}

{{- define "cardata.trialInfluxSecretData" -}}
{{- $cache := .Values.trial.influxdb }}
{{- if not (hasKey $cache "made") }}
{{- $held := include "cardata.kept" (dict "root" . "name" (include "cardata.trialInfluxSecret" .)) | default "{}" | fromJson }}
{{- $token := get $held "token" | default (randAlphaNum 40 | b64enc) }}
{{- $password := get $held "password" | default (randAlphaNum 24 | b64enc) }}
{{- $_ := set $cache "made" (dict "token" $token "password" $password | toJson) }}
{{- end }}
{{- $cache.made }}
{{- end }}

{{- define "cardata.simulatorSecretData" -}}
{{- $cache := .Values.simulator }}
{{- if not (hasKey $cache "made") }}
{{- $held := include "cardata.kept" (dict "root" . "name" (include "cardata.simulatorSecret" .)) | default "{}" | fromJson }}
{{- if and (hasKey $held "ca.pem") (hasKey $held "ca-key.pem") }}
{{- $_ := set $cache "made" (pick $held "ca.pem" "ca-key.pem" | toJson) }}
{{- else }}
{{- $key := genPrivateKey "ed25519" }}
{{- $ca := genCAWithKey "CarData simulator CA" 3650 $key }}
{{- $_ := set $cache "made" (dict "ca.pem" ($ca.Cert | b64enc) "ca-key.pem" ($key | b64enc) | toJson) }}
{{- end }}
{{- end }}
{{- $cache.made }}
{{- end }}

{{- define "cardata.secret" -}}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ .name }}
  labels:
    {{- include "cardata.labels" . | nindent 4 }}
  {{- with .keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
type: Opaque
data:
  {{- .data | fromJson | toYaml | nindent 2 }}
{{- end }}
