{{/* Labels of every object. */}}
{{- define "team.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: wherry
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
wherry.dev/team: {{ .Values.name }}
{{- end }}

{{/* Metadata of an object in the team's namespace: (list $ "name"). */}}
{{- define "team.metadata" -}}
{{- $root := first . -}}
name: {{ last . }}
namespace: {{ $root.Values.namespace }}
labels:
  {{- include "team.labels" $root | nindent 2 }}
{{- end }}

{{/* The user name of the account that runs Airflow's tasks. */}}
{{- define "team.airflowUser" -}}
system:serviceaccount:{{ .Values.platform.airflow.namespace }}:{{ .Values.platform.airflow.serviceAccount }}
{{- end }}

{{/* The prefixes that an image of the team may have, as a CEL list. A project's name has no "-", so no team's prefix is another's. */}}
{{- define "team.imagePrefixes" -}}
{{- $prefixes := list -}}
{{- range $project, $_ := .Values.projects -}}
  {{- $image := printf "%s/%s-%s" $.Values.platform.images.repository $.Values.name $project -}}
  {{- $prefixes = concat $prefixes (list (printf "'%s@sha256:'" $image) (printf "'%s:'" $image)) -}}
{{- end -}}
[{{ join ", " $prefixes }}]
{{- end }}

{{/* What the schema can't say: rules between values. */}}
{{- define "team.check" -}}
{{- with .Values -}}
{{- if and .platform.namespace.create (eq $.Release.Namespace .namespace) -}}
  {{- fail (printf "namespace %s: this release can't make the namespace that it lives in. Install it in Airflow's (--namespace %s), or make the namespace with Pod Security labels yourself and set platform.namespace.create=false." .namespace .platform.airflow.namespace) -}}
{{- end -}}
{{- if eq .namespace .platform.airflow.namespace -}}
  {{- fail (printf "namespace %s: it is Airflow's own (platform.airflow.namespace). A team needs a namespace of its own." .namespace) -}}
{{- end -}}
{{- if has .namespace (list "default" "kube-system" "kube-public" "kube-node-lease") -}}
  {{- fail (printf "namespace %s: it is one of Kubernetes' own. A team needs a namespace of its own." .namespace) -}}
{{- end -}}
{{- if eq .service_account "default" -}}
  {{- fail "service_account default: every namespace has it, and others may give it rights. Name another, such as runner." -}}
{{- end -}}
{{- $secret := .platform.secret -}}
{{- if and $secret.values (ne $secret.source "values") -}}
  {{- fail (printf "platform.secret.values: they are given, but platform.secret.source is %s. Take them out, or let it be values." $secret.source) -}}
{{- end -}}
{{- if and (eq $secret.source "values") (not $secret.values) -}}
  {{- fail "platform.secret.values: empty, but platform.secret.source is values. Give the Secret's keys and values." -}}
{{- end -}}
{{- if and (eq $secret.source "external") (eq (empty $secret.external.key) (empty $secret.external.data)) -}}
  {{- fail "platform.secret.external: give either `key` (an entry whose properties become the Secret's keys) or `data` (entry by entry)." -}}
{{- end -}}
{{- range $name, $warehouse := .warehouses -}}
  {{- if and $warehouse.like (not (hasKey $.Values.warehouses $warehouse.like)) -}}
    {{- fail (printf "warehouses.%s.like: %s isn't a warehouse of this team." $name $warehouse.like) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $project := .projects -}}
  {{- if not (hasKey $.Values.warehouses $project.warehouse) -}}
    {{- fail (printf "projects.%s.warehouse: %s isn't a warehouse of this team." $name $project.warehouse) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
