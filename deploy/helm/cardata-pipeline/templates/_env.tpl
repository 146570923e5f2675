{{/* A variable from a secret. Argument: (list NAME SECRET KEY). */}}
{{- define "cardata.secretVar" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end }}

{{/* How Kafka is reached: for every process that talks to it. */}}
{{- define "cardata.kafkaConnection" -}}
- name: CARDATA_KAFKA_BROKERS
{{- if .Values.trial.kafka.enabled }}
  value: {{ include "cardata.fullname" . }}-trial-kafka:9092
{{- else }}
  value: {{ (join "," .Values.kafka.brokers) | quote }}
{{- end }}
- name: CARDATA_TOPIC_PREFIX
  value: {{ .Values.kafka.topicPrefix | quote }}
{{- with .Values.kafka.tls }}
{{- if .enabled }}
- name: CARDATA_KAFKA_TLS
  value: "true"
{{- if and .existingSecret .caKey }}
- name: CARDATA_KAFKA_CA_FILE
  value: /etc/cardata/kafka/{{ .caKey }}
{{- end }}
{{- if and .existingSecret .certKey }}
- name: CARDATA_KAFKA_CERT_FILE
  value: /etc/cardata/kafka/{{ .certKey }}
- name: CARDATA_KAFKA_KEY_FILE
  value: /etc/cardata/kafka/{{ .keyKey }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.kafka.sasl }}
{{- if .mechanism }}
{{- $secret := .existingSecret }}
- name: CARDATA_KAFKA_SASL
  value: {{ .mechanism }}
{{ include "cardata.secretVar" (list "CARDATA_KAFKA_USER" $secret .userKey) }}
{{ include "cardata.secretVar" (list "CARDATA_KAFKA_PASSWORD" $secret .passwordKey) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "cardata.compression" -}}
- name: CARDATA_KAFKA_COMPRESSION
  value: {{ .Values.kafka.compression }}
{{- end }}

{{/* Topics that are made when missing: for ingest, sink and backfill. */}}
{{- define "cardata.topics" -}}
- name: CARDATA_TOPIC_PARTITIONS
  value: {{ .Values.kafka.topicPartitions | quote }}
- name: CARDATA_TOPIC_REPLICATION
  value: {{ .Values.kafka.topicReplication | quote }}
- name: CARDATA_TOPIC_MIN_INSYNC
  value: {{ .Values.kafka.topicMinInsync | quote }}
- name: CARDATA_READINGS_RETENTION
  value: {{ .Values.kafka.readingsRetention }}
- name: CARDATA_RAW_RETENTION
  value: {{ .Values.kafka.rawRetention }}
{{- end }}

{{- define "cardata.influxdb" -}}
{{- $i := .Values.influxdb -}}
{{- if .Values.trial.influxdb.enabled }}
- name: CARDATA_INFLUX_URL
  value: http://{{ include "cardata.fullname" . }}-trial-influxdb:8086
- name: CARDATA_INFLUX_ORG
  value: cardata
{{ include "cardata.secretVar" (list "CARDATA_INFLUX_TOKEN" (include "cardata.trialInfluxSecret" .) "token") }}
{{- else }}
- name: CARDATA_INFLUX_URL
  value: {{ $i.url | quote }}
{{- with $i.org }}
- name: CARDATA_INFLUX_ORG
  value: {{ . | quote }}
{{- end }}
{{- with $i.auth }}
{{- if .existingSecret }}
{{- if .userKey }}
{{ include "cardata.secretVar" (list "CARDATA_INFLUX_USER" .existingSecret .userKey) }}
{{ include "cardata.secretVar" (list "CARDATA_INFLUX_PASSWORD" .existingSecret .passwordKey) }}
{{- else }}
{{ include "cardata.secretVar" (list "CARDATA_INFLUX_TOKEN" .existingSecret .tokenKey) }}
{{- end }}
{{- end }}
{{- end }}
{{- with $i.tls }}
{{- if and .existingSecret .caKey }}
- name: CARDATA_INFLUX_CA_FILE
  value: /etc/cardata/influxdb/{{ .caKey }}
{{- end }}
{{- if and .existingSecret .certKey }}
- name: CARDATA_INFLUX_CERT_FILE
  value: /etc/cardata/influxdb/{{ .certKey }}
- name: CARDATA_INFLUX_KEY_FILE
  value: /etc/cardata/influxdb/{{ .keyKey }}
{{- end }}
{{- end }}
{{- end }}
- name: CARDATA_INFLUX_BUCKET
  value: {{ $i.bucket | quote }}
{{- end }}

{{- define "cardata.trialInfluxSecret" -}}
{{- default (printf "%s-trial-influxdb" (include "cardata.fullname" .)) .Values.trial.influxdb.existingSecret }}
{{- end }}

{{- define "cardata.simulatorHost" -}}
{{ include "cardata.fullname" . }}-simulator
{{- end }}

{{/* BMW's addresses, or the simulator's. Argument: (dict "root" $ "stream" BOOL "rest" BOOL). */}}
{{- define "cardata.bmw" -}}
{{- $root := .root }}
{{- $host := include "cardata.simulatorHost" $root }}
{{- $sim := $root.Values.simulator.enabled -}}
- name: CARDATA_OAUTH_URL
  value: {{ $sim | ternary (printf "https://%s:8443" $host) $root.Values.bmw.oauthUrl }}
{{- if .stream }}
- name: CARDATA_MQTT_ADDR
  value: {{ $sim | ternary (printf "%s:9000" $host) $root.Values.bmw.mqttAddr }}
{{- end }}
{{- if .rest }}
- name: CARDATA_REST_URL
  value: {{ $sim | ternary (printf "https://%s:8443" $host) $root.Values.bmw.restUrl }}
{{- end }}
{{- if $sim }}
- name: CARDATA_CA_FILE
  value: /etc/cardata/simulator/ca.pem
{{- end }}
{{- end }}

{{- define "cardata.permitClient" -}}
- name: CARDATA_PERMIT_URL
  value: {{ include "cardata.permitURL" . | quote }}
{{ include "cardata.secretVar" (list "CARDATA_PERMIT_SECRET" (include "cardata.permitSecret" .) .Values.permit.key) }}
{{- end }}

{{/* Further variables of the chart and of the component, which win over the chart's own. */}}
{{- define "cardata.extraEnv" -}}
{{- with concat .root.Values.extraEnv (default list .values.extraEnv) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Certificates, as volumes. Argument: (dict "root" $ "kafka" BOOL "influxdb" BOOL "bmw" BOOL). */}}
{{- define "cardata.certVolumes" -}}
{{- $v := .root.Values }}
{{- if and .kafka $v.kafka.tls.enabled $v.kafka.tls.existingSecret }}
- name: kafka-tls
  secret:
    secretName: {{ $v.kafka.tls.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if and .influxdb $v.influxdb.tls.existingSecret (not $v.trial.influxdb.enabled) }}
- name: influxdb-tls
  secret:
    secretName: {{ $v.influxdb.tls.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if and .bmw $v.simulator.enabled }}
- name: simulator-ca
  secret:
    secretName: {{ include "cardata.simulatorSecret" .root }}
    defaultMode: 0440
    items:
      - key: ca.pem
        path: ca.pem
{{- end }}
{{- end }}

{{- define "cardata.certMounts" -}}
{{- $v := .root.Values }}
{{- if and .kafka $v.kafka.tls.enabled $v.kafka.tls.existingSecret }}
- name: kafka-tls
  mountPath: /etc/cardata/kafka
  readOnly: true
{{- end }}
{{- if and .influxdb $v.influxdb.tls.existingSecret (not $v.trial.influxdb.enabled) }}
- name: influxdb-tls
  mountPath: /etc/cardata/influxdb
  readOnly: true
{{- end }}
{{- if and .bmw $v.simulator.enabled }}
- name: simulator-ca
  mountPath: /etc/cardata/simulator
  readOnly: true
{{- end }}
{{- end }}

{{/* A claim's spec. Argument: (dict "size" S "class" C "modes" M). */}}
{{- define "cardata.claimSpec" -}}
accessModes:
  {{- toYaml .modes | nindent 2 }}
{{- with .class }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end }}
