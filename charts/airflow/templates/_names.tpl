{{/* Names and labels. */}}

{{- define "airflow.name" -}}
{{ default .Chart.Name .Values.nameOverride }}
{{- end }}

{{/* The prefix of every object's name; at most 40 characters, so that the longest suffix still fits. */}}
{{- define "airflow.fullname" -}}
{{- $name := include "airflow.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{ default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* What selects a component's pods: (list $ "scheduler"). */}}
{{- define "airflow.selectorLabels" -}}
app.kubernetes.io/name: {{ include "airflow.name" (first .) }}
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* Labels of every object: (list $ "scheduler"). */}}
{{- define "airflow.labels" -}}
{{- $root := first . -}}
{{ include "airflow.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: wherry
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* Metadata of a component's object: (list $ "scheduler"); a third item is put behind the name. */}}
{{- define "airflow.metadata" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
name: {{ include "airflow.fullname" $root }}-{{ $component }}{{ if gt (len .) 2 }}-{{ index . 2 }}{{ end }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "airflow.labels" (list $root $component) | nindent 2 }}
{{- end }}

{{/* The service account of a component: (list $ "scheduler" .Values.scheduler). */}}
{{- define "airflow.serviceAccountName" -}}
{{- $account := (index . 2).serviceAccount -}}
{{- if $account.name -}}
{{ $account.name }}
{{- else if $account.create -}}
{{ include "airflow.fullname" (index . 0) }}-{{ index . 1 }}
{{- else -}}
default
{{- end -}}
{{- end }}

{{/* A component's ServiceAccount: (list $ "scheduler" .Values.scheduler). No pod gets its token unasked. */}}
{{- define "airflow.serviceAccount" -}}
{{- $account := (index . 2).serviceAccount -}}
{{- if $account.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "airflow.serviceAccountName" . }}
  namespace: {{ (index . 0).Release.Namespace }}
  labels:
    {{- include "airflow.labels" (list (index . 0) (index . 1)) | nindent 4 }}
  {{- with $account.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end }}

{{/* An image: (list $ .Values.image). The global registry takes the place of its own. */}}
{{- define "airflow.image" -}}
{{- $root := first . -}}
{{- with last . -}}
{{- $registry := default .registry $root.Values.global.imageRegistry -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $root.Chart.AppVersion .tag }}{{ end }}
{{- end -}}
{{- end }}
