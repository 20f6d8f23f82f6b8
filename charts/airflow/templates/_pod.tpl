{{/* One way to make a pod of Airflow's image; every component goes through it. */}}

{{/* The pod's part of Pod Security "restricted": (list user group). */}}
{{- define "airflow.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ first . }}
runAsGroup: {{ last . }}
fsGroup: {{ last . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* A container's part of it. */}}
{{- define "airflow.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where the pods may run: (list $ .Values.scheduler "scheduler"). */}}
{{- define "airflow.placement" -}}
{{- $values := index . 1 -}}
{{- with concat (index . 0).Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- range $key := list "nodeSelector" "affinity" "tolerations" }}
{{- with index $values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if hasKey $values "topologySpreadConstraints" }}
topologySpreadConstraints:
  {{- $default := list (dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway") (dict "maxSkew" 1 "topologyKey" "topology.kubernetes.io/zone" "whenUnsatisfiable" "ScheduleAnyway") }}
  {{- range default $default $values.topologySpreadConstraints }}
  - {{- toYaml . | nindent 4 }}
    labelSelector:
      matchLabels:
        {{- include "airflow.selectorLabels" (list (index $ 0) (index $ 2)) | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The secret environment. Role "control": all of it. Role "worker" (Celery): the broker, and what reading logs needs.
Role "none": nothing. */}}
{{- define "airflow.secretEnv" -}}
{{- $v := .root.Values -}}
{{- if ne .role "none" -}}
- name: AIRFLOW__API__SECRET_KEY
  valueFrom:
    {{- include "airflow.secretKeyRef" (list .root $v.keys.api "keys") | nindent 4 }}
{{- if eq .role "control" }}
- name: AIRFLOW__DATABASE__SQL_ALCHEMY_CONN
  value: {{ include "airflow.databaseUrl" .root }}
- name: PGSSLMODE
  value: {{ ternary "prefer" $v.database.sslmode $v.pgbouncer.enabled }}
- name: PGPASSWORD
  valueFrom:
    {{- include "airflow.secretKeyRef" (list .root $v.database "database") | nindent 4 }}
- name: AIRFLOW__CORE__FERNET_KEY
  valueFrom:
    {{- include "airflow.secretKeyRef" (list .root $v.keys.fernet "keys") | nindent 4 }}
- name: AIRFLOW__API_AUTH__JWT_SECRET
  valueFrom:
    {{- include "airflow.secretKeyRef" (list .root $v.keys.jwt "keys") | nindent 4 }}
{{- end }}
{{- if eq $v.executor "CeleryExecutor" }}
- name: AIRFLOW__CELERY__BROKER_URL
  valueFrom:
    {{- include "airflow.secretKeyRef" (list .root (dict "existingSecret" $v.redis.existingSecret "key" "broker-url") "redis") | nindent 4 }}
- name: AIRFLOW__CELERY__RESULT_BACKEND
  valueFrom:
    {{- include "airflow.secretKeyRef" (list .root (dict "existingSecret" $v.redis.existingSecret "key" "result-backend") "redis") | nindent 4 }}
{{- end }}
{{- if and (eq $v.releases.source "git") $v.releases.git.existingSecret }}
- name: AIRFLOW_CONN_WHERRY_RELEASES
  valueFrom:
    {{- include "airflow.secretKeyRef" (list .root $v.releases.git "") | nindent 4 }}
{{- end }}
{{- with $v.otel.headersSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: headers}
{{- end }}
{{- end }}
{{- end }}

{{/* Everything of a container but its name, command, ports, probes and resources. */}}
{{- define "airflow.container" -}}
{{- $v := .root.Values -}}
image: {{ include "airflow.image" (list .root $v.image) }}
imagePullPolicy: {{ $v.image.pullPolicy }}
securityContext:
  {{- include "airflow.containerSecurityContext" . | nindent 2 }}
envFrom:
  - configMapRef: {name: {{ include "airflow.fullname" .root }}-config}
  {{- range $v.envFrom }}
  {{- if .secret }}
  - secretRef: {name: {{ .secret }}}
  {{- else }}
  - configMapRef: {name: {{ .configMap }}}
  {{- end }}
  {{- end }}
env:
  {{- include "airflow.secretEnv" . | nindent 2 }}
  - name: POD_IP
    valueFrom:
      fieldRef: {fieldPath: status.podIP}
  {{- range $name, $value := .values.env }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
volumeMounts:
  - {name: config, mountPath: /etc/airflow, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  - {name: run, mountPath: /run/airflow}
  - {name: logs, mountPath: /opt/airflow/logs}
  {{- if eq $v.releases.source "git" }}
  - {name: bundles, mountPath: /opt/airflow/bundles}
  {{- else if eq $v.releases.source "volume" }}
  - {name: releases, mountPath: /opt/airflow/releases, readOnly: true}
  {{- end }}
  {{- if $v.results.existingClaim }}
  - {name: results, mountPath: /opt/airflow/results}
  {{- end }}
  {{- with .mounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "airflow.volumes" -}}
{{- $v := .root.Values -}}
- name: config
  configMap: {name: {{ include "airflow.fullname" .root }}-files}
- name: tmp
  emptyDir: {}
- name: run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: logs
  {{- if $v.logs.existingClaim }}
  persistentVolumeClaim: {claimName: {{ $v.logs.existingClaim }}}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- if eq $v.releases.source "git" }}
- name: bundles
  emptyDir: {}
{{- else if eq $v.releases.source "volume" }}
- name: releases
  {{- if $v.releases.volume.hostPath }}
  hostPath: {path: {{ $v.releases.volume.hostPath }}, type: Directory}
  {{- else }}
  persistentVolumeClaim: {claimName: {{ $v.releases.volume.existingClaim }}, readOnly: true}
  {{- end }}
{{- end }}
{{- with $v.results.existingClaim }}
- name: results
  persistentVolumeClaim: {claimName: {{ . }}}
{{- end }}
{{- with .volumes }}
{{ toYaml . }}
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A pod. Keys: root, component, values; account (a service account's name), token (whether it gets the account's token),
role (control, worker or none), wait (until the database is migrated), command; if any: ports, probes, init, mounts, volumes,
restartPolicy, grace. */}}
{{- define "airflow.pod" -}}
metadata:
  labels:
    {{- include "airflow.labels" (list .root .component) | nindent 4 }}
    {{- if eq .role "control" }}
    wherry.dev/database-client: "true"
    {{- end }}
    {{- with .values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: airflow
    checksum/config: {{ print (include "airflow.configData" .root) (include "airflow.webserverConfig" .root) | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ .account }}
  automountServiceAccountToken: {{ .token }}
  enableServiceLinks: false
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with .grace }}
  terminationGracePeriodSeconds: {{ . }}
  {{- end }}
  securityContext:
    {{- with .root.Values.securityContext }}
    {{- include "airflow.podSecurityContext" (list .runAsUser .runAsGroup) | nindent 4 }}
    {{- end }}
  {{- include "airflow.placement" (list .root .values .component) | nindent 2 }}
  {{- if or .wait .init }}
  initContainers:
    {{- if .wait }}
    - name: wait-for-migrations
      command: [python, /etc/airflow/wait.py, airflow, db, check-migrations, --migration-wait-timeout, "600"]
      resources: {{- toYaml .root.Values.jobs.resources | nindent 8 }}
      {{- include "airflow.container" . | nindent 6 }}
    {{- end }}
    {{- with .init }}
    {{- . | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: airflow
      command: {{- toYaml .command | nindent 8 }}
      {{- with .ports }}
      ports: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .probes }}
      {{- . | nindent 6 }}
      {{- end }}
      resources: {{- toYaml .values.resources | nindent 8 }}
      {{- include "airflow.container" . | nindent 6 }}
  volumes:
    {{- include "airflow.volumes" . | nindent 4 }}
{{- end }}

{{/* Startup and liveness probes: (list .Values.scheduler.probes "how, as YAML" "how it lives, where that differs"). */}}
{{- define "airflow.probes" -}}
{{- $times := first . -}}
startupProbe:
  {{- index . 1 | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: {{ $times.timeout }}
  failureThreshold: {{ max 1 (div $times.startup 5) }}
livenessProbe:
  {{- last . | nindent 2 }}
  periodSeconds: {{ $times.period }}
  timeoutSeconds: {{ $times.timeout }}
  failureThreshold: {{ $times.failures }}
{{- end }}

{{/* The probe of a program whose only sign of life is its heartbeat in the database: "TriggererJob". */}}
{{- define "airflow.heartbeat" -}}
exec:
  command: [python, /etc/airflow/alive.py, {{ . }}]
{{- end }}
