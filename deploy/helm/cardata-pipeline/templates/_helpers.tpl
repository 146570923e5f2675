{{- define "cardata.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* 40 characters at most, so that a suffix and a pod's own still fit into 63; a cron job may have 52. */}}
{{- define "cardata.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "cardata.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "cardata.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "cardata.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "cardata.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Labels of an object. Argument: (dict "root" $ "component" NAME). */}}
{{- define "cardata.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: cardata-pipeline
{{ include "cardata.selector" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of a pod: nothing that changes with the chart's version, or each new chart would restart ingest, which is a gap. */}}
{{- define "cardata.podLabels" -}}
app.kubernetes.io/part-of: cardata-pipeline
{{ include "cardata.selector" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "cardata.selector" -}}
app.kubernetes.io/name: {{ include "cardata.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "cardata.image" -}}
{{- $i := .Values.image }}
{{- if $i.digest }}
{{- printf "%s@%s" $i.repository $i.digest }}
{{- else }}
{{- printf "%s:%s" $i.repository (default .Chart.AppVersion $i.tag) }}
{{- end }}
{{- end }}

{{/* A value as text: numbers without an exponent. */}}
{{- define "cardata.text" -}}
{{- if kindIs "float64" . }}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- else }}{{ . }}{{ end }}
{{- end }}

{{/* A component's config as variables; what is empty is left to the program. */}}
{{- define "cardata.config" -}}
{{- range $key, $value := . }}
{{- $text := include "cardata.text" $value }}
{{- if $text }}
- name: CARDATA_{{ snakecase $key | upper }}
  value: {{ $text | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* A duration such as 1m30s in seconds. */}}
{{- define "cardata.seconds" -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ms|h|m|s)" . -1 }}
{{- $n := regexFind "[0-9.]+" . | float64 }}
{{- $unit := regexFind "[a-z]+" . }}
{{- $sum = addf $sum (mulf $n (get (dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001) $unit)) }}
{{- end }}
{{- int64 (ceil $sum) }}
{{- end }}

{{- define "cardata.permitSecret" -}}
{{- default (printf "%s-permit" (include "cardata.fullname" .)) .Values.permit.existingSecret }}
{{- end }}

{{- define "cardata.tokensClaim" -}}
{{- default (printf "%s-tokens" (include "cardata.fullname" .)) .Values.tokens.existingClaim }}
{{- end }}

{{- define "cardata.simulatorSecret" -}}
{{- default (printf "%s-simulator" (include "cardata.fullname" .)) .Values.simulator.existingSecret }}
{{- end }}

{{/* Addresses of ingest's permit endpoint, one for each replica. */}}
{{- define "cardata.permitURL" -}}
{{- $name := include "cardata.fullname" . }}
{{- $urls := list }}
{{- range $n := until (int .Values.ingest.replicas) }}
{{- $urls = append $urls (printf "http://%s-ingest-%d.%s-ingest-headless:%v" $name $n $name $.Values.permit.port) }}
{{- end }}
{{- join "," $urls }}
{{- end }}

{{- define "cardata.ingestURL" -}}
http://{{ include "cardata.fullname" . }}-ingest:8080
{{- end }}

{{/* Fields of every pod. Argument: (dict "root" $ "values" .Values.COMPONENT). */}}
{{- define "cardata.pod" -}}
{{- $root := .root -}}
serviceAccountName: {{ include "cardata.serviceAccountName" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Spread over nodes and zones. Argument: root, component, values. */}}
{{- define "cardata.spread" -}}
topologySpreadConstraints:
{{- if .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "cardata.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Fields of every container of the pipeline. */}}
{{- define "cardata.container" -}}
image: {{ include "cardata.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end }}

{{- define "cardata.podAnnotations" -}}
{{- $all := merge (dict) (default (dict) .values.podAnnotations) .root.Values.podAnnotations }}
{{- with .checksums }}{{ $all = merge $all . }}{{ end }}
{{- with $all }}
{{- toYaml . }}
{{- end }}
{{- end }}
