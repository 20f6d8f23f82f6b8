{{/* Airflow's configuration: one dictionary of sections, which becomes AIRFLOW__SECTION__KEY in a ConfigMap. */}}

{{- define "airflow.apiUrl" -}}
http://{{ include "airflow.fullname" . }}-api-server:{{ .Values.apiServer.service.port }}
{{- end }}

{{/* The URL that users see. */}}
{{- define "airflow.baseUrl" -}}
{{- with .Values.apiServer -}}
{{- if $.Values.api.baseUrl -}}
{{ $.Values.api.baseUrl }}
{{- else if and .ingress.enabled .ingress.host -}}
http{{ if .ingress.tlsSecret }}s{{ end }}://{{ .ingress.host }}{{ .ingress.path | trimSuffix "/" }}
{{- else if and .httpRoute.enabled .httpRoute.hostnames -}}
https://{{ first .httpRoute.hostnames }}{{ .httpRoute.path | trimSuffix "/" }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "airflow.databaseHost" -}}
{{- if .Values.database.internal -}}
{{ include "airflow.fullname" . }}-postgres
{{- else -}}
{{ .Values.database.host }}
{{- end -}}
{{- end }}

{{/* The database's URL without the password: libpq and asyncpg read PGPASSWORD and PGSSLMODE. */}}
{{- define "airflow.databaseUrl" -}}
{{- $host := include "airflow.databaseHost" . -}}
{{- $port := .Values.database.port -}}
{{- if .Values.pgbouncer.enabled }}{{ $host = printf "%s-pgbouncer" (include "airflow.fullname" .) }}{{ $port = 6432 }}{{ end -}}
postgresql+psycopg2://{{ .Values.database.user | replace "@" "%40" }}@{{ $host }}:{{ $port }}/{{ .Values.database.name }}
{{- end }}

{{/* The DAG bundle, as JSON. */}}
{{- define "airflow.bundles" -}}
{{- $kwargs := dict "path" "/opt/airflow/dags" "refresh_interval" 30 -}}
{{- $class := "airflow.dag_processing.bundles.local.LocalDagBundle" -}}
{{- if eq .Values.releases.source "git" -}}
{{- with .Values.releases.git -}}
{{- $class = "airflow.providers.git.bundles.git.GitDagBundle" -}}
{{- $kwargs = dict "repo_url" .url "tracking_ref" .ref "subdir" .subdir "submodules" .submodules "refresh_interval" .refresh -}}
{{- if .existingSecret }}{{ $_ := set $kwargs "git_conn_id" "wherry_releases" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- list (dict "name" "wherry" "classpath" $class "kwargs" $kwargs) | toJson -}}
{{- end }}

{{- define "airflow.config" -}}
{{- $v := .Values -}}
api:
  host: 0.0.0.0
  port: 8080
  workers: {{ $v.apiServer.workers }}
  {{- with include "airflow.baseUrl" . }}
  base_url: {{ . }}
  {{- end }}
core:
  executor: {{ $v.executor }}
  parallelism: {{ $v.parallelism }}
  load_examples: false
  dags_are_paused_at_creation: true
  dagbag_import_timeout: 300  # one file makes every team's DAGs: 10,000 models take 7 CPU seconds
  execution_api_server_url: {{ include "airflow.apiUrl" . }}/execution/
  hostname_callable: airflow.utils.net.get_host_ip_address
  {{- if eq $v.auth.manager "simple" }}
  simple_auth_manager_users: {{ $v.admin.username }}:admin
  simple_auth_manager_passwords_file: /run/airflow/passwords.json
  {{- else if eq $v.auth.manager "fab" }}
  auth_manager: airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager
  {{- end }}
  {{- if $v.xcom.objectStorage }}
  xcom_backend: airflow.providers.common.io.xcom.backend.XComObjectStorageBackend
  {{- end }}
{{- if $v.xcom.objectStorage }}
common.io:
  xcom_objectstorage_path: {{ $v.xcom.objectStorage }}
  xcom_objectstorage_threshold: {{ $v.xcom.threshold }}
{{- end }}
{{- if eq $v.auth.manager "fab" }}
fab:
  config_file: /etc/airflow/webserver_config.py
{{- end }}
{{- if eq $v.executor "CeleryExecutor" }}
celery:
  worker_concurrency: {{ $v.workers.concurrency }}
  operation_timeout: 10
{{- end }}
cosmos:
  enable_cache: false
  enable_dag_versioning: false
  enable_telemetry: false
dag_processor:
  dag_file_processor_timeout: 360
  dag_bundle_config_list: {{ include "airflow.bundles" . | quote }}
  dag_bundle_storage_path: /opt/airflow/bundles
database:
  {{- if $v.pgbouncer.enabled }}
  sql_alchemy_pool_size: 5
  {{- end }}
  sql_alchemy_conn: {{ include "airflow.databaseUrl" . }}
logging:
  base_log_folder: /opt/airflow/logs
  {{- with $v.logs.remote }}
  {{- if .folder }}
  remote_logging: true
  remote_base_log_folder: {{ .folder }}
  remote_log_conn_id: {{ .connection | quote }}
  delete_local_logs: true
  {{- end }}
  {{- end }}
{{- with $v.otel }}
{{- if .endpoint }}
metrics:
  otel_on: {{ .metrics }}
traces:
  otel_on: {{ .traces }}
{{- end }}
{{- end }}
scheduler:
  scheduler_idle_sleep_time: 0.5  # seconds that a node waits at most once its parents are done; Airflow has 1
  enable_health_check: true
  scheduler_health_check_server_host: 0.0.0.0
  scheduler_health_check_server_port: 8974
  {{- if eq $v.executor "LocalExecutor" }}
  # A scheduler that waits for its tasks at its end gives no sign of life: one that starts meanwhile must not take it for
  # dead, and its tasks for lost.
  scheduler_health_check_threshold: {{ add $v.scheduler.terminationGracePeriodSeconds 30 }}
  {{- end }}
{{- with $v.secretsBackend }}
{{- if .class }}
secrets:
  backend: {{ .class }}
  backend_kwargs: {{ .options | toJson | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the FAB auth manager reads. Roles follow from groups at each login; the role Public may do nothing. */}}
{{- define "airflow.webserverConfig" -}}
{{- with .Values.auth -}}
import os

from flask_appbuilder.const import AUTH_{{ upper .login }}

AUTH_TYPE = AUTH_{{ upper .login }}
{{- if ne .login "db" }}
AUTH_USER_REGISTRATION = True
AUTH_USER_REGISTRATION_ROLE = "Public"
AUTH_ROLES_SYNC_AT_LOGIN = {{ ternary "True" "False" (has .login (list "oauth" "ldap")) }}
AUTH_ROLES_MAPPING = {{ toJson .roles }}
{{- end }}
{{- with .config }}
{{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The ConfigMap's data: the chart's configuration, the user's over it, and what isn't Airflow's. The database's URL
is left out: only programs that may have it get it, in their pod. */}}
{{- define "airflow.configData" -}}
{{- $config := mustMergeOverwrite (include "airflow.config" . | fromYaml) (deepCopy .Values.config) -}}
{{- $data := dict -}}
{{- range $section, $keys := $config -}}
  {{- range $key, $value := $keys -}}
    {{- $text := toString $value -}}
    {{- if and (kindIs "float64" $value) (eq (floor $value) (float64 $value)) -}}{{- $text = printf "%.0f" $value -}}{{- end -}}
    {{- $name := printf "AIRFLOW__%s__%s" ($section | replace "." "_" | upper) (upper $key) -}}
    {{- if ne $name "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" -}}{{- $_ := set $data $name $text -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- $_ := mustMergeOverwrite $data (dict "AIRFLOW_CONFIG" "/etc/airflow/airflow.cfg" "AIRFLOW_HOME" "/opt/airflow" "HOME" "/tmp" "USER" "airflow") -}}
{{- if ne .Values.releases.source "git" -}}{{- $_ := set $data "WHERRY_RELEASES" "/opt/airflow/releases" -}}{{- end -}}
{{- if .Values.results.existingClaim -}}{{- $_ := set $data "WHERRY_RESULTS" "/opt/airflow/results" -}}{{- end -}}
{{- with .Values.otel -}}
{{- if .endpoint -}}
  {{- $_ := set $data "OTEL_EXPORTER_OTLP_ENDPOINT" .endpoint -}}
  {{- $_ := set $data "OTEL_EXPORTER_OTLP_PROTOCOL" "http/protobuf" -}}
  {{- $_ := set $data "OTEL_TRACES_EXPORTER" "otlp_proto_http" -}}
  {{- $_ := set $data "OTEL_SERVICE_NAME" "airflow" -}}
  {{- $pairs := list -}}
  {{- range $name, $value := .attributes -}}{{- $pairs = append $pairs (printf "%s=%s" $name $value) -}}{{- end -}}
  {{- with $pairs -}}{{- $_ := set $data "OTEL_RESOURCE_ATTRIBUTES" (join "," .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (mustMergeOverwrite $data (deepCopy .Values.env)) -}}
{{- end }}
